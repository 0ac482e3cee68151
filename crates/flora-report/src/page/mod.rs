//! A report as one HTML file, and the server that follows a run with it.
//!
//! [`write()`] makes a file that loads nothing and runs no script. [`serve()`] serves the same page on this machine,
//! and renders it again whenever the files change. Both take the folder of a run, of several runs, or of a sweep.

mod charts;
mod data;
mod html;
mod http;
mod many;
mod one;
mod serve;
mod sweep;
mod thumbnails;
mod versions;

use std::path::{Path, PathBuf};

use flora_core::files::write_atomic;

pub use self::serve::serve;
use self::{
    data::read_runs,
    html::{Page, Use},
};
use crate::{
    ReportError,
    folder::{REPORT, is_run},
    sweep::SweepRecord,
};

/// The largest number of runs that one page overlays.
pub const MOST_RUNS: usize = 12;

/// The default path of the page of these folders: `report.html` in the folder, or in the current folder for several
/// runs.
pub fn default_file(folders: &[PathBuf]) -> PathBuf {
    match folders {
        [folder] => folder.join(REPORT),
        _ => PathBuf::from(REPORT),
    }
}

/// Renders the page of a run, of several runs, or of a sweep.
///
/// # Errors
/// [`ReportError::NotARun`], [`ReportError::NotReported`] for other folders, [`ReportError::Io`] if one of the files that
/// make a run is not regular, and errors of [`SweepRecord::load`]. Damaged files of a run are reported in its page, and
/// so are charts that cannot be drawn.
pub fn render(folders: &[PathBuf]) -> Result<String, ReportError> {
    Ok(page(folders)?.html(Use::File))
}

/// Calls [`render`] and writes the file `out`, completely or not at all. Creates missing parent folders.
///
/// # Errors
/// As [`render`], and [`ReportError::Io`].
pub fn write(folders: &[PathBuf], out: impl AsRef<Path>) -> Result<(), ReportError> {
    let html = render(folders)?;
    let out = out.as_ref();
    write_atomic(out, html.as_bytes()).map_err(ReportError::io("write", out))
}

fn page(folders: &[PathBuf]) -> Result<Page, ReportError> {
    let refuse = |path: &Path, problem: String| {
        Err(ReportError::NotReported { path: path.to_owned(), problem })
    };
    let [first, others @ ..] = folders else {
        return refuse(Path::new("."), "name the folder of a run or of a sweep".to_owned());
    };
    if folders.len() > MOST_RUNS {
        let problem = format!(
            "{} runs are too many to be told apart in one page: name at most {MOST_RUNS}",
            folders.len()
        );
        return refuse(first, problem);
    }
    if let Some(sweep) = folders.iter().find(|folder| is_sweep(folder)) {
        return match others {
            [] => sweep::page(sweep),
            _ => refuse(
                sweep,
                "it is a sweep, which has a page of its own: name it alone".to_owned(),
            ),
        };
    }
    for folder in folders.iter().filter(|folder| !is_run(folder)) {
        if folder.join("results.csv").exists() {
            let file = SweepRecord::FILE;
            let problem = format!(
                "it is a sweep without a {file}: repeat its `flora sweep` command with --out {}, which writes one and \
                 does not repeat runs that are finished",
                flora_core::shell::quoted(folder)
            );
            return refuse(folder, problem);
        }
        let below = folder.read_dir().into_iter().flatten().flatten();
        if let Some(run) = below.map(|entry| entry.path()).find(|path| is_run(path)) {
            let run = flora_core::shell::quoted(&run);
            return refuse(
                folder,
                format!("it is no run, but holds some: name these, such as {run}"),
            );
        }
    }
    let runs = read_runs(folders)?;
    match &runs[..] {
        [run] => Ok(one::page(run)),
        runs => many::page(runs),
    }
}

/// Also if the file is not one that can be read, which its reader tells.
fn is_sweep(folder: &Path) -> bool {
    folder.join(SweepRecord::FILE).exists() && !is_run(folder)
}

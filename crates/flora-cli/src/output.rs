//! Output: standard output, which may be closed or full, and files named by users.
//!
//! Names of files, classes and clients come from anywhere. All output passes through here, so that a terminal never
//! receives control sequences: [`flora::core::text`].

use std::collections::BTreeSet;
use std::fmt::Display;
use std::io::{ErrorKind, IsTerminal, Write};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, OnceLock, PoisonError};

use flora::core::text::{path as shown, printable, printable_json, printable_lines};
use flora::report::ReportError;
use flora::report::figures::Figure;
use flora::report::plots::save_png;
use flora::report::tables::{self, Page};
use serde::Serialize;

use crate::failure::Failure;

/// The first write error.
static LOST: OnceLock<String> = OnceLock::new();

/// Columns of a terminal of unknown width.
const COLUMNS: usize = 80;

/// Prints lines. If that fails, the work goes on (`println!` would panic and lose a run), and [`lost`] reports it at
/// the end. Callers make names that may contain line breaks [printable].
pub(crate) fn line(text: impl Display) {
    write(&printable_lines(&text.to_string()));
}

/// Prints text of flora's own unchanged.
pub(crate) fn script(text: &str) {
    write(text.trim_end());
}

fn write(text: &str) {
    match writeln!(std::io::stdout(), "{text}") {
        // A reader that stops early (`flora run … | head`) is not an error.
        Err(error) if error.kind() != ErrorKind::BrokenPipe => {
            let _ = LOST.set(error.to_string());
        }
        _ => {}
    }
}

/// Prints a value as a line of JSON.
pub(crate) fn json(value: &impl Serialize) -> Result<(), Failure> {
    write(&printable_json(&serde_json::to_string(value).map_err(Failure::run)?));
    Ok(())
}

/// Prints a value as indented JSON.
pub(crate) fn json_lines(value: &impl Serialize) -> Result<(), Failure> {
    write(&printable_json(&serde_json::to_string_pretty(value).map_err(Failure::run)?));
    Ok(())
}

/// Prints the summary of a run as a line of JSON, after its events.
pub(crate) fn summary(summary: &flora::report::RunSummary) -> Result<(), Failure> {
    json(&serde_json::json!({ "event": "summary", "summary": summary }))
}

/// Prints lines on standard error, if it is open: `eprintln!` would panic otherwise.
pub(crate) fn error_line(text: impl Display) {
    let _ = writeln!(std::io::stderr(), "{}", printable_lines(&text.to_string()));
}

/// Prints a warning on standard error.
pub(crate) fn warning(message: &str) {
    error_line(format!("warning: {}", printable(message)));
}

/// Writes a figure as PNG, and warns once of each script of its text that no font covers.
pub(crate) fn figure(path: &Path, figure: &Figure) -> Result<(), ReportError> {
    static NAMED: Mutex<BTreeSet<String>> = Mutex::new(BTreeSet::new());
    for missing in figure.missing_scripts() {
        let mut named = NAMED.lock().unwrap_or_else(PoisonError::into_inner);
        if named.insert(missing.script.clone()) {
            warning(&missing.to_string());
        }
    }
    save_png(path, figure)
}

/// The images in `paths`, with a warning about skipped files.
pub(crate) fn find_images(paths: &[PathBuf]) -> Result<Vec<PathBuf>, Failure> {
    let found = flora::inference::find_images(paths).map_err(Failure::input)?;
    if let Some(others) = found.passed_over.warning() {
        warning(&others);
    }
    Ok(found.images)
}

/// Why standard output is incomplete, if it is.
pub(crate) fn lost() -> Option<&'static str> {
    LOST.get().map(String::as_str)
}

/// The page that tables are formatted for.
pub(crate) fn page() -> Page {
    let stdout = std::io::stdout();
    if !stdout.is_terminal() {
        return Page::Plain;
    }
    let size = terminal_size::terminal_size_of(stdout);
    // A terminal of unknown size reports 0.
    let columns = size.map(|(columns, _)| usize::from(columns.0)).filter(|&columns| columns > 0);
    Page::Terminal(columns.unwrap_or(COLUMNS))
}

/// Prints a table: a column of names, and columns of text.
pub(crate) fn table<const N: usize>(header: [&str; N], rows: Vec<[String; N]>) {
    line(tables::list(header, rows, page()));
}

/// File extensions of figures.
pub(crate) const PNG: &[&str] = &["png"];
/// File extensions of lists of images.
pub(crate) const CSV: &[&str] = &["csv"];
/// What pages are written as.
pub(crate) const HTML: &[&str] = &["html", "htm"];

/// Whether a command may replace files.
#[derive(Debug, Clone, Copy, clap::Args)]
pub(crate) struct Overwrite {
    /// Replace existing files
    #[arg(long)]
    overwrite: bool,
}

impl Overwrite {
    /// Checks whether a file may be written to `path`, given by `option`, before the work for it begins. The file name
    /// must end in one of the `extensions`: a file of another kind is a mistake, and never replaced.
    pub(crate) fn check(
        self,
        option: &str,
        path: &Path,
        extensions: &[&str],
    ) -> Result<(), Failure> {
        let extension = path.extension().unwrap_or_default();
        let fits = extensions.iter().any(|one| extension.eq_ignore_ascii_case(one));
        let problem = if path.is_dir() {
            "is a folder; name a file".to_owned()
        } else if !fits {
            let dotted: Vec<String> = extensions.iter().map(|one| format!(".{one}")).collect();
            let right = shown(&path.with_extension(extensions[0]));
            format!("does not end in {}; try {right}", dotted.join(" or "))
        } else if let Ok(found) = path.symlink_metadata() {
            if !found.is_file() && !path.is_file() {
                "is not a regular file; name another".to_owned()
            } else if !self.overwrite {
                "exists already; name another file, or add --overwrite to replace it".to_owned()
            } else {
                return Ok(());
            }
        } else {
            return Ok(());
        };
        Err(Failure::Input(format!("{option}: {} {problem}", shown(path))))
    }

    /// Checks several options, if given.
    pub(crate) fn check_all<const N: usize>(
        self,
        targets: [(&str, &Option<PathBuf>, &[&str]); N],
    ) -> Result<(), Failure> {
        targets.into_iter().try_for_each(|(option, path, extensions)| match path {
            Some(path) => self.check(option, path, extensions),
            None => Ok(()),
        })
    }

    /// Checks a folder for several files, given by `option`.
    pub(crate) fn check_folder(self, option: &str, path: &Path) -> Result<(), Failure> {
        let is_taken = || std::fs::read_dir(path).is_ok_and(|mut files| files.next().is_some());
        let problem = if path.symlink_metadata().is_ok() && !path.is_dir() {
            "is not a folder; name another"
        } else if is_taken() && !self.overwrite {
            "is not empty; name another folder, or add --overwrite to replace files in it"
        } else {
            return Ok(());
        };
        Err(Failure::Input(format!("{option}: {} {problem}", shown(path))))
    }
}

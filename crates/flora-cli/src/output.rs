//! Standard output, which may be closed or full.

use std::fmt::Display;
use std::io::{ErrorKind, IsTerminal, Write};
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use crate::failure::Failure;

/// The first line that could not be written.
static LOST: OnceLock<String> = OnceLock::new();

/// Print a line. Where that fails, the work goes on (`println!` would panic, and a run would be
/// lost with it): [`lost`] tells at the end.
pub(crate) fn line(text: impl Display) {
    match writeln!(std::io::stdout(), "{text}") {
        // A reader that has seen enough (`flora run … | head`) is no trouble.
        Err(error) if error.kind() != ErrorKind::BrokenPipe => {
            let _ = LOST.set(error.to_string());
        }
        _ => {}
    }
}

/// Print a value as a line of JSON.
pub(crate) fn json(value: &impl serde::Serialize) {
    line(serde_json::to_string(value).expect("plain data"));
}

/// Print what a run came to as a line of JSON, the last one after its events.
pub(crate) fn summary(summary: &flora::report::RunSummary) {
    json(&serde_json::json!({ "event": "summary", "summary": summary }));
}

/// Print a line on standard error, if anybody reads it: `eprintln!` would panic if not.
pub(crate) fn error_line(text: impl Display) {
    let _ = writeln!(std::io::stderr(), "{text}");
}

/// Tell of trouble that stops nothing, on standard error.
pub(crate) fn warning(message: &str) {
    error_line(format!("warning: {message}"));
}

/// The images that `paths` name, with a warning of the files that are passed over.
pub(crate) fn find_images(paths: &[PathBuf]) -> Result<Vec<PathBuf>, Failure> {
    let found = flora::inference::find_images(paths).map_err(Failure::input)?;
    if let Some(others) = found.passed_over.warning() {
        warning(&others);
    }
    Ok(found.images)
}

/// Why standard output is not whole, if it is not.
pub(crate) fn lost() -> Option<&'static str> {
    LOST.get().map(String::as_str)
}

/// A table as wide as a terminal shows it, or as wide as it likes to be in a file or a pipe.
pub(crate) fn table<const N: usize>(header: [&str; N], rows: Vec<[String; N]>) {
    line(flora::report::tables::list(header, rows, std::io::stdout().is_terminal()));
}

/// Whether a figure can be written to `path`, asked before the work that it shows.
pub(crate) fn figure_path(option: &str, path: &Path) -> Result<(), Failure> {
    let extension = path.extension().and_then(|extension| extension.to_str());
    let problem = if path.is_dir() {
        "is a folder; name a file"
    } else if extension.is_none_or(|extension| !extension.eq_ignore_ascii_case("png")) {
        "does not end in .png, which is what is written"
    } else {
        return Ok(());
    };
    Err(Failure::Input(format!("{option}: {} {problem}", path.display())))
}

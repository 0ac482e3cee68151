//! Standard output that may be closed.

use std::fmt::Display;
use std::io::Write;

/// Print a line. A reader that has gone away (`flora run … | head`) is no reason to stop a run:
/// `println!` would panic.
pub(crate) fn line(text: impl Display) {
    let _ = writeln!(std::io::stdout(), "{text}");
}

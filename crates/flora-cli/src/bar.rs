//! Progress bars in a common style. They are drawn on standard error, and only if that is a terminal.

use flora::core::text::printable;
use indicatif::{ProgressBar, ProgressStyle};

/// A bar of `total` steps.
pub(crate) fn steps(what: &str, total: usize) -> ProgressBar {
    let style = ProgressStyle::with_template("{prefix:>12} {wide_bar} {pos}/{len} {eta} {msg}")
        .expect("a valid template");
    let prefix = printable(what).into_owned();
    let bar = ProgressBar::new(total as u64).with_style(style).with_prefix(prefix);
    bar.tick();
    bar
}

/// A bar of bytes, whose total may be unknown.
pub(crate) fn bytes(what: &str) -> ProgressBar {
    let template = "{prefix:>12} {wide_bar} {bytes}/{total_bytes} {bytes_per_sec} {eta}";
    let style = ProgressStyle::with_template(template).expect("a valid template");
    ProgressBar::no_length().with_style(style).with_prefix(printable(what).into_owned())
}

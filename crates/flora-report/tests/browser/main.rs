//! Pages in a real browser. Needs Chromium (Debian: `apt-get install chromium`), which the environment variable `CHROME`
//! may name; so these tests run when they are asked for: `cargo test --release -p flora-report --test browser -- --ignored`.
//! With `FLORA_SCREENSHOTS=DIR`, they leave pictures of the pages there.

mod chromium;
mod expected;
mod pages;
mod watch;

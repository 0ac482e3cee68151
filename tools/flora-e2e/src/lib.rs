//! Helpers for the end-to-end checks: they call the built `flora` program and the built examples as
//! a user does, and read the files of a run.
//!
//! The checks are in `tests/` and ignored by default, because `cargo test` does not build the program
//! for them:
//!
//! ```sh
//! cargo build --release -p flora-cli -p flora --bins --examples
//! cargo test --release -p flora-e2e --test e2e -- --ignored
//! ```
//!
//! | variable | names | default |
//! |---|---|---|
//! | `FLORA_BIN` | the program; its examples are in `examples` beside it | `flora` in the folder of this profile |
//! | `FLORA_GPU_BIN` | a program with GPU backends, for `--test gpu` | `backends/flora` in the target folder |

mod call;
mod place;
mod run;
mod text;

pub use call::{Call, Output, Started};
pub use place::{root, scratch};
pub use run::Run;
pub use text::{assert_found, captured};

/// A [`Call`] of `flora` with these arguments: strings and paths.
#[macro_export]
macro_rules! flora {
    ($($argument:expr),+ $(,)?) => { $crate::Call::flora()$(.arg(&$argument))+ };
}

//! Rules that a few bad answers cannot move far.
//!
//! All need each answer by itself, and so do not go together with secure aggregation, which shows the
//! server a sum. None keeps anything from round to round. The formulas, defaults and weights are those of
//! Flower 1.42, except for [`GeometricMedian`], which Flower does not have.
//!
//! Every rule says by `fewest` how many answers it needs; a quorum of as many makes sure of them. Fewer are
//! an error, except for [`TrimmedMean`]. Flower's Krum goes on with fewer, which protects from nothing.
//!
//! On LoRA's factors: `(B R, R^-1 A)` is the same update as `(B, A)` for any invertible `R`, so
//! coordinates and distances of factors compare clients only as far as they began the round from the same
//! factors and did not go far.

mod bulyan;
mod coordinate;
mod geometric;
mod krum;

use flora_federation::{Accepted, StrategyError};

pub use bulyan::Bulyan;
pub use coordinate::{Median, TrimmedMean};
pub use geometric::GeometricMedian;
pub use krum::{Krum, MultiKrum};

/// Checks that there are as many answers as a rule needs; `remedy` is what else can be done.
fn enough(
    name: &str,
    fewest: usize,
    accepted: &[Accepted],
    remedy: &str,
) -> Result<(), StrategyError> {
    match accepted.len() >= fewest {
        true => Ok(()),
        false => Err(StrategyError::Other(format!(
            "{name}: it needs {fewest} answers, but {} passed the checks; select more clients, set \
             quorum = {fewest}{remedy}",
            accepted.len()
        ))),
    }
}

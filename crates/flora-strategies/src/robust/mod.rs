//! Robust aggregation rules, which a few malicious replies cannot move far.
//!
//! All need individual replies, so they cannot be combined with secure aggregation, which shows the server only a sum.
//! None has a state. The formulas, defaults and weights are those of Flower 1.42, except for [`GeometricMedian`], which
//! Flower does not have.
//!
//! The method `fewest` of every rule returns the number of replies that it needs; set the quorum to that. Fewer replies
//! are an error, except for [`TrimmedMean`]. Flower's Krum continues with fewer, which gives no protection.
//!
//! For LoRA factors, `(B R, R^-1 A)` is the same update as `(B, A)` for any invertible `R`. Coordinates and distances
//! of factors therefore compare clients only if they started the round from the same factors and did not move far.

mod bulyan;
mod coordinate;
mod geometric;
mod krum;

use flora_federation::{Accepted, StrategyError};

pub use bulyan::Bulyan;
pub use coordinate::{Median, TrimmedMean};
pub use geometric::GeometricMedian;
pub use krum::{Krum, MultiKrum};

/// Checks that there are enough replies for a rule; `remedy` is an alternative to more replies.
fn enough(
    name: &str,
    fewest: usize,
    accepted: &[Accepted],
    remedy: &str,
) -> Result<(), StrategyError> {
    match accepted.len() >= fewest {
        true => Ok(()),
        false => Err(StrategyError::Other(format!(
            "{name}: it needs {fewest} replies, but {} passed the checks; select more clients, set \
             quorum = {fewest}{remedy}",
            accepted.len()
        ))),
    }
}

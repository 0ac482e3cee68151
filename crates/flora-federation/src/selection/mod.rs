//! Who trains in a round.

mod config;
mod dynamic;
mod fraction;
mod named;
mod poisson;
mod power;

use std::collections::BTreeMap;

use flora_core::seed;
use rand::seq::SliceRandom;

pub use config::SelectionConfig;
pub use dynamic::DynamicSampling;
pub use fraction::ClientSelector;
pub use named::Named;
pub use poisson::Poisson;
pub use power::PowerOfChoice;

use crate::{ClientInfo, FederationError};

/// Which round clients are drawn for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Draw {
    /// The seed of the run's selections.
    pub seed: u64,
    /// The round, from 0.
    pub round: usize,
    /// How often the round was tried before.
    pub attempt: usize,
}

/// Chooses the clients of a round.
///
/// A choice may depend on the draw, on who is there and on the losses that they reported, and on nothing else: a
/// resumed run makes the same choices again.
///
/// Everybody with at least ten examples:
///
/// ```
/// use flora_federation::{ClientInfo, Draw, Selection};
///
/// struct AtLeastTen;
///
/// impl Selection for AtLeastTen {
///     fn select(&self, _draw: Draw, trainers: &[ClientInfo]) -> Vec<String> {
///         let large = trainers.iter().filter(|client| client.num_examples >= 10);
///         large.map(|client| client.id.clone()).collect()
///     }
/// }
/// ```
pub trait Selection {
    /// Checks the settings for a fleet of which `trainers` hold training examples, before the first
    /// round.
    ///
    /// # Errors
    /// Settings that make no sense.
    fn check(&self, trainers: &[ClientInfo]) -> Result<(), FederationError> {
        let _ = trainers;
        Ok(())
    }

    /// The ids of those who train, from the clients that are there and hold training examples,
    /// sorted by id. Ids of nobody and doubles are ignored.
    fn select(&self, draw: Draw, trainers: &[ClientInfo]) -> Vec<String>;
    /// The same for a selection that [wants to know](Self::wants_losses) the clients' losses: of each, the metric
    /// `loss` of its last accepted answer to a training. Who has none there has not trained yet, or reports none. The
    /// round loop calls this one.
    fn select_by_loss(
        &self,
        draw: Draw,
        trainers: &[ClientInfo],
        losses: &BTreeMap<String, f64>,
    ) -> Vec<String> {
        let _ = losses;
        self.select(draw, trainers)
    }

    /// Whether the run is to remember losses, as a part of its state.
    fn wants_losses(&self) -> bool {
        false
    }

    /// Whether a choice of nobody is one like any other: the round changes nothing, an
    /// [`Event::BelowQuorum`](crate::Event::BelowQuorum) tells of it, and the next round begins, whatever the policy
    /// says. Otherwise such a round is one below the quorum.
    fn may_select_nobody(&self) -> bool {
        false
    }
}

/// The ids of the clients, each once, sorted.
fn ids(trainers: &[ClientInfo]) -> Vec<String> {
    let mut ids: Vec<String> = trainers.iter().map(|client| client.id.clone()).collect();
    ids.sort();
    ids.dedup();
    ids
}

/// So many of the ids, drawn without replacement, sorted.
fn drawn(draw: Draw, mut ids: Vec<String>, count: usize) -> Vec<String> {
    if count >= ids.len() {
        return ids;
    }
    let label = match draw.attempt {
        0 => format!("selection {}", draw.round),
        attempt => format!("selection {} attempt {attempt}", draw.round),
    };
    let mut random = seed::stream(draw.seed, &label);
    let (drawn, _) = ids.partial_shuffle(&mut random, count);
    drawn.sort();
    drawn.to_vec()
}

#[cfg(test)]
mod testing {
    use super::*;

    pub(super) fn trainers(count: usize) -> Vec<ClientInfo> {
        let client =
            |k| ClientInfo { id: format!("client-{k:02}"), num_examples: 1, num_test_examples: 1 };
        (0..count).map(client).collect()
    }

    pub(super) fn draw(seed: u64, round: usize) -> Draw {
        Draw { seed, round, attempt: 0 }
    }
}

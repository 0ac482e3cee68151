//! Client selection: which clients train in a round.

mod config;
mod dynamic;
mod fraction;
mod named;
mod poisson;
mod power;
mod registered;

use std::collections::BTreeMap;

use flora_core::seed;
use rand::seq::SliceRandom;

pub use config::SelectionConfig;
pub use dynamic::DynamicSampling;
pub use fraction::ClientSelector;
pub use named::Named;
pub use poisson::Poisson;
pub use power::PowerOfChoice;
pub use registered::Registered;

use crate::{ClientInfo, FederationError};

/// Identifies a draw of clients.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Draw {
    /// The seed of the run's selections.
    pub seed: u64,
    /// The round, from 0.
    pub round: usize,
    /// Number of earlier attempts at the round.
    pub attempt: usize,
}

/// Chooses the clients of a round.
///
/// A choice may depend only on the draw, the present clients and the losses that they reported, so that a resumed run
/// makes the same choices again.
///
/// A selection of every client with at least ten examples:
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
    /// Checks the settings for a fleet of which `trainers` hold training examples, before the first round.
    ///
    /// # Errors
    /// Invalid settings.
    fn check(&self, trainers: &[ClientInfo]) -> Result<(), FederationError> {
        let _ = trainers;
        Ok(())
    }

    /// The ids of the clients to train, chosen from the clients that are present and hold training examples, sorted by
    /// id. Repeated ids are ignored. An id of a client that is not present counts as a client that fails; a warning
    /// tells how many there are.
    fn select(&self, draw: Draw, trainers: &[ClientInfo]) -> Vec<String>;
    /// Like `select`, for a selection that [uses](Self::wants_losses) the clients' losses: for each client, the metric
    /// `loss` of its last accepted training reply. A client without an entry has not trained yet or reports none. The
    /// round loop calls this method.
    fn select_by_loss(
        &self,
        draw: Draw,
        trainers: &[ClientInfo],
        losses: &BTreeMap<String, f64>,
    ) -> Vec<String> {
        let _ = losses;
        self.select(draw, trainers)
    }

    /// Whether the run must keep losses as part of its state.
    fn wants_losses(&self) -> bool {
        false
    }

    /// Whether selecting no client is a valid choice. If so, the round changes nothing, an
    /// [`Event::BelowQuorum`](crate::Event::BelowQuorum) reports it, and the next round begins, whatever the policy.
    /// Otherwise such a round is below the quorum.
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

/// Draws `count` of the ids without replacement, sorted.
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

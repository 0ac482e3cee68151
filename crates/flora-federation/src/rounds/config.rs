use std::{num::NonZeroUsize, time::Duration};

use serde::{Deserialize, Serialize};

use crate::{FederationError, Share};

/// Settings of the round loop.
#[derive(Debug, Clone, PartialEq)]
pub struct RoundsConfig {
    /// Number of training rounds; 0 evaluates the initial parameters and stops.
    pub rounds: usize,
    /// Early stopping: the run ends once this many evaluations in a row are no better than the best one before them, by
    /// the rule of [`Outcome::best_round`](crate::Outcome::best_round). By default, all rounds are run.
    pub patience: Option<NonZeroUsize>,
    /// The seed of the selection.
    pub seed: u64,
    /// The parameters that are sent.
    pub share: Share,
    /// Whether to emit events with the accuracies of local models, if clients report them.
    pub evaluate_local: bool,
    /// Tolerance for failing clients.
    pub policy: RoundPolicy,
    /// Save the state before the first round, after every so many rounds and after the last; 0 never saves.
    pub save_every: usize,
}

impl Default for RoundsConfig {
    /// One round, in which every trained parameter is sent.
    fn default() -> Self {
        Self {
            rounds: 1,
            patience: None,
            seed: 0,
            share: Share::All,
            evaluate_local: false,
            policy: RoundPolicy::default(),
            save_every: 1,
        }
    }
}

/// The tolerance of a round for failing clients.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct RoundPolicy {
    /// Seconds to wait for replies, in training and in evaluation; by default, the server waits for all clients.
    pub deadline: Option<f64>,
    /// The minimum number of accepted replies.
    pub quorum: usize,
    /// The consequence of fewer replies.
    pub below_quorum: BelowQuorum,
    /// Number of times that [`BelowQuorum::Retry`] repeats a round before the run fails.
    pub retries: usize,
    /// The largest accepted L2 norm of an update of the shared parameters. By default, an update is rejected if its
    /// norm is more than 1,000 times one plus that of the parameters, or, in a round with at least three updates, more
    /// than 1,000 times their median.
    pub max_update_norm: Option<f64>,
}

impl Default for RoundPolicy {
    /// Wait for all clients; one reply is enough, and a round without any fails the run.
    fn default() -> Self {
        Self {
            deadline: None,
            quorum: 1,
            below_quorum: BelowQuorum::Fail,
            retries: 3,
            max_update_norm: None,
        }
    }
}

/// The consequence of a round with too few accepted replies.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum BelowQuorum {
    /// The run fails.
    #[default]
    Fail,
    /// The round is repeated with newly drawn clients.
    Retry,
    /// The round changes nothing, and the next one begins.
    Skip,
}

impl RoundPolicy {
    /// Checks the values.
    ///
    /// # Errors
    /// [`FederationError::Policy`] names the field.
    pub fn check(&self) -> Result<(), FederationError> {
        let wrong = |field: &'static str, value: f64| {
            let problem = format!("{value} is not a positive number");
            Err(FederationError::Policy { field, problem })
        };
        match self.deadline {
            Some(value) if !(value > 0.0 && Duration::try_from_secs_f64(value).is_ok()) => {
                return wrong("deadline", value);
            }
            _ => {}
        }
        match self.max_update_norm {
            // A very large bound is a way to have none.
            Some(value) if !(value > 0.0 && value.is_finite()) => {
                return wrong("max_update_norm", value);
            }
            _ => {}
        }
        if self.quorum == 0 {
            let problem = "0 replies cannot be aggregated; it must be at least 1".to_owned();
            return Err(FederationError::Policy { field: "quorum", problem });
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn impossible_policies_are_named() {
        let good = RoundPolicy::default();
        assert!(good.check().is_ok());
        let without_a_bound = RoundPolicy { max_update_norm: Some(1e300), ..good };
        assert!(without_a_bound.check().is_ok());
        for (policy, field) in [
            (RoundPolicy { deadline: Some(0.0), ..good }, "federation.deadline"),
            (RoundPolicy { deadline: Some(1e300), ..good }, "federation.deadline"),
            (RoundPolicy { max_update_norm: Some(f64::NAN), ..good }, "federation.max_update_norm"),
            (RoundPolicy { quorum: 0, ..good }, "federation.quorum"),
        ] {
            let error = policy.check().unwrap_err().to_string();
            assert!(error.contains(field), "{error}");
        }
    }
}

use std::{num::NonZeroUsize, time::Duration};

use serde::{Deserialize, Serialize};

use crate::{FederationError, Share};

/// How rounds are run.
#[derive(Debug, Clone, PartialEq)]
pub struct RoundsConfig {
    /// Rounds of training; 0 evaluates the initial parameters and stops.
    pub rounds: usize,
    /// The run ends before its last round once so many evaluations in a row are no better than the best one before
    /// them, by the rule of [`Outcome::best_round`](crate::Outcome::best_round). Without, all rounds are run.
    pub patience: Option<NonZeroUsize>,
    /// The seed of the selection.
    pub seed: u64,
    /// Which parameters travel.
    pub share: Share,
    /// Whether the accuracies of local models, where clients report them, are told as events.
    pub evaluate_local: bool,
    /// What a round puts up with.
    pub policy: RoundPolicy,
    /// The state is kept before the first round, after every so many and after the last; 0: never.
    pub save_every: usize,
}

impl Default for RoundsConfig {
    /// One round, in which every trained parameter travels.
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

/// What a round puts up with from its clients.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct RoundPolicy {
    /// Seconds to wait for answers, in training and in evaluation; without, everybody is waited for.
    pub deadline: Option<f64>,
    /// The fewest accepted answers with which a round counts.
    pub quorum: usize,
    /// What happens to a round with fewer.
    pub below_quorum: BelowQuorum,
    /// How often [`BelowQuorum::Retry`] tries a round again before the run fails.
    pub retries: usize,
    /// The largest L2 norm of an update of the shared parameters that is accepted. Without, an update
    /// is refused whose norm is more than 1,000 times one plus that of the parameters, or, in a round
    /// with at least three updates, more than 1,000 times their median.
    pub max_update_norm: Option<f64>,
}

impl Default for RoundPolicy {
    /// Wait for everybody; one answer is enough, and a round without any fails the run.
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

/// What happens to a round with too few accepted answers.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum BelowQuorum {
    /// The run fails.
    #[default]
    Fail,
    /// The round is tried again, with clients that are drawn anew.
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
            // A very large one is a way to have no bound.
            Some(value) if !(value > 0.0 && value.is_finite()) => {
                return wrong("max_update_norm", value);
            }
            _ => {}
        }
        if self.quorum == 0 {
            let problem = "0 answers make no next model; it is at least 1".to_owned();
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

use std::sync::Arc;

use flora_core::ParameterRecord;
use serde::{Deserialize, Serialize};

use crate::RoundScore;

/// What a run of rounds computed.
#[derive(Debug, Clone, PartialEq)]
pub struct Outcome {
    /// The global parameters after the last evaluated round.
    pub last: ParameterRecord,
    /// The global parameters of the best round.
    pub best: ParameterRecord,
    /// The last evaluation.
    pub last_round: RoundScore,
    /// The evaluation with the highest unweighted mean accuracy; the earliest of equals. Round 0
    /// counts: if it is the best, training has not helped.
    pub best_round: RoundScore,
    /// The evaluation before any training.
    pub zero_shot: RoundScore,
    /// Every evaluation of the global model, from round 0.
    pub history: Vec<RoundScore>,
    /// Bytes of values that clients sent ([`ParameterRecord::byte_len`], without names and headers).
    pub bytes_up: u64,
    /// Bytes of values that were sent to the selected clients, for training. Parameters that are
    /// sent for an evaluation are not counted: a deployed federation need not evaluate every round.
    pub bytes_down: u64,
    /// Where the time went.
    pub seconds: PhaseSeconds,
}

/// Wall-clock seconds of a run of rounds, by phase.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
pub struct PhaseSeconds {
    /// Clients training.
    pub training: f64,
    /// The server aggregating.
    pub aggregation: f64,
    /// Clients testing the global model.
    pub evaluation: f64,
}

/// What was computed before a round failed.
#[derive(Debug, Clone, PartialEq)]
pub struct Partial {
    /// Everything up to the last evaluation; `None` if even round 0 was not evaluated.
    pub outcome: Option<Outcome>,
    /// Global parameters that were aggregated after that, but could not be evaluated.
    pub unevaluated: Option<ParameterRecord>,
}

/// The state of a run between rounds.
#[derive(Debug)]
pub(crate) struct Progress {
    pub(crate) current: Arc<ParameterRecord>,
    evaluated: Option<Evaluated>,
    pub(crate) bytes_up: u64,
    pub(crate) bytes_down: u64,
    pub(crate) seconds: PhaseSeconds,
}

#[derive(Debug)]
struct Evaluated {
    last: (Arc<ParameterRecord>, RoundScore),
    best: (Arc<ParameterRecord>, RoundScore),
    history: Vec<RoundScore>,
}

impl Progress {
    pub(crate) fn new(initial: ParameterRecord) -> Self {
        Self {
            current: Arc::new(initial),
            evaluated: None,
            bytes_up: 0,
            bytes_down: 0,
            seconds: PhaseSeconds::default(),
        }
    }

    /// Takes down how the current parameters did.
    pub(crate) fn scored(&mut self, score: RoundScore) {
        let current = || (Arc::clone(&self.current), score);
        match &mut self.evaluated {
            None => {
                self.evaluated =
                    Some(Evaluated { last: current(), best: current(), history: vec![score] });
            }
            Some(evaluated) => {
                evaluated.last = current();
                if score.is_better_than(&evaluated.best.1) {
                    evaluated.best = current();
                }
                evaluated.history.push(score);
            }
        }
    }

    pub(crate) fn into_partial(self) -> Partial {
        let Some(evaluated) = self.evaluated else {
            return Partial { outcome: None, unevaluated: None };
        };
        let unevaluated = !Arc::ptr_eq(&self.current, &evaluated.last.0);
        let (last, last_round) = evaluated.last;
        let (best, best_round) = evaluated.best;
        Partial {
            unevaluated: unevaluated.then(|| Arc::unwrap_or_clone(self.current)),
            outcome: Some(Outcome {
                last: Arc::unwrap_or_clone(last),
                best: Arc::unwrap_or_clone(best),
                last_round,
                best_round,
                zero_shot: evaluated.history[0],
                history: evaluated.history,
                bytes_up: self.bytes_up,
                bytes_down: self.bytes_down,
                seconds: self.seconds,
            }),
        }
    }
}

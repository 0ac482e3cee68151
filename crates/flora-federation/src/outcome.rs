use std::{collections::BTreeMap, sync::Arc};

use flora_core::ParameterRecord;
use serde::{Deserialize, Serialize};

use crate::{RoundScore, RoundsConfig};

/// What a run of rounds computed.
#[derive(Debug, Clone, PartialEq)]
pub struct Outcome {
    /// The global parameters after the last evaluated round.
    pub last: ParameterRecord,
    /// The global parameters of the best round.
    pub best: ParameterRecord,
    /// The last evaluation.
    pub last_round: RoundScore,
    /// The evaluation over the most clients and, among those, with the highest unweighted mean
    /// accuracy; the earliest of equals. Round 0
    /// counts: if it is the best, training has not helped.
    pub best_round: RoundScore,
    /// The evaluation before any training. With a new adapter of FLoRA, that of the zero-shot model.
    pub initial: RoundScore,
    /// Every evaluation of the global model, from round 0.
    pub history: Vec<RoundScore>,
    /// Whether the run ended before its last round because [`patience`](crate::RoundsConfig::patience) ran out.
    pub stopped_early: bool,
    /// Bytes that clients sent, as the fleet measured them. For a [`Simulation`](crate::Simulation):
    /// of values, without names and headers.
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
    /// Keeping the state from which a run can be resumed.
    #[serde(default)]
    pub saving: f64,
}

/// What was computed before a round failed.
#[derive(Debug, Clone, PartialEq)]
pub struct Partial {
    /// Everything up to the last evaluation; `None` if even round 0 was not evaluated.
    pub outcome: Option<Outcome>,
    /// Global parameters that were aggregated after that, but could not be evaluated.
    pub unevaluated: Option<ParameterRecord>,
}

/// How far a run has come.
#[derive(Debug, Clone)]
pub(crate) struct Progress {
    /// The shared parameters now.
    pub(crate) global: Arc<ParameterRecord>,
    /// Those that were evaluated last, and at their best.
    pub(crate) evaluated: Option<Evaluated>,
    /// Every evaluation.
    pub(crate) history: Vec<RoundScore>,
    /// The loss that each client reported when it trained last, where the selection wants to know.
    pub(crate) losses: BTreeMap<String, f64>,
    pub(crate) bytes_up: u64,
    pub(crate) bytes_down: u64,
    pub(crate) seconds: PhaseSeconds,
}

#[derive(Debug, Clone)]
pub(crate) struct Evaluated {
    pub(crate) last: Arc<ParameterRecord>,
    pub(crate) best: Arc<ParameterRecord>,
    /// The place of the best evaluation in the history.
    pub(crate) best_at: usize,
}

impl Progress {
    pub(crate) fn new(initial: ParameterRecord) -> Self {
        Self {
            global: Arc::new(initial),
            evaluated: None,
            history: Vec::new(),
            losses: BTreeMap::new(),
            bytes_up: 0,
            bytes_down: 0,
            seconds: PhaseSeconds::default(),
        }
    }

    /// Takes down how the current parameters did.
    pub(crate) fn scored(&mut self, score: RoundScore) {
        let at = self.history.len();
        let current = || Arc::clone(&self.global);
        match &mut self.evaluated {
            None => {
                self.evaluated = Some(Evaluated { last: current(), best: current(), best_at: at });
            }
            Some(evaluated) => {
                evaluated.last = current();
                if score.is_better_than(&self.history[evaluated.best_at]) {
                    evaluated.best = current();
                    evaluated.best_at = at;
                }
            }
        }
        self.history.push(score);
    }

    /// The best round, where the last evaluations were no better and patience with that has run out before the last
    /// round. It follows from the history alone, so that a resumed run comes to the same end.
    pub(crate) fn stopped_early(&self, config: &RoundsConfig) -> Option<&RoundScore> {
        let (patience, evaluated) = (config.patience?, self.evaluated.as_ref()?);
        let best = &self.history[evaluated.best_at];
        let since = &self.history[evaluated.best_at + 1..];
        let last = since.last()?;
        (since.len() >= patience.get() && last.round < config.rounds).then_some(best)
    }

    pub(crate) fn into_partial(self, config: &RoundsConfig) -> Partial {
        let stopped_early = self.stopped_early(config).is_some();
        let Some(Evaluated { last, best, best_at }) = self.evaluated else {
            return Partial { outcome: None, unevaluated: None };
        };
        let unevaluated = !Arc::ptr_eq(&self.global, &last);
        Partial {
            unevaluated: unevaluated.then(|| Arc::unwrap_or_clone(self.global)),
            outcome: Some(Outcome {
                last: Arc::unwrap_or_clone(last),
                best: Arc::unwrap_or_clone(best),
                last_round: self.history[self.history.len() - 1],
                best_round: self.history[best_at],
                initial: self.history[0],
                stopped_early,
                history: self.history,
                bytes_up: self.bytes_up,
                bytes_down: self.bytes_down,
                seconds: self.seconds,
            }),
        }
    }
}

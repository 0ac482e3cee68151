use std::{collections::BTreeMap, sync::Arc};

use flora_core::ParameterRecord;
use serde::{Deserialize, Serialize};

use crate::{RoundScore, RoundsConfig};

/// The result of a run of rounds.
#[derive(Debug, Clone, PartialEq)]
pub struct Outcome {
    /// The global parameters after the last evaluated round.
    pub last: ParameterRecord,
    /// The global parameters of the best round.
    pub best: ParameterRecord,
    /// The last evaluation.
    pub last_round: RoundScore,
    /// The best evaluation: the one over the most clients and, among those, with the highest unweighted mean accuracy;
    /// the earliest in a tie. Round 0 counts: if it is the best, training has not helped.
    pub best_round: RoundScore,
    /// The evaluation before any training. With a new FLoRA adapter, it is that of the zero-shot model.
    pub initial: RoundScore,
    /// Every evaluation of the global model, from round 0.
    pub history: Vec<RoundScore>,
    /// Whether the run ended before its last round because [`patience`](crate::RoundsConfig::patience) ran out.
    pub stopped_early: bool,
    /// Bytes that clients sent, as measured by the fleet. For a [`Simulation`](crate::Simulation): bytes of values,
    /// without names and headers.
    pub bytes_up: u64,
    /// Bytes of values sent to the selected clients for training. Parameters sent for an evaluation are not counted: a
    /// deployed federation need not evaluate every round.
    pub bytes_down: u64,
    /// Wall-clock seconds by phase.
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
    /// Saving the state from which a run can be resumed.
    #[serde(default)]
    pub saving: f64,
}

/// The results before a round failed.
#[derive(Debug, Clone, PartialEq)]
pub struct Partial {
    /// The outcome up to the last evaluation; `None` if even round 0 was not evaluated.
    pub outcome: Option<Outcome>,
    /// Global parameters that were aggregated later but could not be evaluated.
    pub unevaluated: Option<ParameterRecord>,
}

/// The progress of a run.
#[derive(Debug, Clone)]
pub(crate) struct RunProgress {
    /// The current shared parameters.
    pub(crate) global: Arc<ParameterRecord>,
    /// The parameters of the last and of the best evaluation.
    pub(crate) evaluated: Option<Evaluated>,
    /// Every evaluation.
    pub(crate) history: Vec<RoundScore>,
    /// The loss that each client last reported in training, if the selection uses it.
    pub(crate) losses: BTreeMap<String, f64>,
    pub(crate) bytes_up: u64,
    pub(crate) bytes_down: u64,
    pub(crate) seconds: PhaseSeconds,
}

#[derive(Debug, Clone)]
pub(crate) struct Evaluated {
    pub(crate) last: Arc<ParameterRecord>,
    pub(crate) best: Arc<ParameterRecord>,
    /// Index of the best evaluation in the history.
    pub(crate) best_at: usize,
}

impl RunProgress {
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

    /// Records the score of the current parameters.
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

    /// The best round, if the run stops early: the last evaluations were no better, and patience ran out before the
    /// last round. It depends on the history alone, so a resumed run stops at the same round.
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

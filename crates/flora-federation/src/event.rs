use serde::{Deserialize, Serialize};

use crate::{
    BelowQuorum, ClientInfo, ClientScore, Metrics, Reason, RoundScore, message::metrics_with_nan,
};

/// Progress events of a run; the terminal, the run folder and the report subscribe. In JSON, an event is one object
/// whose key `event` names the variant in snake case.
///
/// [`Rounds::run`](crate::Rounds::run) emits the events of rounds. Its caller emits `RunStarted`, `RunFinished` and the
/// phases outside of rounds (such as `data`).
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "event", rename_all = "snake_case")]
#[non_exhaustive]
pub enum Event {
    /// The run starts; always the first event.
    RunStarted {
        /// The experiment's name.
        name: String,
        /// The method, such as `flora`.
        method: String,
        /// The participating clients.
        clients: Vec<ClientInfo>,
        /// Number of rounds to run.
        rounds: usize,
        /// Number of parameters that are trained and sent.
        trainable_parameters: usize,
        /// Number of parameters of the whole model.
        total_parameters: usize,
        /// Bytes of values in one client's upload.
        bytes_per_client: u64,
        /// The experiment's seed.
        seed: u64,
    },
    /// Clients were selected and are about to train.
    RoundStarted {
        /// The round, from 0.
        round: usize,
        /// The clients that take part, sorted by id.
        selected: Vec<String>,
    },
    /// A client finished training. Emitted at the end of the round and sorted by client id, so that the order does not
    /// depend on the clients' speed.
    ClientReplied {
        /// The round.
        round: usize,
        /// The client.
        client: String,
        /// The client's wall-clock seconds.
        seconds: f64,
        /// The client's training examples.
        num_examples: usize,
        /// The client's metrics.
        #[serde(deserialize_with = "metrics_with_nan")]
        metrics: Metrics,
        /// Bytes of values that the client sent.
        bytes_up: u64,
    },
    /// A client failed to train or test, or its reply was rejected; the round goes on.
    ClientFailed {
        /// The round.
        round: usize,
        /// The client.
        client: String,
        /// The kind of failure.
        #[serde(default)]
        reason: Reason,
        /// The reason, for people.
        message: String,
    },
    /// Too few replies of a round were accepted, so none of them is used.
    BelowQuorum {
        /// The round.
        round: usize,
        /// Number of accepted replies.
        accepted: usize,
        /// The required number.
        quorum: usize,
        /// The consequence.
        then: BelowQuorum,
        /// The missing clients and the reasons, in short.
        message: String,
    },
    /// The server has computed the next global parameters.
    Aggregated {
        /// The round.
        round: usize,
        /// The strategy's name.
        strategy: String,
        /// Number of replies in the aggregate.
        replies: usize,
        /// Bytes of values that clients sent in this round.
        bytes_up: u64,
        /// Bytes of values sent to the selected clients in this round, for training.
        bytes_down: u64,
        /// Wall-clock seconds of the aggregation.
        seconds: f64,
        /// The combined metrics of the replies.
        #[serde(deserialize_with = "metrics_with_nan")]
        metrics: Metrics,
    },
    /// A model was evaluated.
    Evaluated {
        /// Number of training rounds before this evaluation.
        round: usize,
        /// The evaluated model.
        model: EvaluatedModel,
        /// Unweighted mean of `clients[..].accuracy`, 0..1, over clients with test examples.
        accuracy: f64,
        /// The same mean, weighted by test examples.
        accuracy_weighted: f64,
        /// Unweighted mean of the losses, if every client reports one.
        loss: Option<f64>,
        /// The clients' scores, sorted by id.
        clients: Vec<ClientScore>,
        /// Wall-clock seconds; 0 for local models, which are tested as part of training.
        seconds: f64,
    },
    /// The run stops early: no recent evaluation was better than the best one, and the patience is used up.
    StoppedEarly {
        /// The last evaluated round.
        round: usize,
        /// The best one.
        best_round: usize,
    },
    /// A phase of the run has ended.
    PhaseFinished {
        /// `data`, `training`, `aggregation`, `evaluation` or `saving`.
        phase: String,
        /// Wall-clock seconds, summed over rounds.
        seconds: f64,
    },
    /// Information that needs no action.
    Note {
        /// The text.
        message: String,
    },
    /// A problem that does not stop the run.
    Warning {
        /// The problem and its remedy.
        message: String,
    },
    /// The run ended; always the last event.
    RunFinished {
        /// How the run ended.
        status: RunStatus,
        /// The reason, if the run failed.
        message: Option<String>,
        /// The last evaluation.
        last_round: Option<RoundScore>,
        /// The best evaluation.
        best_round: Option<RoundScore>,
        /// Bytes of values that clients sent.
        bytes_up: u64,
        /// Bytes of values sent to clients for training.
        bytes_down: u64,
        /// Wall-clock seconds of the whole run.
        seconds: f64,
    },
}

/// The model that an evaluation is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum EvaluatedModel {
    /// The global model, on every client's test examples.
    Global,
    /// Each client's own model after its local training, on that client's test examples.
    Local,
    /// The same, if the shared parameters alone are not a complete model ([`Share`](crate::Share)). Own models are then
    /// tested whenever a global model would be.
    Own,
}

/// How a run ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RunStatus {
    /// All rounds were run, or as many as [`patience`](crate::RoundsConfig::patience) allowed.
    Finished,
    /// The run was asked to stop before its last round, and can be resumed.
    Interrupted,
    /// The run stopped before its last round because of an error.
    Failed,
}

impl Event {
    /// An `Evaluated` event with these client scores and their means.
    pub(crate) fn evaluated(
        model: EvaluatedModel,
        mean: RoundScore,
        clients: Vec<ClientScore>,
        seconds: f64,
    ) -> Self {
        Self::Evaluated {
            round: mean.round,
            model,
            accuracy: mean.accuracy,
            accuracy_weighted: mean.accuracy_weighted,
            loss: mean.loss,
            clients,
            seconds,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_evaluation_has_the_documented_form() {
        let event = Event::Evaluated {
            round: 0,
            model: EvaluatedModel::Global,
            accuracy: 0.15,
            accuracy_weighted: 0.16,
            loss: None,
            clients: vec![ClientScore {
                client: "noto".to_owned(),
                accuracy: 0.15,
                loss: Some(2.5),
                num_examples: 40,
            }],
            seconds: 0.5,
        };
        let json = serde_json::to_string(&event).unwrap();
        assert_eq!(
            json,
            concat!(
                r#"{"event":"evaluated","round":0,"model":"global","accuracy":0.15,"#,
                r#""accuracy_weighted":0.16,"loss":null,"clients":[{"client":"noto","#,
                r#""accuracy":0.15,"loss":2.5,"num_examples":40}],"seconds":0.5}"#
            )
        );
        assert_eq!(serde_json::from_str::<Event>(&json).unwrap(), event);
    }

    #[test]
    fn a_metric_that_is_not_a_number_can_be_read_back() {
        let event = Event::ClientReplied {
            round: 3,
            client: "a".to_owned(),
            seconds: 1.0,
            num_examples: 5,
            metrics: Metrics::from([("loss".to_owned(), f64::NAN)]),
            bytes_up: 8,
        };
        let json = serde_json::to_string(&event).unwrap();
        assert!(json.contains(r#""metrics":{"loss":null}"#), "{json}");
        let Event::ClientReplied { metrics, .. } = serde_json::from_str(&json).unwrap() else {
            panic!("another event");
        };
        assert!(metrics["loss"].is_nan());
    }
}

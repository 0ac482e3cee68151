use serde::{Deserialize, Serialize};

use crate::{
    BelowQuorum, ClientInfo, ClientScore, Metrics, Reason, RoundScore, message::metrics_with_nan,
};

/// Everything worth telling about a run. The terminal, the run folder and the report all live on
/// these; in JSON an event is one object whose key `event` names the variant in snake case.
///
/// [`Rounds::run`](crate::Rounds::run) emits what happens in rounds. `RunStarted`, `RunFinished` and
/// the phases outside of rounds (such as `data`) belong to its caller, who knows about them.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "event", rename_all = "snake_case")]
#[non_exhaustive]
pub enum Event {
    /// Before anything else.
    RunStarted {
        /// The experiment's name.
        name: String,
        /// The method, such as `flora`.
        method: String,
        /// Who takes part.
        clients: Vec<ClientInfo>,
        /// Rounds to run.
        rounds: usize,
        /// Parameters that are trained and sent.
        trainable_parameters: usize,
        /// Parameters of the whole model.
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
    /// A client came back from training. Told at the end of the round, sorted by id, so that the
    /// order does not depend on who was faster.
    ClientReplied {
        /// The round.
        round: usize,
        /// The client.
        client: String,
        /// Its own wall-clock seconds.
        seconds: f64,
        /// Its training examples.
        num_examples: usize,
        /// What it measured.
        #[serde(deserialize_with = "metrics_with_nan")]
        metrics: Metrics,
        /// Bytes of values that it sent.
        bytes_up: u64,
    },
    /// A client could not train or test, or what it sent was refused; the round goes on.
    ClientFailed {
        /// The round.
        round: usize,
        /// The client.
        client: String,
        /// The kind of reason.
        #[serde(default)]
        reason: Reason,
        /// Why.
        message: String,
    },
    /// Too few answers of a round were accepted: none of them is used.
    BelowQuorum {
        /// The round.
        round: usize,
        /// How many answers were accepted.
        accepted: usize,
        /// How many there must be.
        quorum: usize,
        /// What happens now.
        then: BelowQuorum,
        /// Who is missing, and why, in short.
        message: String,
    },
    /// The next global parameters are there.
    Aggregated {
        /// The round.
        round: usize,
        /// The strategy's name.
        strategy: String,
        /// Replies in the aggregate.
        replies: usize,
        /// Bytes of values that clients sent in this round.
        bytes_up: u64,
        /// Bytes of values that were sent to the selected clients in this round, for training.
        bytes_down: u64,
        /// Wall-clock seconds of the aggregation.
        seconds: f64,
        /// The replies' metrics as one.
        #[serde(deserialize_with = "metrics_with_nan")]
        metrics: Metrics,
    },
    /// A model was tested.
    Evaluated {
        /// The round: how many rounds of training the model has seen.
        round: usize,
        /// Which model.
        model: EvaluatedModel,
        /// Unweighted mean of `clients[..].accuracy`, 0..1, over clients with test examples.
        accuracy: f64,
        /// The same mean weighted by test examples.
        accuracy_weighted: f64,
        /// Unweighted mean of the losses, if every client reports one.
        loss: Option<f64>,
        /// Each client by itself, sorted by id.
        clients: Vec<ClientScore>,
        /// Wall-clock seconds; for local models, which are tested within training, 0.
        seconds: f64,
    },
    /// No evaluation since the best one was better, and patience with that has run out: no further round is run.
    StoppedEarly {
        /// The last evaluated round.
        round: usize,
        /// The best one.
        best_round: usize,
    },
    /// A phase of the run is over.
    PhaseFinished {
        /// `data`, `training`, `aggregation`, `evaluation` or `saving`.
        phase: String,
        /// Wall-clock seconds, summed over rounds.
        seconds: f64,
    },
    /// Something worth knowing that is in order.
    Note {
        /// What.
        message: String,
    },
    /// Something is off, and the run goes on.
    Warning {
        /// What, and what to do.
        message: String,
    },
    /// After everything else.
    RunFinished {
        /// How it ended.
        status: RunStatus,
        /// Why it failed.
        message: Option<String>,
        /// The last evaluation.
        last_round: Option<RoundScore>,
        /// The best evaluation.
        best_round: Option<RoundScore>,
        /// Bytes of values that clients sent.
        bytes_up: u64,
        /// Bytes of values that were sent to clients, for training.
        bytes_down: u64,
        /// Wall-clock seconds of the whole run.
        seconds: f64,
    },
}

/// Which model an evaluation is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum EvaluatedModel {
    /// The one global model, on every client's test examples.
    Global,
    /// Each client's own model after its local training, on that client's test examples.
    Local,
    /// The same, where the shared parameters alone are no model ([`Share`](crate::Share)): tested
    /// whenever a global one would be.
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
    /// The run stopped before its last round, because something went wrong.
    Failed,
}

impl Event {
    /// An `Evaluated` event of these client scores and their means.
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

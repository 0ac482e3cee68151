use std::collections::BTreeSet;

use flora_federation::{AGGREGATION_ERROR, ClientScore, EPSILON, EvaluatedModel, Event};

use crate::LocalAccuracy;

/// Client results collected from a run's events as they arrive: with ten thousand clients, the events of all rounds are
/// too many to keep.
#[derive(Debug, Clone, Default)]
pub struct ClientTally {
    pub(crate) trainers: BTreeSet<String>,
    pub(crate) replies: u64,
    /// From the last evaluation of the global model or, if there is none, of the clients' own models.
    pub(crate) model: Option<EvaluatedModel>,
    pub(crate) last: Vec<ClientScore>,
    pub(crate) local: Option<LocalAccuracy>,
    /// The sum of the aggregation errors, and the number of rounds.
    pub(crate) aggregation: (f64, usize),
    /// The largest privacy budget spent.
    pub(crate) epsilon: Option<f64>,
}

/// The largest privacy budget spent, including that of one more answer or round.
pub(crate) fn spent(before: Option<f64>, now: Option<f64>) -> Option<f64> {
    before.into_iter().chain(now.filter(|epsilon| epsilon.is_finite())).reduce(f64::max)
}

impl ClientTally {
    /// Collects the results in `event`.
    pub fn hear(&mut self, event: &Event) {
        match event {
            Event::ClientReplied { client, metrics, .. } => {
                self.replies += 1;
                // Also from answers that did not count.
                self.epsilon = spent(self.epsilon, metrics.get(EPSILON).copied());
                if !self.trainers.contains(client) {
                    self.trainers.insert(client.clone());
                }
            }
            Event::Aggregated { metrics, .. } => {
                if let Some(error) = metrics.get(AGGREGATION_ERROR) {
                    self.aggregation.0 += error;
                    self.aggregation.1 += 1;
                }
                self.epsilon = spent(self.epsilon, metrics.get(EPSILON).copied());
            }
            Event::Evaluated { model: EvaluatedModel::Local, .. } => self.local = local(event),
            Event::Evaluated { model, clients, .. } => {
                self.model = Some(*model);
                self.last.clone_from(clients);
            }
            _ => {}
        }
    }
}

/// The summary of an evaluation of local models; `None` if no client was tested.
fn local(event: &Event) -> Option<LocalAccuracy> {
    let Event::Evaluated { round, accuracy, accuracy_weighted, clients, .. } = event else {
        return None;
    };
    let tested = || clients.iter().filter(|score| score.num_examples > 0);
    let worst = tested().map(|score| score.accuracy).reduce(f64::min)?;
    Some(LocalAccuracy {
        round: *round,
        mean: *accuracy,
        weighted: *accuracy_weighted,
        worst,
        num_clients: tested().count(),
    })
}

#[cfg(test)]
mod tests {
    use flora_federation::RunStatus;

    use super::*;
    use crate::RunSummary;

    fn evaluated(round: usize, model: EvaluatedModel, accuracies: &[(&str, f64)]) -> Event {
        let client = |&(client, accuracy): &(&str, f64)| ClientScore {
            client: client.to_owned(),
            accuracy,
            loss: None,
            num_examples: 10,
        };
        Event::Evaluated {
            round,
            model,
            accuracy: 0.5,
            accuracy_weighted: 0.25,
            loss: None,
            clients: accuracies.iter().map(client).collect(),
            seconds: 0.0,
        }
    }

    #[test]
    fn the_last_evaluation_and_every_trainer_count() {
        let selected = |round, ids: &[&str]| Event::RoundStarted {
            round,
            selected: ids.iter().map(|&id| id.to_owned()).collect(),
        };
        let replied = |client: &str| Event::ClientReplied {
            round: 0,
            client: client.to_owned(),
            seconds: 0.0,
            num_examples: 1,
            metrics: Default::default(),
            bytes_up: 0,
        };
        let mut tally = ClientTally::default();
        for event in [
            evaluated(0, EvaluatedModel::Global, &[("a", 0.1), ("b", 0.2)]),
            selected(0, &["b"]),
            replied("b"),
            evaluated(1, EvaluatedModel::Local, &[("b", 0.9)]),
            evaluated(1, EvaluatedModel::Global, &[("b", 0.4), ("a", 0.3)]),
            selected(1, &["b"]),
            replied("b"),
            evaluated(2, EvaluatedModel::Local, &[("b", 0.8), ("c", 0.7)]),
        ] {
            tally.hear(&event);
        }
        let mut summary = RunSummary::new("x", RunStatus::Finished, None);
        summary.tell_clients(tally);
        assert_eq!((summary.trainers, summary.replies), (1, 2));
        let clients: Vec<_> =
            summary.clients.iter().map(|c| (c.client.as_str(), c.accuracy, c.trained)).collect();
        assert_eq!(clients, [("a", 0.3, false), ("b", 0.4, true)]);
        let local = summary.local.unwrap();
        assert_eq!((local.round, local.worst, local.num_clients), (2, 0.7, 2));
    }
}

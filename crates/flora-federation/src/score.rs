use serde::{Deserialize, Serialize};

use crate::Metrics;

/// The score of a model on one client's test examples.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ClientScore {
    /// The client.
    pub client: String,
    /// Share of correct predictions, 0..1.
    pub accuracy: f64,
    /// Mean loss over the test examples, if the client reports one.
    pub loss: Option<f64>,
    /// Number of test examples.
    pub num_examples: usize,
}

/// The score of a model over all clients that have test examples.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct RoundScore {
    /// The round, from 0; round 0 is the model before any training.
    pub round: usize,
    /// Unweighted mean of the clients' accuracies, 0..1.
    pub accuracy: f64,
    /// Mean of the clients' accuracies weighted by test examples, 0..1: the accuracy over all test examples.
    pub accuracy_weighted: f64,
    /// Unweighted mean of the clients' losses, if every client reports one.
    pub loss: Option<f64>,
    /// Number of clients in the means.
    pub num_clients: usize,
}

impl ClientScore {
    /// Reads `accuracy` and the metric named `loss_key`; an error names the problem.
    pub(crate) fn from_metrics(
        client: &str,
        num_examples: usize,
        metrics: &Metrics,
        loss_key: &str,
    ) -> Result<Self, String> {
        let accuracy = match metrics.get("accuracy") {
            None => return Err("its reply has no metric `accuracy`".to_owned()),
            Some(accuracy) if !(0.0..=1.0).contains(accuracy) => {
                return Err(format!(
                    "its reply says accuracy = {accuracy}, which is not between 0 and 1"
                ));
            }
            Some(&accuracy) => accuracy,
        };
        let loss = metrics.get(loss_key).copied();
        // A model that predicts only NaN still has an accuracy: that of always choosing the first class.
        if let Some(loss) = loss.filter(|loss| !loss.is_finite()) {
            return Err(format!(
                "its reply has {loss_key} = {loss}: the model's outputs are no longer finite; if training \
                 caused this, lower the learning rate"
            ));
        }
        Ok(Self { client: client.to_owned(), accuracy, loss, num_examples })
    }
}

impl RoundScore {
    /// The means over the clients with test examples; `None` if there are none.
    pub fn mean(round: usize, scores: &[ClientScore]) -> Option<Self> {
        let scores: Vec<_> = scores.iter().filter(|score| score.num_examples > 0).collect();
        if scores.is_empty() {
            return None;
        }
        let clients = scores.len() as f64;
        let examples: f64 = scores.iter().map(|score| score.num_examples as f64).sum();
        let accuracy = scores.iter().map(|score| score.accuracy).sum::<f64>() / clients;
        let right: f64 =
            scores.iter().map(|score| score.accuracy * score.num_examples as f64).sum();
        let losses: Option<f64> = scores.iter().map(|score| score.loss).sum();
        Some(Self {
            round,
            accuracy,
            accuracy_weighted: right / examples,
            loss: losses.map(|sum| sum / clients),
            num_clients: scores.len(),
        })
    }

    /// Whether this score is better than `other`. A mean over more clients beats any mean over fewer, because means
    /// over different clients are not comparable.
    pub(crate) fn is_better_than(&self, other: &Self) -> bool {
        (self.num_clients, self.accuracy) > (other.num_clients, other.accuracy)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn score(client: &str, accuracy: f64, loss: Option<f64>, num_examples: usize) -> ClientScore {
        ClientScore { client: client.to_owned(), accuracy, loss, num_examples }
    }

    #[test]
    fn means_leave_out_clients_without_test_examples() {
        let scores = [
            score("a", 0.5, Some(1.0), 10),
            score("b", 1.0, Some(3.0), 30),
            score("c", 0.0, None, 0),
        ];
        let mean = RoundScore::mean(4, &scores).unwrap();
        assert_eq!(
            mean,
            RoundScore {
                round: 4,
                accuracy: 0.75,
                accuracy_weighted: 0.875,
                loss: Some(2.0),
                num_clients: 2,
            }
        );
        assert_eq!(RoundScore::mean(4, &scores[2..]), None);
    }

    #[test]
    fn a_loss_that_one_client_lacks_is_no_mean() {
        let scores = [score("a", 0.5, Some(1.0), 10), score("b", 1.0, None, 30)];
        assert_eq!(RoundScore::mean(0, &scores).unwrap().loss, None);
    }

    #[test]
    fn an_accuracy_must_be_there_and_a_share() {
        for (metrics, message) in [
            (Metrics::new(), "no metric `accuracy`"),
            (Metrics::from([("accuracy".to_owned(), 45.0)]), "accuracy = 45"),
            (Metrics::from([("accuracy".to_owned(), f64::NAN)]), "accuracy = NaN"),
            (
                Metrics::from([("accuracy".to_owned(), 0.5), ("loss".to_owned(), f64::NAN)]),
                "loss = NaN",
            ),
        ] {
            let error = ClientScore::from_metrics("a", 3, &metrics, "loss").unwrap_err();
            assert!(error.contains(message), "{error}");
        }
    }

    #[test]
    fn better_means_more_clients_then_more_accurate() {
        let of = |num_clients, accuracy| RoundScore {
            round: 0,
            accuracy,
            accuracy_weighted: accuracy,
            loss: None,
            num_clients,
        };
        assert!(of(4, 0.5).is_better_than(&of(4, 0.4)));
        assert!(!of(4, 0.5).is_better_than(&of(4, 0.5)));
        assert!(!of(3, 0.9).is_better_than(&of(4, 0.5)));
    }
}

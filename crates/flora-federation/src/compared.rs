use serde::{Deserialize, Serialize};

/// The accuracy after the last round by which runs are compared: that of the global model, or that of the clients' own
/// models if there is no global one.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Compared {
    /// The unweighted mean over clients. With a split into base and novel classes, the harmonic mean of the two
    /// accuracies.
    #[default]
    Mean,
    /// The mean over clients weighted by test examples.
    Weighted,
    /// The lowest accuracy of any client.
    WorstClient,
    /// The mean over clients that only test, if other clients train.
    OtherClients,
    /// The accuracy on the novel classes.
    Novel,
}

impl Compared {
    /// The name in tables.
    pub fn name(self) -> &'static str {
        match self {
            Self::Mean => "mean",
            Self::Weighted => "weighted mean",
            Self::WorstClient => "worst client",
            Self::OtherClients => "other clients",
            Self::Novel => "novel classes",
        }
    }
}

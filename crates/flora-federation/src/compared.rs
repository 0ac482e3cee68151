use serde::{Deserialize, Serialize};

/// By which accuracy after the last round runs are compared: of the global model, or of the clients' own models where
/// there is none.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Compared {
    /// The unweighted mean over clients, or the harmonic mean of base and novel classes where classes are split so.
    #[default]
    Mean,
    /// The mean over clients weighted by test examples.
    Weighted,
    /// The worst client.
    WorstClient,
    /// The mean over the clients that only test, where others train.
    OtherClients,
    /// The novel classes.
    Novel,
}

impl Compared {
    /// As tables call it.
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

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// A workload to time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum Workload {
    /// Pixels to image features.
    ImageEncode,
    /// Token ids to text features.
    TextEncode,
    /// A step of a FLoRA client: loss, gradients and Adam's step of the adapters in the text tower. The image features
    /// are given.
    LoraStep,
    /// A step of full fine-tuning: both towers forward and backward, and Adam's step of every weight.
    FullStep,
    /// FedAvg of the adapters of some clients.
    Aggregation,
}

impl Workload {
    /// All workloads, in the order of their timing.
    pub const ALL: [Self; 5] =
        [Self::ImageEncode, Self::TextEncode, Self::LoraStep, Self::FullStep, Self::Aggregation];

    /// The name on the command line and in JSON.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::ImageEncode => "image-encode",
            Self::TextEncode => "text-encode",
            Self::LoraStep => "lora-step",
            Self::FullStep => "full-step",
            Self::Aggregation => "aggregation",
        }
    }

    /// The unit of the items in a batch.
    pub fn unit(self) -> &'static str {
        match self {
            Self::ImageEncode => "images",
            Self::TextEncode => "texts",
            Self::LoraStep | Self::FullStep => "samples",
            Self::Aggregation => "clients",
        }
    }
}

impl fmt::Display for Workload {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

impl FromStr for Workload {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        Self::ALL.into_iter().find(|workload| workload.as_str() == text).ok_or_else(|| {
            let names = Self::ALL.map(Self::as_str).join(", ");
            format!("unknown workload; choose among: {names}")
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_come_back() {
        for workload in Workload::ALL {
            assert_eq!(workload.as_str().parse(), Ok(workload));
            let json = serde_json::to_string(&workload).unwrap();
            assert_eq!(json, format!("\"{workload}\""));
        }
        let error = "image".parse::<Workload>().unwrap_err();
        assert!(error.contains("image-encode"), "{error}");
    }
}

//! Which images are for training and which for testing.

use flora_core::seed;
use std::fmt;
use std::str::FromStr;

use rand::seq::SliceRandom;
use serde::{Deserialize, Serialize};

use super::Sample;
use crate::Error;

/// The side of the split that a sample is on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Split {
    /// For training; these are dealt out to the clients.
    Train,
    /// For testing only.
    Test,
}

/// How the samples are split. Figures under different protocols do not compare.
///
/// Written as text: `official`, `merged-80-20` (seed 1) or `merged-80-20:SEED`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum Protocol {
    /// The split that the data set ships with. A data set without one
    /// ([`Dataset::has_official_split`](super::Dataset::has_official_split)) has its
    /// [`MERGED`](Protocol::MERGED) split instead.
    Official,
    /// All samples are pooled, and a random 20 % of them (rounded up) is the test set: what FLoRA's
    /// reference code does (arXiv 2404.15182), with seed 1.
    Merged8020 {
        /// Draws the test set; not the seed of training or of the partition.
        seed: u64,
    },
}

impl Protocol {
    /// The merged split with the seed of FLoRA's reference code.
    pub const MERGED: Self = Self::Merged8020 { seed: 1 };
}

impl fmt::Display for Protocol {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Official => f.write_str("official"),
            Self::Merged8020 { seed: 1 } => f.write_str("merged-80-20"),
            Self::Merged8020 { seed } => write!(f, "merged-80-20:{seed}"),
        }
    }
}

impl FromStr for Protocol {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        let unknown = || Error::Protocol(text.to_owned());
        match text.split_once(':') {
            None if text == "official" => Ok(Self::Official),
            None if text == "merged-80-20" => Ok(Self::MERGED),
            Some(("merged-80-20", seed)) => {
                let seed = seed.parse().map_err(|_| unknown())?;
                Ok(Self::Merged8020 { seed })
            }
            _ => Err(unknown()),
        }
    }
}

impl TryFrom<String> for Protocol {
    type Error = Error;

    fn try_from(text: String) -> Result<Self, Error> {
        text.parse()
    }
}

impl From<Protocol> for String {
    fn from(protocol: Protocol) -> Self {
        protocol.to_string()
    }
}

/// Set the split of every sample.
pub(super) fn split(samples: &mut [Sample], protocol: Protocol) {
    let official = samples.iter().all(|sample| sample.official.is_some());
    let seed = match protocol {
        Protocol::Official if official => {
            for sample in samples {
                sample.split = sample.official.unwrap_or(Split::Train);
            }
            return;
        }
        Protocol::Official => 1,
        Protocol::Merged8020 { seed } => seed,
    };
    let mut order: Vec<usize> = (0..samples.len()).collect();
    order.shuffle(&mut seed::stream(seed, "split/merged-80-20"));
    let tests = samples.len().div_ceil(5);
    for (rank, index) in order.into_iter().enumerate() {
        samples[index].split = if rank < tests { Split::Test } else { Split::Train };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn protocols_are_read_and_written_as_text() {
        for (text, protocol) in [
            ("official", Protocol::Official),
            ("merged-80-20", Protocol::MERGED),
            ("merged-80-20:7", Protocol::Merged8020 { seed: 7 }),
        ] {
            assert_eq!(text.parse::<Protocol>().unwrap(), protocol);
            assert_eq!(protocol.to_string(), text);
        }
        for bad in ["", "Official", "merged", "merged-80-20:x", "official:1"] {
            let message = bad.parse::<Protocol>().unwrap_err().to_string();
            assert!(message.contains("merged-80-20"), "{message}");
        }
    }
}

//! Splits into training and test images.

use flora_core::seed;
use std::fmt;
use std::str::FromStr;

use rand::seq::SliceRandom;
use serde::{Deserialize, Serialize};

use super::Sample;
use super::stratified::hold_out;
use crate::Error;

/// The split that a sample belongs to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Split {
    /// For training; partitioned across the clients.
    Train,
    /// Held out of the training images to evaluate a run during training; see
    /// [`ValidationShare`](super::ValidationShare).
    Validation,
    /// For testing only.
    Test,
}

impl Split {
    /// All splits.
    pub const ALL: [Self; 3] = [Self::Train, Self::Validation, Self::Test];

    /// The name in files.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Train => "train",
            Self::Validation => "validation",
            Self::Test => "test",
        }
    }
}

/// How the samples are split. Results under different protocols are not comparable.
///
/// Written as text: `official`, `merged-80-20` (seed 1), `merged-80-20:SEED`, `stratified-80-20` (seed 1) or
/// `stratified-80-20:SEED`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum Protocol {
    /// The split published with the data set. A data set without one
    /// ([`Dataset::has_official_split`](super::Dataset::has_official_split)) uses its [`MERGED`](Protocol::MERGED)
    /// split instead.
    Official,
    /// All samples are pooled, and a random 20 % of them (rounded up) is the test set, as in FLoRA's reference code
    /// (arXiv 2404.15182), which uses seed 1.
    Merged8020 {
        /// Draws the test set; independent of the seeds of training and partition.
        seed: u64,
    },
    /// All samples are pooled, and a random 20 % of every class is the test set, or of every class of every domain if
    /// there are domains. Every share, including those of classes and domains, is 20 % rounded up or down, with two
    /// exceptions: a class or a domain with one image trains with it, and a domain with several has at least one for
    /// testing.
    Stratified8020 {
        /// Draws the test set; independent of the seeds of training and partition.
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
            Self::Stratified8020 { seed: 1 } => f.write_str("stratified-80-20"),
            Self::Stratified8020 { seed } => write!(f, "stratified-80-20:{seed}"),
        }
    }
}

impl FromStr for Protocol {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        let unknown = || Error::Protocol(text.to_owned());
        let (name, seed) = match text.split_once(':') {
            None => (text, None),
            Some((name, seed)) => (name, Some(seed.parse().map_err(|_| unknown())?)),
        };
        match (name, seed) {
            ("official", None) => Ok(Self::Official),
            ("merged-80-20", seed) => Ok(Self::Merged8020 { seed: seed.unwrap_or(1) }),
            ("stratified-80-20", seed) => Ok(Self::Stratified8020 { seed: seed.unwrap_or(1) }),
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

/// In millionths.
const FIFTH: u64 = 200_000;

/// Sets the split of some samples.
pub(super) fn set(samples: &mut [Sample], indices: impl IntoIterator<Item = usize>, split: Split) {
    for index in indices {
        samples[index].split = split;
    }
}

/// Sets the split of every sample.
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
        Protocol::Stratified8020 { seed } => {
            let rng = &mut seed::stream(seed, "split/stratified-80-20");
            let tests = hold_out(samples, 0..samples.len(), FIFTH, rng);
            set(samples, 0..samples.len(), Split::Train);
            set(samples, tests, Split::Test);
            return;
        }
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
            ("stratified-80-20", Protocol::Stratified8020 { seed: 1 }),
            ("stratified-80-20:7", Protocol::Stratified8020 { seed: 7 }),
        ] {
            assert_eq!(text.parse::<Protocol>().unwrap(), protocol);
            assert_eq!(protocol.to_string(), text);
        }
        for bad in ["", "Official", "merged", "merged-80-20:x", "official:1", "stratified-80-20:"] {
            let message = bad.parse::<Protocol>().unwrap_err().to_string();
            assert!(message.contains("\"stratified-80-20:SEED\""), "{message}");
        }
    }
}

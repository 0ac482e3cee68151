//! How a data set is dealt out to clients, as the experiment writes it.

use serde::{Deserialize, Deserializer, Serialize};

/// The rule by which training images go to clients.
///
/// Every rule but [`FewShot`](PartitionConfig::FewShot) is an exact disjoint cover of the training images.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "kebab-case", deny_unknown_fields)]
pub enum PartitionConfig {
    /// A random split into shards whose sizes differ by at most one.
    Iid {
        /// The number of clients.
        clients: usize,
    },

    /// Class by class, in the order of the labels, the images go to the clients in proportions drawn from
    /// `Dirichlet(beta, ..., beta)` (Hsu et al., arXiv 1909.06335).
    ///
    /// The draw is repeated until every client has `min_samples` images. After `max_tries` draws, the one
    /// that came closest is either repaired, by moving images of the largest client's commonest class to
    /// the clients that are short, or refused.
    Dirichlet {
        /// The number of clients.
        clients: usize,
        /// The concentration, above 0: at 0.1 most clients lack most classes, at 100 all look alike.
        beta: f64,
        /// The fewest training images of a client. The default of 2 is the least that gives a
        /// contrastive loss something to contrast.
        #[serde(default = "defaults::min_samples")]
        min_samples: usize,
        /// Whether a client that already has its equal share of all images gets nothing of further
        /// classes, as in the reference codes of FLoRA and PFLlib (the default). It evens the shards out.
        #[serde(default = "defaults::yes")]
        capacity_mask: bool,
        /// The most draws; 1000 by default.
        #[serde(default = "defaults::max_tries")]
        max_tries: usize,
        /// Whether to repair the best draw (the default) rather than fail.
        #[serde(default = "defaults::yes")]
        repair: bool,
    },

    /// Every client holds images of `classes_per_client` classes. Each class goes to as many clients as
    /// any other, give or take one, and its images are split evenly among them.
    Pathological {
        /// The number of clients.
        clients: usize,
        /// The number of classes of each client; 4 in FLoRA's reference code.
        classes_per_client: usize,
    },

    /// One client for each domain of the data set.
    // A unit variant would let unknown keys pass.
    #[serde(deserialize_with = "no_fields")]
    Natural,

    /// A few images of each class for each client.
    ///
    /// | `of` | a client gets |
    /// |---|---|
    /// | `iid` | `shots` images of every class from the shared pool: clients may overlap |
    /// | `pathological` | `shots` images of each of its classes; the shuffled classes are split disjointly, `classes / clients` (rounded down) each, the remainder to the last client, and `classes_per_client` is not looked at |
    /// | `dirichlet`, `natural` | `shots` images of each class of its own shard |
    ///
    /// A class with fewer images gives all it has.
    FewShot {
        /// Images of a class for a client; 1, 2, 4, 8 and 16 are usual.
        shots: usize,
        /// The rule to draw from; not itself few-shot.
        of: Box<PartitionConfig>,
    },
}

impl PartitionConfig {
    /// A Dirichlet partition with the default minimum, mask and retries.
    pub fn dirichlet(clients: usize, beta: f64) -> Self {
        Self::Dirichlet {
            clients,
            beta,
            min_samples: defaults::min_samples(),
            capacity_mask: defaults::yes(),
            max_tries: defaults::max_tries(),
            repair: defaults::yes(),
        }
    }

    /// This partition, reduced to `shots` images of a class for each client.
    pub fn few_shot(self, shots: usize) -> Self {
        Self::FewShot { shots, of: Box::new(self) }
    }

    /// Whether the clients are the domains of the data set.
    pub fn is_natural(&self) -> bool {
        match self {
            Self::Natural => true,
            Self::FewShot { of, .. } => of.is_natural(),
            _ => false,
        }
    }
}

mod defaults {
    pub(super) fn min_samples() -> usize {
        2
    }

    pub(super) fn max_tries() -> usize {
        1000
    }

    pub(super) fn yes() -> bool {
        true
    }
}

fn no_fields<'de, D: Deserializer<'de>>(deserializer: D) -> Result<(), D::Error> {
    #[derive(Deserialize)]
    #[serde(deny_unknown_fields)]
    struct NoFields {}
    NoFields::deserialize(deserializer).map(|NoFields {}| ())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(toml: &str) -> Result<PartitionConfig, String> {
        toml::from_str(toml).map_err(|error| error.to_string())
    }

    #[test]
    fn every_kind_is_read_and_written() {
        for (text, config) in [
            ("kind = 'iid'\nclients = 3", PartitionConfig::Iid { clients: 3 }),
            ("kind = 'dirichlet'\nclients = 3\nbeta = 0.1", PartitionConfig::dirichlet(3, 0.1)),
            (
                "kind = 'pathological'\nclients = 3\nclasses_per_client = 2",
                PartitionConfig::Pathological { clients: 3, classes_per_client: 2 },
            ),
            ("kind = 'natural'", PartitionConfig::Natural),
            (
                "kind = 'few-shot'\nshots = 4\nof = { kind = 'natural' }",
                PartitionConfig::Natural.few_shot(4),
            ),
        ] {
            assert_eq!(read(text).unwrap(), config);
            let written = toml::to_string(&config).unwrap();
            assert_eq!(read(&written).unwrap(), config, "{written}");
        }
    }

    #[test]
    fn an_unknown_key_is_refused() {
        for text in [
            "kind = 'iid'\nclients = 3\nseed = 1",
            "kind = 'natural'\nclients = 3",
            "kind = 'few-shot'\nshots = 1\nof = { kind = 'natural', clients = 3 }",
        ] {
            let message = read(text).unwrap_err();
            assert!(message.contains("unknown field"), "{message}");
        }
        assert!(read("kind = 'quantity'").unwrap_err().contains("few-shot"));
    }
}

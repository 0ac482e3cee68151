//! Partition settings of an experiment.

use std::path::PathBuf;

use serde::{Deserialize, Deserializer, Serialize};

/// The rule that assigns training images to clients.
///
/// Every rule except [`FewShot`](PartitionConfig::FewShot) is an exact disjoint cover of the training images
/// ([`BaseToNovel`](PartitionConfig::BaseToNovel): of those of the base classes; [`File`](PartitionConfig::File): as it
/// was saved).
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "kebab-case", deny_unknown_fields)]
pub enum PartitionConfig {
    /// A random split into shards whose sizes differ by at most one.
    Iid {
        /// The number of clients.
        clients: usize,
    },

    /// Class by class, in the order of the labels, images are assigned to clients in proportions drawn from
    /// `Dirichlet(beta, ..., beta)` (Hsu et al., arXiv 1909.06335).
    ///
    /// The draw is repeated until every client has `min_samples` images. After `max_tries` draws, the closest one is
    /// either repaired, by moving images of the largest client's most frequent class to clients with too few, or
    /// refused.
    Dirichlet {
        /// The number of clients.
        clients: usize,
        /// The concentration, above 0: at 0.1 most clients lack most classes, at 100 all distributions are similar.
        beta: f64,
        /// The minimum number of training images per client. The default of 2 is the smallest that gives a contrastive
        /// loss something to contrast.
        #[serde(default = "defaults::min_samples")]
        min_samples: usize,
        /// Whether a client that already has its equal share of all images gets none of further classes, as in the
        /// reference code of FLoRA and PFLlib (the default). This evens out the shards.
        #[serde(default = "defaults::yes")]
        capacity_mask: bool,
        /// The maximum number of draws; 1000 by default.
        #[serde(default = "defaults::max_tries")]
        max_tries: usize,
        /// Whether to repair the best draw (the default) rather than fail.
        #[serde(default = "defaults::yes")]
        repair: bool,
        /// How the remainder of a class is distributed after its shares are rounded down.
        #[serde(default, skip_serializing_if = "Remainder::is_last")]
        remainder: Remainder,
    },

    /// Every client holds images of `classes_per_client` classes. Each class is assigned to the same number of clients,
    /// give or take one, and its images are split evenly among them.
    Pathological {
        /// The number of clients.
        clients: usize,
        /// The number of classes per client; 4 in FLoRA's reference code.
        classes_per_client: usize,
    },

    /// The training images, sorted by label, are cut into `clients * shards_per_client` pieces whose sizes
    /// differ by at most one, and every client gets `shards_per_client` random pieces (McMahan et al.,
    /// arXiv 1602.05629). Within a class the order is random.
    Shards {
        /// The number of clients.
        clients: usize,
        /// The number of pieces per client; 2 in the paper, so that most clients hold two classes.
        shards_per_client: usize,
    },

    /// Skewed sizes: the shuffled images are cut in proportions drawn from
    /// `Dirichlet(beta, ..., beta)` over the clients (Li et al. 2022, arXiv 2102.02079).
    ///
    /// Draws are repeated and repaired as in [`Dirichlet`](PartitionConfig::Dirichlet).
    Quantity {
        /// The number of clients.
        clients: usize,
        /// The concentration, above 0; 0.5 in the paper. At 0.1 a few clients hold nearly all images, at 100 all hold
        /// the same number.
        beta: f64,
        /// The minimum number of training images per client; 2 by default.
        #[serde(default = "defaults::min_samples")]
        min_samples: usize,
        /// The maximum number of draws; 1000 by default.
        #[serde(default = "defaults::max_tries")]
        max_tries: usize,
        /// Whether to repair the best draw (the default) rather than fail.
        #[serde(default = "defaults::yes")]
        repair: bool,
    },

    /// One client per domain of the data set.
    // A unit variant would accept unknown keys.
    #[serde(deserialize_with = "no_fields")]
    Natural,

    /// n images per class and client.
    ///
    /// | `of` | images of a client |
    /// |---|---|
    /// | `iid` | `shots` images of every class from the shared pool: clients may overlap |
    /// | `pathological` | `shots` images of each of its classes; the shuffled classes are split disjointly, `classes / clients` (rounded down) each, the remainder to the last client, and `classes_per_client` is ignored |
    /// | any other | `shots` images of each class of its own shard |
    ///
    /// A class with fewer images gives all of them. Clients of `natural` and `file` keep their names and their test
    /// images.
    FewShot {
        /// Images per class and client; 1, 2, 4, 8 and 16 are usual.
        shots: usize,
        /// The underlying rule; neither few-shot nor base-to-novel.
        of: Box<PartitionConfig>,
    },

    /// A saved partition, checked against the data set ([`Partition::check`]). The seed has no effect.
    ///
    /// [`Partition::check`]: super::Partition::check
    File {
        /// The JSON file that [`Partition::save`](super::Partition::save) wrote; relative to the current
        /// folder.
        path: PathBuf,
    },

    /// Training on one half of the classes and testing on both (CoOp's and CoCoOp's protocol, arXiv 2203.05557).
    ///
    /// The first half of the classes in label order, rounded up, is base, the rest is novel. The images of the base
    /// classes are partitioned by `of`; an additional client, `novel`, does not train and is tested on all test images
    /// of the novel classes. An image is compared with the classes of its own half only
    /// ([`Partition::candidates`](super::Partition::candidates)). Training and validation images of the novel classes
    /// are left out. From a `file`, clients keep their images of the base classes.
    BaseToNovel {
        /// The rule for the base classes; not itself base-to-novel.
        of: Box<PartitionConfig>,
    },
}

/// How the remainder of a class is distributed after its shares are rounded down.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Remainder {
    /// To the last client, as in the reference code, which cuts a class at the rounded-down cumulative proportions. The
    /// last share of every class is therefore rounded up, and the first one down: without the mask, with many small
    /// classes and many clients, the last client is by far the largest.
    #[default]
    Last,
    /// To the clients whose shares lose most by rounding down, one image each (largest remainder; in a tie, the client
    /// with fewer images).
    Spread,
}

impl Remainder {
    fn is_last(&self) -> bool {
        *self == Self::Last
    }
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
            remainder: Remainder::Last,
        }
    }

    /// This partition, reduced to `shots` images per class and client.
    pub fn few_shot(self, shots: usize) -> Self {
        Self::FewShot { shots, of: Box::new(self) }
    }

    /// A quantity-skewed partition with the default minimum and retries.
    pub fn quantity(clients: usize, beta: f64) -> Self {
        Self::Quantity {
            clients,
            beta,
            min_samples: defaults::min_samples(),
            max_tries: defaults::max_tries(),
            repair: defaults::yes(),
        }
    }

    /// This partition of the first half of the classes, with a client that is tested on the others.
    pub fn base_to_novel(self) -> Self {
        Self::BaseToNovel { of: Box::new(self) }
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

    fn spread(clients: usize, beta: f64) -> PartitionConfig {
        let mut config = PartitionConfig::dirichlet(clients, beta);
        if let PartitionConfig::Dirichlet { remainder, .. } = &mut config {
            *remainder = Remainder::Spread;
        }
        config
    }

    #[test]
    fn every_kind_is_read_and_written() {
        for (text, config) in [
            ("kind = 'iid'\nclients = 3", PartitionConfig::Iid { clients: 3 }),
            ("kind = 'dirichlet'\nclients = 3\nbeta = 0.1", PartitionConfig::dirichlet(3, 0.1)),
            ("kind = 'dirichlet'\nclients = 3\nbeta = 0.1\nremainder = 'spread'", spread(3, 0.1)),
            (
                "kind = 'pathological'\nclients = 3\nclasses_per_client = 2",
                PartitionConfig::Pathological { clients: 3, classes_per_client: 2 },
            ),
            (
                "kind = 'shards'\nclients = 3\nshards_per_client = 2",
                PartitionConfig::Shards { clients: 3, shards_per_client: 2 },
            ),
            ("kind = 'quantity'\nclients = 3\nbeta = 0.5", PartitionConfig::quantity(3, 0.5)),
            ("kind = 'natural'", PartitionConfig::Natural),
            (
                "kind = 'file'\npath = 'part.json'",
                PartitionConfig::File { path: "part.json".into() },
            ),
            (
                "kind = 'base-to-novel'\nof = { kind = 'iid', clients = 3 }",
                PartitionConfig::Iid { clients: 3 }.base_to_novel(),
            ),
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
            "kind = 'quantity'\nclients = 3\nbeta = 1.0\ncapacity_mask = true",
            "kind = 'file'\npath = 'part.json'\nclients = 3",
            "kind = 'base-to-novel'\nof = { kind = 'natural' }\nshots = 1",
            "kind = 'few-shot'\nshots = 1\nof = { kind = 'natural', clients = 3 }",
        ] {
            let message = read(text).unwrap_err();
            assert!(message.contains("unknown field"), "{message}");
        }
        assert!(read("kind = 'skewed'").unwrap_err().contains("few-shot"));
    }
}

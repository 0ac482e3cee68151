//! From a rule to a partition.

use super::clients::{check_count, id};
use super::drawn::Drawn;
use super::pool::Pool;
use super::skew::Rule;
use super::{ClientShard, Partition, PartitionConfig, Remainder};
use super::{
    assign, base_to_novel, dirichlet, few_shot, file, iid, natural, pathological, quantity,
};
use crate::{Dataset, Error, Split};

impl PartitionConfig {
    /// Partitions `dataset` across clients. The result depends on the arguments alone, and on the file that
    /// [`File`](PartitionConfig::File) names.
    ///
    /// The test images of a natural client are those of its domain, and those of a saved one are saved with it.
    /// Otherwise the common test set is partitioned class by class in proportion to the clients' training images of the
    /// class (largest remainder; a class without training images is split evenly). The test shards then cover the test
    /// set exactly and disjointly and follow the label distribution of their client. The mean of the clients'
    /// accuracies, weighted by their test images, is therefore the accuracy on the common test set. Validation images
    /// are partitioned like test images.
    ///
    /// # Errors
    ///
    /// [`Error::Partition`] if a setting is out of range or impossible for this data set, [`Error::EmptyClient`] if a
    /// client would have no training images, [`Error::DuplicateClient`] if a domain has the name of an added client.
    /// For a saved partition [`Error::Missing`], [`Error::Io`], [`Error::Syntax`] and [`Error::ForeignPartition`].
    pub fn apply(&self, dataset: &Dataset, seed: u64) -> Result<Partition, Error> {
        self.partition_pool(&Pool::whole(dataset), seed)
    }

    /// [`apply`](PartitionConfig::apply) to a part of a data set.
    pub(super) fn partition_pool(&self, pool: &Pool<'_>, seed: u64) -> Result<Partition, Error> {
        let shards = match self.draw(pool, seed)? {
            Drawn::Clients(partition) => return Ok(partition),
            Drawn::Shards(shards) => shards,
        };
        let count = shards.len();
        let tests = assign::shards(pool, Split::Test, &shards, seed, "partition/test");
        let validation = Split::Validation;
        let validations = assign::shards(pool, validation, &shards, seed, "partition/validation");
        let mut clients = Vec::with_capacity(count);
        let dealt = shards.into_iter().zip(validations).zip(tests);
        for (number, ((mut train, mut validation), mut test)) in dealt.enumerate() {
            if train.is_empty() {
                return Err(self.empty_client(pool, number, count));
            }
            for indices in [&mut train, &mut validation, &mut test] {
                indices.sort_unstable();
            }
            clients.push(ClientShard { id: id(number, count), train, validation, test });
        }
        Ok(Partition { clients, class_groups: None })
    }

    pub(super) fn draw(&self, pool: &Pool<'_>, seed: u64) -> Result<Drawn, Error> {
        let shards = match *self {
            Self::Iid { clients } => {
                self.check_clients(clients, pool)?;
                iid::shards(pool, clients, seed)
            }
            Self::Shards { clients, shards_per_client } => {
                self.check_clients(clients, pool)?;
                super::shards::shards(pool, clients, shards_per_client, seed)?
            }
            Self::Dirichlet {
                clients,
                beta,
                min_samples,
                capacity_mask,
                max_tries,
                repair,
                remainder,
            } => {
                self.check_clients(clients, pool)?;
                let rule = Rule {
                    clients,
                    beta,
                    min_samples,
                    capacity_mask,
                    max_tries,
                    repair,
                    remainder,
                };
                dirichlet::shards(pool, rule, seed)?
            }
            Self::Quantity { clients, beta, min_samples, max_tries, repair } => {
                self.check_clients(clients, pool)?;
                // In a single group, the last client gets at most one image more than its share.
                let (capacity_mask, remainder) = (false, Remainder::Last);
                let rule = Rule {
                    clients,
                    beta,
                    min_samples,
                    capacity_mask,
                    max_tries,
                    repair,
                    remainder,
                };
                quantity::shards(pool, rule, seed)?
            }
            Self::Pathological { clients, classes_per_client } => {
                self.check_clients(clients, pool)?;
                pathological::shards(pool, clients, classes_per_client, seed)?
            }
            Self::Natural => return natural::partition(pool).map(Drawn::Clients),
            Self::File { ref path } => return file::partition(pool, path).map(Drawn::Clients),
            Self::FewShot { shots, ref of } => return few_shot::draw(pool, shots, of, seed),
            Self::BaseToNovel { ref of } => {
                return base_to_novel::partition(pool.dataset(), of, seed).map(Drawn::Clients);
            }
        };
        Ok(Drawn::Shards(shards))
    }

    fn check_clients(&self, clients: usize, pool: &Pool<'_>) -> Result<(), Error> {
        check_count(clients)?;
        let images = pool.indices(Split::Train).len();
        if clients > images {
            return Err(self.empty_client(pool, images, clients));
        }
        Ok(())
    }

    fn empty_client(&self, pool: &Pool<'_>, client: usize, clients: usize) -> Error {
        let images = pool.indices(Split::Train).len();
        let remedy = match self {
            Self::Dirichlet { min_samples: 0, .. } | Self::Quantity { min_samples: 0, .. }
                if clients <= images =>
            {
                "set `min_samples` to at least 1"
            }
            _ => "lower `clients`, or raise the limit on training images",
        };
        Error::EmptyClient {
            client: id(client, clients),
            problem: format!(
                "there are {images} of them in {} for {clients} clients",
                pool.describe()
            ),
            remedy: remedy.to_owned(),
        }
    }
}

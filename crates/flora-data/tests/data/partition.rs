//! Guarantees of every partition, for many sizes and seeds.

use std::collections::BTreeSet;

use flora_data::{Dataset, Partition, PartitionConfig, Remainder, Split};

use crate::sets::{labelled, open, vendors};

pub(crate) fn iid(clients: usize) -> PartitionConfig {
    PartitionConfig::Iid { clients }
}

pub(crate) fn pathological(clients: usize, classes_per_client: usize) -> PartitionConfig {
    PartitionConfig::Pathological { clients, classes_per_client }
}

pub(crate) fn sorted(shards: impl Iterator<Item = Vec<usize>>) -> Vec<usize> {
    let mut all: Vec<usize> = shards.flatten().collect();
    all.sort_unstable();
    all
}

/// Applies a rule, and checks the properties of every exact cover.
#[track_caller]
pub(crate) fn cover(config: &PartitionConfig, set: &Dataset, seed: u64) -> Partition {
    let partition = config.apply(set, seed).unwrap();
    let clients = partition.clients.iter();
    assert_eq!(sorted(clients.clone().map(|c| c.train.clone())), set.indices(Split::Train));
    assert_eq!(sorted(clients.clone().map(|c| c.test.clone())), set.indices(Split::Test));
    for client in clients {
        assert!(!client.train.is_empty(), "{}", client.id);
        assert!(client.train.is_sorted() && client.test.is_sorted());
    }
    let ids: BTreeSet<&str> = partition.clients.iter().map(|c| c.id.as_str()).collect();
    assert_eq!(ids.len(), partition.clients.len());
    assert_eq!(config.apply(set, seed).unwrap(), partition, "not deterministic");
    partition.check(set).unwrap();
    partition
}

pub(crate) fn sizes(partition: &Partition) -> Vec<usize> {
    partition.clients.iter().map(|client| client.train.len()).collect()
}

pub(crate) fn classes_held(counts: &[usize]) -> usize {
    counts.iter().filter(|&&count| count > 0).count()
}

#[test]
fn iid_shards_differ_by_one_at_most() {
    let set = labelled(&[41, 30, 30], &[10, 7, 3]);
    for clients in [1, 2, 3, 7, 50, 101] {
        for seed in 0..5 {
            let sizes = sizes(&cover(&iid(clients), &set, seed));
            assert_eq!(sizes.len(), clients);
            assert!(sizes.iter().max().unwrap() - sizes.iter().min().unwrap() <= 1);
        }
    }
}

#[test]
fn seeds_make_different_partitions() {
    let set = labelled(&[40; 10], &[10; 10]);
    let configs = [
        iid(5),
        PartitionConfig::Shards { clients: 5, shards_per_client: 2 },
        PartitionConfig::dirichlet(5, 0.5),
        PartitionConfig::quantity(5, 0.5),
        pathological(5, 4),
        iid(5).few_shot(2),
        pathological(5, 4).few_shot(2),
        PartitionConfig::dirichlet(5, 0.5).few_shot(2),
        iid(5).base_to_novel(),
    ];
    for config in configs {
        let (one, two) = (config.apply(&set, 1).unwrap(), config.apply(&set, 2).unwrap());
        assert_ne!(one, two, "{config:?}");
        assert_eq!(one.clients[3].id, "client-03");
    }
}

#[test]
fn dirichlet_reaches_its_minimum_at_any_concentration() {
    let set = labelled(&[70, 50, 40, 30, 20], &[9, 8, 7, 6, 5]);
    for beta in [f64::MIN_POSITIVE, 0.001, 0.1, 1.0, 100.0, f64::MAX] {
        for capacity_mask in [true, false] {
            for (clients, min_samples) in [(1, 1), (4, 2), (7, 30), (10, 21)] {
                let config = PartitionConfig::Dirichlet {
                    clients,
                    beta,
                    min_samples,
                    capacity_mask,
                    max_tries: 3,
                    repair: true,
                    remainder: if clients % 2 == 0 { Remainder::Last } else { Remainder::Spread },
                };
                let partition = cover(&config, &set, 1);
                assert_eq!(partition.clients.len(), clients);
                let least = sizes(&partition).into_iter().min();
                assert!(least >= Some(min_samples), "{config:?}: {least:?}");
            }
        }
    }
}

#[test]
fn a_small_concentration_is_skewed_and_a_large_one_is_not() {
    let set = labelled(&[100; 10], &[10; 10]);
    let held = |beta| -> usize {
        let config = PartitionConfig::dirichlet(10, beta);
        (0..5)
            .flat_map(|seed| cover(&config, &set, seed).class_counts(&set))
            .map(|counts| classes_held(&counts))
            .sum()
    };
    assert_eq!(held(1000.0), 500);
    let skewed = held(0.1);
    assert!((100..300).contains(&skewed), "{skewed}");
}

#[test]
fn pathological_clients_hold_exactly_their_number_of_classes() {
    let set = labelled(&[30; 10], &[6; 10]);
    for (clients, k) in [(10, 4), (10, 1), (5, 2), (3, 4), (4, 10), (1, 10), (7, 3)] {
        for seed in 0..5 {
            let counts = cover(&pathological(clients, k), &set, seed).class_counts(&set);
            assert!(counts.iter().all(|counts| classes_held(counts) == k));
            for class in 0..10 {
                let shares: Vec<usize> =
                    counts.iter().map(|c| c[class]).filter(|&n| n > 0).collect();
                assert!(
                    shares.len() >= clients * k / 10 && shares.len() <= (clients * k).div_ceil(10)
                );
                assert!(shares.iter().max().unwrap() - shares.iter().min().unwrap() <= 1);
            }
        }
    }
}

#[test]
fn natural_clients_are_the_domains() {
    let set = open(&vendors()).unwrap();
    let partition = cover(&PartitionConfig::Natural, &set, 1);
    assert_eq!(partition.class_counts(&set), [[6, 6], [3, 3]]);
    for (number, client) in partition.clients.iter().enumerate() {
        assert_eq!(client.id, set.domains()[number]);
        let mut samples = client.train.iter().chain(&client.test);
        assert!(samples.all(|&i| set.domain(i) == Some(number)));
    }
    assert_eq!(partition.clients[0].test.len(), 4);
}

#[test]
fn test_images_follow_the_training_images() {
    let set = labelled(&[30; 10], &[7; 10]);
    for config in [pathological(10, 3), PartitionConfig::dirichlet(6, 0.1), iid(4)] {
        let partition = cover(&config, &set, 1);
        let counts = partition.class_counts(&set);
        for (client, counts) in partition.clients.iter().zip(&counts) {
            for (class, &count) in counts.iter().enumerate() {
                let quota = 7.0 * count as f64 / 30.0;
                let got = client.test.iter().filter(|&&i| set.label(i) == class).count();
                assert!((got as f64 - quota).abs() < 1.0, "{got} for {quota}");
            }
        }
    }
}

#[test]
fn a_test_class_that_nobody_trains_on_is_dealt_evenly() {
    let set = labelled(&[0, 8], &[9, 0]);
    let partition = cover(&iid(4), &set, 1);
    let mut tests: Vec<usize> = partition.clients.iter().map(|c| c.test.len()).collect();
    tests.sort_unstable();
    assert_eq!(tests, [2, 2, 2, 3]);
}

#[test]
fn few_shots_of_a_shared_pool_may_overlap() {
    let set = labelled(&[20, 20, 3], &[4, 4, 4]);
    let partition = iid(12).few_shot(4).apply(&set, 1).unwrap();
    assert_eq!(partition.class_counts(&set), vec![[4, 4, 3]; 12]);
    let drawn: Vec<usize> = partition.clients.iter().flat_map(|c| c.train.clone()).collect();
    let different: BTreeSet<usize> = drawn.iter().copied().collect();
    assert!(different.len() < drawn.len(), "12 x 4 of 20 must overlap");
    for client in &partition.clients {
        let own: BTreeSet<&usize> = client.train.iter().collect();
        assert_eq!(own.len(), client.train.len(), "never twice for one client");
    }
    assert_eq!(sorted(partition.clients.iter().map(|c| c.test.clone())), set.indices(Split::Test));
}

#[test]
fn few_shot_pathological_splits_the_classes() {
    let set = labelled(&[5; 11], &[2; 11]);
    let partition = pathological(4, 1).few_shot(3).apply(&set, 1).unwrap();
    let counts = partition.class_counts(&set);
    let held: Vec<usize> = counts.iter().map(|counts| classes_held(counts)).collect();
    assert_eq!(held, [2, 2, 2, 5], "the remainder goes to the last client");
    for class in 0..11 {
        let mut shares: Vec<usize> = counts.iter().map(|counts| counts[class]).collect();
        shares.sort_unstable();
        assert_eq!(shares, [0, 0, 0, 3], "each class has one client");
    }
}

#[test]
fn few_shots_of_a_shard_come_from_it() {
    let set = open(&vendors()).unwrap();
    let partition = PartitionConfig::Natural.few_shot(4).apply(&set, 1).unwrap();
    assert_eq!(partition.class_counts(&set), [[4, 4], [3, 3]]);
    assert_eq!(partition.clients[1].id, "beta");
    assert!(partition.clients[1].train.iter().all(|&i| set.domain(i) == Some(1)));
    assert_eq!(partition.clients[0].test.len(), 4, "the tests of the domain stay");

    let set = labelled(&[60; 5], &[4; 5]);
    let whole = PartitionConfig::dirichlet(5, 0.2);
    let few = whole.clone().few_shot(8).apply(&set, 7).unwrap();
    let whole = whole.apply(&set, 7).unwrap();
    for (client, shard) in few.clients.iter().zip(&whole.clients) {
        assert!(client.train.iter().all(|i| shard.train.contains(i)));
    }
    let (few, whole) = (few.class_counts(&set), whole.class_counts(&set));
    for (few, whole) in few.iter().flatten().zip(whole.iter().flatten()) {
        assert_eq!(*few, (*whole).min(8));
    }
}

#[test]
fn a_partition_is_saved_with_the_run() {
    let set = labelled(&[9, 9], &[3, 3]);
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("run/partition.json");
    let partition = iid(3).apply(&set, 1).unwrap();
    partition.save(&path).unwrap();
    assert_eq!(Partition::load(&path).unwrap(), partition);
    assert_eq!(std::fs::read_dir(path.parent().unwrap()).unwrap().count(), 1);
}

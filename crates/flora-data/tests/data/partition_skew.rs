//! Pieces of the sorted images, and skewed sizes.

use flora_data::{PartitionConfig, Remainder};

use crate::partition::{classes_held, cover, iid, sizes};
use crate::sets::{assert_says, labelled};

fn shards(clients: usize, shards_per_client: usize) -> PartitionConfig {
    PartitionConfig::Shards { clients, shards_per_client }
}

fn quantity(clients: usize, beta: f64, min_samples: usize, max_tries: usize) -> PartitionConfig {
    PartitionConfig::Quantity { clients, beta, min_samples, max_tries, repair: true }
}

#[test]
fn two_pieces_of_whole_classes_are_two_classes_at_most() {
    // The paper's case: twice as many pieces as clients, and no piece spans two classes.
    let set = labelled(&[40; 10], &[10; 10]);
    for seed in 0..5 {
        let partition = cover(&shards(10, 2), &set, seed);
        assert_eq!(sizes(&partition), [40; 10]);
        let counts = partition.class_counts(&set);
        assert!(counts.iter().all(|counts| classes_held(counts) <= 2), "{counts:?}");
        assert!(counts.iter().flatten().all(|count| count % 20 == 0), "{counts:?}");
        assert!(counts.iter().any(|counts| classes_held(counts) == 2), "{counts:?}");
    }
}

#[test]
fn pieces_differ_by_one_at_most() {
    let set = labelled(&[17, 0, 30, 4], &[3, 3, 3, 3]);
    for (clients, each) in [(1, 1), (1, 51), (51, 1), (4, 3), (7, 2), (5, 10)] {
        for seed in 0..5 {
            let (least, most) = (51 / (clients * each), 51_usize.div_ceil(clients * each));
            let sizes = sizes(&cover(&shards(clients, each), &set, seed));
            assert_eq!(sizes.len(), clients);
            assert!(sizes.iter().all(|n| (least * each..=most * each).contains(n)), "{sizes:?}");
        }
    }
}

#[test]
fn the_order_within_a_class_is_not_that_of_the_files() {
    let set = labelled(&[40], &[4]);
    let partition = cover(&shards(2, 1), &set, 1);
    let first = &partition.clients[0].train;
    assert!(first.iter().any(|&i| i < 20) && first.iter().any(|&i| i >= 20), "{first:?}");
}

#[test]
fn sizes_are_skewed_and_labels_are_not() {
    let set = labelled(&[200, 100, 100], &[10; 3]);
    for seed in 0..10 {
        let partition = cover(&PartitionConfig::quantity(4, 0.5), &set, seed);
        for (counts, size) in partition.class_counts(&set).iter().zip(sizes(&partition)) {
            if size >= 100 {
                let share = counts[0] as f64 / size as f64;
                assert!((share - 0.5).abs() < 0.15, "{counts:?}");
            }
        }
    }
    let spread = |beta| -> usize {
        let gap = |seed| {
            let sizes = sizes(&cover(&PartitionConfig::quantity(4, beta), &set, seed));
            sizes.iter().max().unwrap() - sizes.iter().min().unwrap()
        };
        (0..10).map(gap).sum::<usize>() / 10
    };
    let (skewed, even) = (spread(0.1), spread(1e6));
    assert!(skewed > 200 && even <= 3, "{skewed} and {even}");
}

#[test]
fn every_size_reaches_the_minimum_at_any_concentration() {
    let set = labelled(&[70, 50, 40, 30, 20], &[9, 8, 7, 6, 5]);
    for beta in [f64::MIN_POSITIVE, 0.001, 0.1, 1.0, 100.0, f64::MAX] {
        for (clients, min_samples) in [(1, 1), (4, 2), (7, 30), (10, 21)] {
            let config = quantity(clients, beta, min_samples, 3);
            let sizes = sizes(&cover(&config, &set, 1));
            assert_eq!(sizes.len(), clients);
            assert!(sizes.iter().all(|&size| size >= min_samples), "{config:?}: {sizes:?}");
        }
    }
}

#[test]
fn few_shots_of_any_rule_come_from_its_shards() {
    let set = labelled(&[60; 5], &[4; 5]);
    for whole in [shards(6, 2), PartitionConfig::quantity(6, 0.3)] {
        let few = whole.clone().few_shot(8).apply(&set, 7).unwrap();
        let whole = whole.apply(&set, 7).unwrap();
        for (client, shard) in few.clients.iter().zip(&whole.clients) {
            assert!(client.train.iter().all(|i| shard.train.contains(i)));
        }
        for (few, whole) in few.class_counts(&set).iter().zip(whole.class_counts(&set)) {
            assert!(few.iter().zip(whole).all(|(&few, whole)| few == whole.min(8)));
        }
    }
}

#[test]
fn a_class_smaller_than_the_shots_gives_all_it_has() {
    let set = labelled(&[16, 3, 0, 1], &[2; 4]);
    for shots in [1, 2, 4, 8, 16] {
        let expected = [16, 3, 0, 1].map(|images: usize| images.min(shots)).to_vec();
        let partition = iid(3).few_shot(shots).apply(&set, 1).unwrap();
        assert_eq!(partition.class_counts(&set), vec![expected; 3]);
    }
}

#[test]
fn the_giant_that_rounding_makes_is_told() {
    let many = labelled(&[5; 120], &[1; 120]);
    let few = labelled(&[100; 6], &[10; 6]);
    let remark = |set, remainder: Remainder, clients, seed| {
        let (beta, min_samples, capacity_mask, max_tries, repair) = (1.0, 1, false, 1, true);
        let config = PartitionConfig::Dirichlet {
            clients,
            beta,
            min_samples,
            capacity_mask,
            max_tries,
            repair,
            remainder,
        };
        let partition = config.apply(set, seed).ok()?;
        config.remark(&partition, set)
    };
    for seed in 0..10 {
        let told = remark(&many, Remainder::Last, 40, seed).unwrap();
        assert_says(&told, &["client-39 holds", "the median is", "remainder = \"spread\""]);
        assert_eq!(remark(&many, Remainder::Spread, 40, seed), None);
        // With six classes, a large client is large by the draw.
        assert_eq!(remark(&few, Remainder::Last, 5, seed), None);
    }
}

//! Properties of every partition of any data set, over many small random ones.

use std::collections::BTreeSet;

use flora_core::seed;
use flora_data::{Dataset, Error, Partition, PartitionConfig, Remainder, Split, ValidationShare};
use rand::RngExt;
use rand_chacha::ChaCha8Rng;

use crate::partition::sorted;
use crate::sets::{VENDORS, labelled, open, png, write_vendors};

/// Up to 8 classes of up to 12 training and 5 test images, some without one or the other.
fn random_set(rng: &mut ChaCha8Rng) -> Dataset {
    let classes = rng.random_range(1..=8);
    let mut counts = |most: usize| {
        let mut counts: Vec<usize> = (0..classes).map(|_| rng.random_range(0..=most)).collect();
        counts[0] += 1;
        counts
    };
    let (train, mut test) = (counts(12), counts(5));
    for (test, train) in test.iter_mut().zip(&train) {
        *test += usize::from(*test + train == 0);
    }
    labelled(&train, &test)
}

/// Up to 4 domains, each with up to 4 images of two classes in each split.
fn random_domains(rng: &mut ChaCha8Rng) -> Dataset {
    let dir = tempfile::tempdir().unwrap();
    for domain in 0..rng.random_range(1..=4) {
        for (split, class) in
            [("train", "dog"), ("train", "big_cat"), ("test", "dog"), ("test", "big_cat")]
        {
            let least = usize::from(domain == 0);
            for number in 0..rng.random_range(least..=4) {
                let name = format!("images/vendor-{domain}/{split}/{class}/{number}.png");
                png(&dir.path().join(name), number as u8);
            }
        }
    }
    write_vendors(&dir, VENDORS);
    open(&dir).unwrap()
}

/// With validation images every other time.
fn random_validation(set: Dataset, seed: u64) -> Dataset {
    match seed % 2 {
        0 => set,
        _ => set.with_validation(ValidationShare::try_from(0.2).unwrap(), seed),
    }
}

/// One rule of each covering kind, with settings that usually fit.
fn random_rules(rng: &mut ChaCha8Rng) -> Vec<PartitionConfig> {
    let clients = rng.random_range(1..=6);
    let beta = 10_f64.powf(rng.random_range(-4.0..4.0));
    let min_samples = rng.random_range(0..=4);
    let max_tries = rng.random_range(1..=5);
    let repair = rng.random_bool(0.8);
    let capacity_mask = rng.random_bool(0.5);
    vec![
        PartitionConfig::Iid { clients },
        PartitionConfig::Shards { clients, shards_per_client: rng.random_range(1..=4) },
        PartitionConfig::Dirichlet {
            clients,
            beta,
            min_samples,
            capacity_mask,
            max_tries,
            repair,
            remainder: if rng.random_bool(0.5) { Remainder::Last } else { Remainder::Spread },
        },
        PartitionConfig::Quantity { clients, beta, min_samples, max_tries, repair },
        PartitionConfig::Pathological { clients, classes_per_client: rng.random_range(1..=4) },
    ]
}

fn train(partition: &Partition) -> Vec<usize> {
    sorted(partition.clients.iter().map(|client| client.train.clone()))
}

/// Applies a rule, and checks the properties of every kind. `None` if its settings were refused.
fn apply(config: &PartitionConfig, set: &Dataset, seed: u64) -> Option<Partition> {
    let partition = match config.apply(set, seed) {
        Ok(partition) => partition,
        Err(Error::Partition { .. } | Error::EmptyClient { .. }) => return None,
        Err(error) => panic!("{config:?}: {error}"),
    };
    partition.check(set).unwrap();
    let again = config.apply(set, seed).unwrap();
    assert_eq!(again, partition, "{config:?} is not deterministic");
    let tests = sorted(partition.clients.iter().map(|client| client.test.clone()));
    assert_eq!(tests, set.indices(Split::Test), "{config:?}");
    let ids: BTreeSet<_> = partition.clients.iter().map(|client| &client.id).collect();
    assert_eq!(ids.len(), partition.clients.len(), "{config:?}");
    for client in &partition.clients {
        assert!(!client.train.is_empty() || client.id == "novel", "{config:?}");
        assert!(client.train.is_sorted() && client.test.is_sorted(), "{config:?}");
    }

    let validations = sorted(partition.clients.iter().map(|client| client.validation.clone()));
    let mut expected = set.indices(Split::Validation);
    expected.retain(|&i| partition.candidates(set.label(i)).is_none_or(|classes| classes[0] == 0));
    assert_eq!(validations, expected, "{config:?}");

    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("part.json");
    partition.save(&path).unwrap();
    assert_eq!(Partition::load(&path).unwrap(), partition, "{config:?}");
    let file = PartitionConfig::File { path };
    assert_eq!(file.apply(set, seed + 1).unwrap(), partition, "{config:?}");
    Some(partition)
}

/// Checks a rule alone, with few-shot and with base-to-novel. Returns how many of the four were not refused.
fn check(rule: &PartitionConfig, set: &Dataset, shots: usize, seed: u64) -> [usize; 4] {
    let whole = apply(rule, set, seed);
    if let Some(whole) = &whole {
        assert_eq!(train(whole), set.indices(Split::Train), "{rule:?}");
    }
    let few_rule = rule.clone().few_shot(shots);
    let few = apply(&few_rule, set, seed);
    if let Some(few) = &few {
        let counts = few.class_counts(set);
        assert!(counts.iter().flatten().all(|&count| count <= shots), "{few_rule:?}");
    }
    let halves_rule = rule.clone().base_to_novel();
    let halves = apply(&halves_rule, set, seed);
    if let Some(halves) = &halves {
        let mut base = set.indices(Split::Train);
        base.retain(|&i| halves.candidates(set.label(i)).unwrap()[0] == 0);
        assert_eq!(train(halves), base, "{halves_rule:?}");
    }
    let both = apply(&few_rule.base_to_novel(), set, seed);
    [whole, few, halves, both].map(|partition| usize::from(partition.is_some()))
}

#[test]
fn every_rule_covers_any_data_set() {
    let mut rng = seed::stream(1, "test");
    let mut done = [[0; 4]; 5];
    for seed in 0..60 {
        let set = random_validation(random_set(&mut rng), seed);
        let shots = rng.random_range(1..=8);
        for (rule, done) in random_rules(&mut rng).iter().zip(&mut done) {
            for (done, fitted) in done.iter_mut().zip(check(rule, &set, shots, seed)) {
                *done += fitted;
            }
        }
    }
    // If most had been refused, little would have been checked.
    assert!(done.iter().flatten().all(|&done| done >= 15), "{done:?}");
}

#[test]
fn natural_covers_any_domains() {
    let mut rng = seed::stream(2, "test");
    let mut done = [0; 4];
    for seed in 0..30 {
        let set = random_validation(random_domains(&mut rng), seed);
        let shots = rng.random_range(1..=8);
        let fitted = check(&PartitionConfig::Natural, &set, shots, seed);
        for (done, fitted) in done.iter_mut().zip(fitted) {
            *done += fitted;
        }
    }
    assert!(done.iter().all(|&done| done >= 10), "{done:?}");
}

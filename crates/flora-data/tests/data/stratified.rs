//! Splits that keep the proportions of classes and domains.

use std::collections::BTreeMap;
use std::fs;

use flora_core::seed;
use flora_data::{Dataset, PartitionConfig, Protocol, Split};
use rand::RngExt;
use rand_chacha::ChaCha8Rng;

use crate::sets::{SplitCase, labelled, open, scikit_learn_splits, share, write_vendors};

const STRATIFIED: Protocol = Protocol::Stratified8020 { seed: 7 };

/// The number of images of a split in each class.
fn of_classes(set: &Dataset, split: Split) -> Vec<usize> {
    let mut counts = vec![0; set.classes().len()];
    for i in set.indices(split) {
        counts[set.label(i)] += 1;
    }
    counts
}

#[test]
fn classes_are_split_as_scikit_learn_splits_them() {
    let cases = scikit_learn_splits();
    assert!(cases.len() > 40);
    for SplitCase { share: held, sizes, test } in cases {
        let counts = if held == 0.2 {
            let others: Vec<usize> = sizes.iter().map(|size| size - 1).collect();
            let set = labelled(&others, &vec![1; sizes.len()]).with_protocol(STRATIFIED);
            of_classes(&set, Split::Test)
        } else {
            let set = labelled(&sizes, &vec![1; sizes.len()]).with_validation(share(held), 7);
            of_classes(&set, Split::Validation)
        };
        // For equal remainders, scikit-learn draws at random.
        for (class, &count) in counts.iter().enumerate() {
            let some = || test.iter().map(|test| test[class]);
            let (least, most) = (some().min().unwrap(), some().max().unwrap());
            assert!(
                (least..=most).contains(&count),
                "{held} of {sizes:?}: {counts:?}, not {test:?}"
            );
        }
        assert_eq!(counts.iter().sum::<usize>(), test[0].iter().sum::<usize>());
    }
}

#[test]
fn the_seed_alone_decides() {
    let set = labelled(&[40, 31, 1], &[10, 10, 0]);
    let tests =
        |seed| set.clone().with_protocol(Protocol::Stratified8020 { seed }).indices(Split::Test);
    assert_eq!(tests(1), tests(1));
    assert_ne!(tests(1), tests(2));
    let validates = |seed| set.clone().with_validation(share(0.2), seed).indices(Split::Validation);
    assert_eq!(validates(1), validates(1));
    assert_ne!(validates(1), validates(2));
    assert_eq!(of_classes(&set.clone().with_protocol(STRATIFIED), Split::Test), [10, 9, 0]);
}

/// Images of each class of each domain.
type Sizes = BTreeMap<(usize, usize), usize>;

/// A data set of domains whose images are never decoded.
fn domains(sizes: &Sizes) -> Dataset {
    let dir = tempfile::tempdir().unwrap();
    let classes = sizes.keys().map(|&(_, class)| class).max().unwrap() + 1;
    let mut toml = "name = 'sites'\ntemplate = 'a {}'\n[layout]\nkind = 'image-folder'\n\
                    pattern = 'images/{domain}/{class}'\n"
        .to_owned();
    for class in 0..classes {
        toml += &format!("[[classes]]\nfolder = '{class}'\nname = 'class {class}'\n");
    }
    for (&(domain, class), &count) in sizes {
        let folder = dir.path().join(format!("images/site-{domain:02}/{class}"));
        fs::create_dir_all(&folder).unwrap();
        for number in 0..count {
            fs::write(folder.join(format!("{number}.png")), "x").unwrap();
        }
    }
    write_vendors(&dir, &toml);
    open(&dir).unwrap()
}

fn random_sizes(rng: &mut ChaCha8Rng, most: usize) -> Sizes {
    let (domains, classes) = (rng.random_range(1..=6), rng.random_range(1..=5));
    let mut sizes = Sizes::new();
    for domain in 0..domains {
        for class in 0..classes {
            if rng.random_bool(0.8) {
                sizes.insert((domain, class), rng.random_range(1..=most));
            }
        }
    }
    // Every class and every domain must have an image.
    for class in 0..classes {
        sizes.entry((class % domains, class)).or_insert(1);
    }
    for domain in 0..domains {
        sizes.entry((domain, domain % classes)).or_insert(1);
    }
    sizes
}

/// Whether `count` is a share of `of` that is off by less than one image.
fn is_near(count: usize, of: usize, share: f64) -> bool {
    (count as f64 - of as f64 * share).abs() < 1.0
}

/// The images of a split among those of the others, by `key`.
fn counts<K: Ord>(set: &Dataset, splits: &[Split], key: impl Fn(usize) -> K) -> BTreeMap<K, usize> {
    let mut counts = BTreeMap::new();
    for i in 0..set.len() {
        *counts.entry(key(i)).or_insert(0) += usize::from(splits.contains(&set.split(i)));
    }
    counts
}

/// Guarantees of every stratified split: `held` was taken from `from`.
fn check(set: &Dataset, held: Split, from: &[Split], share: f64) {
    let domain = |i| set.domain(i).unwrap();
    let (taken, all) = (counts(set, &[held], domain), counts(set, from, domain));
    for (domain, &taken) in &taken {
        match all[domain] {
            0 | 1 => assert_eq!(taken, 0),
            all => {
                assert!(taken >= 1 && taken < all, "{taken} of {all}");
                assert!(
                    taken == 1 || taken as f64 <= (all as f64 * share).ceil(),
                    "{taken} of {all}"
                );
            }
        }
    }
    let cell = |i| (domain(i), set.label(i));
    let (taken, all) = (counts(set, &[held], cell), counts(set, from, cell));
    for (cell, &taken) in &taken {
        assert!(taken == 1 || is_near(taken, all[cell], share), "{taken} of {}", all[cell]);
    }
}

#[test]
fn every_domain_trains_and_tests() {
    let mut rng = seed::stream(1, "test");
    let mut tiny = 0;
    for _ in 0..60 {
        let sizes = random_sizes(&mut rng, 4);
        let set = domains(&sizes).with_protocol(STRATIFIED);
        tiny += counts(&set, &Split::ALL, |i| set.domain(i)).values().filter(|&&n| n < 5).count();
        check(&set, Split::Test, &Split::ALL, 0.2);
        // No domain is left without a training image.
        PartitionConfig::Natural.apply(&set, 1).unwrap();
        let set = set.with_validation(share(0.1), 3);
        check(&set, Split::Validation, &[Split::Train, Split::Validation], 0.1);
        let partition = PartitionConfig::Natural.apply(&set, 1).unwrap();
        partition.check(&set).unwrap();
    }
    assert!(tiny > 20, "{tiny}");
}

#[test]
fn every_class_of_every_domain_keeps_its_share() {
    let mut rng = seed::stream(2, "test");
    for _ in 0..40 {
        let mut sizes = random_sizes(&mut rng, 40);
        for size in sizes.values_mut() {
            // Large enough for the rules of small domains and classes not to matter.
            *size += 5;
        }
        let set = domains(&sizes).with_protocol(STRATIFIED);
        let near = |taken: BTreeMap<usize, usize>, all: BTreeMap<usize, usize>| {
            assert!(taken.iter().all(|(key, &taken)| is_near(taken, all[key], 0.2)), "{sizes:?}");
        };
        let class = |i| set.label(i);
        near(counts(&set, &[Split::Test], class), counts(&set, &Split::ALL, class));
        let domain = |i| set.domain(i).unwrap();
        near(counts(&set, &[Split::Test], domain), counts(&set, &Split::ALL, domain));
        let cell = |i| 100 * domain(i) + class(i);
        near(counts(&set, &[Split::Test], cell), counts(&set, &Split::ALL, cell));
        assert!(is_near(set.indices(Split::Test).len(), set.len(), 0.2));
    }
}

#[test]
fn the_only_image_of_a_class_or_a_domain_is_trained_on() {
    for seed in 0..20 {
        let protocol = Protocol::Stratified8020 { seed };
        let set = labelled(&[1, 30, 1], &[0, 7, 0]).with_protocol(protocol);
        assert_eq!(of_classes(&set, Split::Train), [1, 29, 1]);
        let set = domains(&Sizes::from([((0, 0), 1), ((1, 0), 9), ((1, 1), 1)]));
        let set = set.with_protocol(protocol);
        let partition = PartitionConfig::Natural.apply(&set, 1).unwrap();
        assert_eq!((partition.clients[0].train.len(), partition.clients[0].test.len()), (1, 0));
        assert_eq!(of_classes(&set, Split::Train)[1], 1);
    }
}

#[test]
fn domains_that_do_not_train_are_named_with_a_way_out() {
    // In some draw of the merged split, all eight images of twenty are test images.
    let sizes: Sizes = (0..20).map(|domain| ((domain, 0), 1)).collect();
    let set = domains(&sizes);
    let message = PartitionConfig::Natural.apply(&set, 1).unwrap_err().to_string();
    let tests = set.indices(Split::Test);
    assert_eq!(tests.len(), 4);
    for i in tests {
        let name = &set.domains()[set.domain(i).unwrap()];
        assert!(message.contains(name), "{message}");
    }
    assert!(message.contains("\"stratified-80-20\"") && message.contains("4 are held out"));
    let set = set.with_protocol(STRATIFIED);
    assert_eq!(PartitionConfig::Natural.apply(&set, 1).unwrap().clients.len(), 20);
}

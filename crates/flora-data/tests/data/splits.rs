//! Protocols, limits and fingerprints.

use std::fs;

use flora_data::{Dataset, Limit, Protocol, Split};

use crate::sets::{labelled, open, png, vendors};

fn class_counts(set: &Dataset, split: Split) -> Vec<usize> {
    let mut counts = vec![0; set.classes().len()];
    for i in set.indices(split) {
        counts[set.label(i)] += 1;
    }
    counts
}

#[test]
fn merging_makes_a_fifth_the_test_set() {
    let set = labelled(&[50, 31], &[10, 10]);
    let merged = set.clone().with_protocol(Protocol::MERGED);
    let test = merged.indices(Split::Test);
    assert_eq!(test.len(), 21, "a fifth of 101, rounded up");
    assert_eq!(merged.indices(Split::Train).len(), 80);
    assert!(test.iter().any(|&i| i < 81) && test.iter().any(|&i| i >= 81), "all are pooled");

    let again = set.clone().with_protocol(Protocol::Merged8020 { seed: 1 });
    assert_eq!(again.indices(Split::Test), test);
    let other = set.clone().with_protocol(Protocol::Merged8020 { seed: 2 });
    assert_ne!(other.indices(Split::Test), test);
    let back = other.with_protocol(Protocol::Official);
    assert_eq!(back.indices(Split::Test), set.indices(Split::Test));
}

#[test]
fn a_set_without_a_split_is_merged() {
    let dir = tempfile::tempdir().unwrap();
    for number in 0..20 {
        png(&dir.path().join(format!("cat/{number}.png")), number);
    }
    let set = Dataset::open(dir.path(), None).unwrap();
    let test = set.indices(Split::Test);
    assert_eq!(test.len(), 4);
    let merged = set.with_protocol(Protocol::MERGED);
    assert_eq!(merged.indices(Split::Test), test);
}

#[test]
fn a_limit_keeps_the_proportions() {
    let set = labelled(&[60, 30, 10], &[6, 6, 6]);
    let limit = Limit { train: Some(20), test: Some(4) };
    let small = set.clone().limit(limit, 3);
    assert_eq!(class_counts(&small, Split::Train), [12, 6, 2]);
    assert_eq!(class_counts(&small, Split::Test), [2, 1, 1]);
    let pixels = |set: &Dataset| -> Vec<Vec<u8>> {
        (0..set.len()).map(|i| set.image(i).unwrap().into_bytes()).collect()
    };
    assert_eq!(pixels(&small), pixels(&set.clone().limit(limit, 3)));
    assert_ne!(pixels(&small), pixels(&set.clone().limit(limit, 4)));

    let none = Limit::default();
    assert_eq!(pixels(&set.clone().limit(none, 3)), pixels(&set));
    let more = Limit { train: Some(1000), test: Some(0) };
    let trained = set.limit(more, 3);
    assert_eq!((trained.len(), trained.indices(Split::Test).len()), (100, 0));
}

#[test]
fn a_limited_sample_stays_itself() {
    let set = open(&vendors()).unwrap();
    let small = set.clone().limit(Limit { train: Some(5), test: None }, 1);
    for i in 0..small.len() {
        let same = (0..set.len()).find(|&j| set.describe(j) == small.describe(i)).unwrap();
        assert_eq!(set.label(same), small.label(i));
        assert_eq!(set.domain(same), small.domain(i));
        assert_eq!(set.split(same), small.split(i));
    }
}

#[test]
fn the_fingerprint_follows_the_pixels_and_nothing_else() {
    let dir = vendors();
    let set = open(&dir).unwrap();
    let fingerprint = set.fingerprint().unwrap();
    assert_eq!(fingerprint.len(), 64);
    let merged = set.clone().with_protocol(Protocol::MERGED);
    assert_eq!(merged.fingerprint().unwrap(), fingerprint);
    assert_eq!(open(&vendors()).unwrap().fingerprint().unwrap(), fingerprint, "another folder");

    let fewer = set.clone().limit(Limit { train: Some(17), test: None }, 1);
    assert_ne!(fewer.fingerprint().unwrap(), fingerprint);
    let file = dir.path().join("images/alpha/test/dog/0.png");
    png(&file, 200);
    assert_eq!(set.fingerprint().unwrap(), fingerprint, "images are read once");
    assert_ne!(open(&dir).unwrap().fingerprint().unwrap(), fingerprint);
    let set = open(&dir).unwrap();
    fs::remove_file(&file).unwrap();
    let message = set.fingerprint().unwrap_err().to_string();
    assert!(message.contains("alpha/test/dog/0.png"), "{message}");
}

#[test]
fn the_fingerprint_of_idx_images_follows_their_bytes() {
    let fingerprint = |train: &[usize]| labelled(train, &[1, 1]).fingerprint().unwrap();
    assert_eq!(fingerprint(&[3, 1]), fingerprint(&[3, 1]));
    assert_ne!(fingerprint(&[3, 1]), fingerprint(&[3, 2]));
}

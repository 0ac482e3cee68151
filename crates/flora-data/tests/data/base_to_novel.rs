//! Training on one half of the classes, testing on both.

use flora_data::{Limit, Participants, Partition, PartitionConfig, Split};

use crate::partition::{iid, pathological, sorted};
use crate::sets::{assert_says, labelled, open, png, vendors};

/// Seven classes: 0 to 3 are base.
fn set() -> flora_data::Dataset {
    labelled(&[12, 11, 10, 9, 8, 7, 6], &[6, 5, 4, 3, 2, 1, 7])
}

#[test]
fn base_classes_are_dealt_and_novel_ones_only_tested() {
    let set = set();
    let label = |i: &usize| set.label(*i);
    for of in [
        iid(3),
        PartitionConfig::Shards { clients: 3, shards_per_client: 2 },
        PartitionConfig::dirichlet(3, 0.3),
        PartitionConfig::quantity(3, 0.5),
        pathological(3, 2),
    ] {
        let partition = of.clone().base_to_novel().apply(&set, 1).unwrap();
        let (novel, base) = partition.clients.split_last().unwrap();
        assert_eq!((novel.id.as_str(), base.len()), ("novel", 3));
        assert!(novel.train.is_empty());
        assert_eq!(novel.test.len(), 2 + 1 + 7);
        assert!(novel.test.is_sorted() && novel.test.iter().all(|i| label(i) >= 4));

        let mut expected = set.indices(Split::Train);
        expected.retain(|i| label(i) < 4);
        assert_eq!(sorted(base.iter().map(|client| client.train.clone())), expected, "{of:?}");
        let all = partition.clients.iter().map(|client| client.test.clone());
        assert_eq!(sorted(all), set.indices(Split::Test));
        partition.check(&set).unwrap();
    }
}

#[test]
fn an_image_is_told_from_the_classes_of_its_half() {
    let partition = iid(2).base_to_novel().apply(&set(), 1).unwrap();
    for label in 0..4 {
        assert_eq!(partition.candidates(label), Some(&[0, 1, 2, 3][..]));
    }
    for label in 4..7 {
        assert_eq!(partition.candidates(label), Some(&[4, 5, 6][..]));
    }
    let plain = iid(2).apply(&set(), 1).unwrap();
    assert_eq!((plain.candidates(0), &plain.class_groups), (None, &None));
}

#[test]
fn groups_are_saved_and_others_are_saved_as_ever() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("part.json");
    let groups = iid(2).base_to_novel().apply(&set(), 1).unwrap();
    groups.save(&path).unwrap();
    assert_eq!(Partition::load(&path).unwrap(), groups);
    iid(2).apply(&set(), 1).unwrap().save(&path).unwrap();
    assert!(!std::fs::read_to_string(&path).unwrap().contains("class_groups"));
}

#[test]
fn few_shots_of_base_classes() {
    let set = set();
    let shots = |of: PartitionConfig| {
        let partition = of.few_shot(4).base_to_novel().apply(&set, 1).unwrap();
        partition.class_counts(&set)
    };
    assert_eq!(shots(iid(2)), [[4, 4, 4, 4, 0, 0, 0], [4, 4, 4, 4, 0, 0, 0], [0; 7]]);
    let counts = shots(pathological(2, 2));
    assert!((0..4).all(|class| counts[0][class] + counts[1][class] == 4), "{counts:?}");
    assert!(counts.iter().all(|counts| counts[4..] == [0; 3]), "{counts:?}");
}

#[test]
fn domains_keep_their_names_and_their_base_tests() {
    let set = open(&vendors()).unwrap();
    let partition = PartitionConfig::Natural.base_to_novel().apply(&set, 1).unwrap();
    let ids: Vec<_> = partition.clients.iter().map(|client| client.id.as_str()).collect();
    assert_eq!(ids, ["alpha", "beta", "novel"]);
    assert_eq!(partition.class_counts(&set), [[6, 0], [3, 0], [0, 0]]);
    let tests: Vec<_> = partition.clients.iter().map(|client| client.test.len()).collect();
    assert_eq!(tests, [2, 1, 3]);

    let dir = vendors();
    for split in ["train", "test"] {
        png(&dir.path().join(format!("images/novel/{split}/dog/0.png")), 0);
    }
    let set = open(&dir).unwrap();
    let message = PartitionConfig::Natural.base_to_novel().apply(&set, 1).unwrap_err().to_string();
    assert_says(&message, &["\"novel\" already", "rename"]);
}

#[test]
fn everything_in_one_place_is_compared_with_too() {
    let set = set();
    let partition = iid(2).base_to_novel().apply(&set, 1).unwrap();
    let central = partition.with_participants(&Participants::Central).unwrap();
    assert_eq!(central.class_counts(&set)[3], [12, 11, 10, 9, 0, 0, 0]);
    assert_eq!(central.clients[2].test.len(), 10);
    assert!(central.class_groups.is_some());
}

#[test]
fn a_saved_partition_gives_its_base_images() {
    let set = set();
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("part.json");
    let file = || PartitionConfig::File { path: path.clone() };
    let whole = iid(3).apply(&set, 5).unwrap();
    whole.save(&path).unwrap();
    let partition = file().base_to_novel().apply(&set, 1).unwrap();
    for (client, whole) in partition.clients.iter().zip(&whole.clients) {
        let base = |all: &[usize]| -> Vec<usize> {
            all.iter().copied().filter(|&i| set.label(i) < 4).collect()
        };
        assert_eq!((&client.train, &client.test), (&base(&whole.train), &base(&whole.test)));
    }
    let message = |config: PartitionConfig| config.apply(&set, 1).unwrap_err().to_string();

    partition.save(&path).unwrap();
    assert_says(
        &message(file().base_to_novel()),
        &["`partition.of.path`", "already has class groups"],
    );
    // Seven clients with one class each: three have no base classes.
    pathological(7, 1).apply(&set, 1).unwrap().save(&path).unwrap();
    let lost = message(file().base_to_novel());
    assert_says(&lost, &["client-0", "no training image", "part.json", "first 4 classes"]);
}

#[test]
fn what_cannot_be_is_told() {
    let message = |config: PartitionConfig, set: &flora_data::Dataset| {
        config.base_to_novel().apply(set, 1).unwrap_err().to_string()
    };
    let set = set();
    assert_says(
        &message(iid(2).base_to_novel(), &set),
        &["`partition.of`", "base-to-novel cannot be nested"],
    );
    assert_says(&message(iid(0), &set), &["`partition.of.clients`", "choose 1 to"]);
    assert_says(&message(iid(43), &set), &["client-42", "42 of them", "first 4 classes", "digits"]);
    assert_says(&message(pathological(1, 2), &set), &["leave out 2 of 4 classes"]);
    let untested = set.limit(Limit { train: None, test: Some(0) }, 1);
    assert_says(&message(iid(2), &untested), &["`partition.kind`", "no test image", "last 3 of 7"]);
    assert_says(&message(iid(2), &labelled(&[5], &[5])), &["no test image", "digits"]);
}

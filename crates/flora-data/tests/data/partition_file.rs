//! Partitions that were saved and are used again.

use std::path::Path;

use flora_data::{Limit, Participants, Partition, PartitionConfig};
use tempfile::TempDir;

use crate::partition::{iid, pathological};
use crate::sets::{assert_says, labelled, open, vendors};

fn file(path: &Path) -> PartitionConfig {
    PartitionConfig::File { path: path.to_owned() }
}

fn saved(partition: &Partition) -> (TempDir, PartitionConfig) {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("part.json");
    partition.save(&path).unwrap();
    let config = file(&path);
    (dir, config)
}

#[test]
fn a_file_gives_the_saved_partition_whatever_the_seed() {
    let set = labelled(&[30; 6], &[6; 6]);
    for config in [iid(5), pathological(4, 3).few_shot(2), iid(3).base_to_novel()] {
        let partition = config.apply(&set, 1).unwrap();
        let (_dir, file) = saved(&partition);
        assert_eq!(file.apply(&set, 1).unwrap(), partition);
        assert_eq!(file.apply(&set, 2).unwrap(), partition);
    }
}

#[test]
fn clients_that_only_test_stay_as_they_are() {
    let set = labelled(&[30; 3], &[6; 3]);
    let only = Participants::Only(vec!["client-01".into()]);
    let partition = iid(3).apply(&set, 1).unwrap().with_participants(&only).unwrap();
    let (_dir, file) = saved(&partition);
    assert_eq!(file.apply(&set, 1).unwrap(), partition);
    let few = file.few_shot(2).apply(&set, 1).unwrap();
    assert_eq!(few.class_counts(&set), [[0; 3], [2; 3], [0; 3]]);
}

#[test]
fn few_shots_of_a_file_keep_names_tests_and_groups() {
    let set = open(&vendors()).unwrap();
    let natural = PartitionConfig::Natural.apply(&set, 1).unwrap();
    let (_dir, file) = saved(&natural);
    let few = file.few_shot(4).apply(&set, 1).unwrap();
    assert_eq!(few, PartitionConfig::Natural.few_shot(4).apply(&set, 1).unwrap());

    let set = labelled(&[30; 6], &[6; 6]);
    let (_dir, file) = saved(&iid(3).base_to_novel().apply(&set, 1).unwrap());
    let few = file.few_shot(2).apply(&set, 1).unwrap();
    assert_eq!(few.class_groups, Some(vec![vec![0, 1, 2], vec![3, 4, 5]]));
    assert_eq!(few.class_counts(&set)[0], [2, 2, 2, 0, 0, 0]);
}

#[test]
fn a_partition_written_by_hand_is_put_in_order() {
    let set = labelled(&[4], &[2]);
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("part.json");
    let json = r#"{ "clients": [{ "id": "mine", "train": [3, 0, 1], "test": [5, 4] }] }"#;
    std::fs::write(&path, json).unwrap();
    let partition = file(&path).apply(&set, 1).unwrap();
    assert_eq!(partition.clients[0].train, [0, 1, 3]);
    assert_eq!(partition.clients[0].test, [4, 5]);
    assert_eq!(partition.class_groups, None);
}

#[test]
fn a_file_that_does_not_fit_is_named() {
    let set = labelled(&[30; 3], &[6; 3]);
    let (dir, file_config) = saved(&iid(3).apply(&set, 1).unwrap());
    let smaller = set.clone().limit(Limit { train: Some(9), test: None }, 1);
    let message = file_config.apply(&smaller, 1).unwrap_err().to_string();
    assert_says(&message, &["part.json", "does not belong", "digits", "client-0"]);

    std::fs::write(dir.path().join("part.json"), "{}").unwrap();
    let message = file_config.apply(&set, 1).unwrap_err().to_string();
    assert_says(&message, &["part.json", "not a saved partition"]);
    for path in [dir.path().join("none.json"), dir.path().to_owned()] {
        let message = file(&path).apply(&set, 1).unwrap_err().to_string();
        assert_says(&message, &[path.to_str().unwrap(), "no saved partition", "`partition.path`"]);
    }
}

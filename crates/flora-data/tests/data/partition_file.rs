//! Partitions that are saved and used again.

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

#[test]
fn class_counts_are_saved_and_checked() {
    let set = labelled(&[30; 3], &[6; 3]);
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("part.json");
    for config in [iid(3), iid(3).base_to_novel()] {
        let partition = config.apply(&set, 1).unwrap();
        partition.described(&set).save(&path).unwrap();
        assert_eq!(file(&path).apply(&set, 2).unwrap(), partition);
        assert_eq!(Partition::load(&path).unwrap(), partition);
        let json: serde_json::Value =
            serde_json::from_slice(&std::fs::read(&path).unwrap()).unwrap();
        for (client, counts) in partition.class_counts(&set).iter().enumerate() {
            let saved = &json["clients"][client]["train_classes"];
            for (class, &count) in counts.iter().enumerate() {
                let saved = &saved[format!("class {class}")];
                assert!(if count > 0 { *saved == count } else { saved.is_null() }, "{json}");
            }
        }
        let tests = json["clients"][0]["test_classes"].as_object().unwrap();
        let tests: u64 = tests.values().map(|count| count.as_u64().unwrap()).sum();
        assert_eq!(tests as usize, partition.clients[0].test.len());
    }

    // The same number of samples of each split and class, but other ones: only the counts show it.
    let limit = Limit { train: Some(45), test: None };
    let [one, other] = [1, 2].map(|seed| set.clone().limit(limit, seed));
    let partition = iid(3).apply(&one, 1).unwrap();
    partition.described(&one).save(&path).unwrap();
    assert_eq!(file(&path).apply(&one, 1).unwrap(), partition);
    let message = file(&path).apply(&other, 1).unwrap_err().to_string();
    assert_says(&message, &["part.json", "client-0", "images of \"class", "data.limit", "anew"]);

    let json = r#"{ "clients": [{ "id": "a", "train": [0], "test": [], "train_classes": { "cat": 1 } }] }"#;
    std::fs::write(&path, json).unwrap();
    let message = file(&path).apply(&set, 1).unwrap_err().to_string();
    assert_says(&message, &["a holds 0 training images of \"cat\"", "counts 1"]);
}

#[test]
fn a_number_that_the_data_set_lacks_is_named_in_every_split() {
    let set = labelled(&[30; 3], &[6; 3]);
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("part.json");
    for split in ["train", "validation", "test"] {
        let mut client = serde_json::json!({ "id": "a", "train": [0], "test": [] });
        client[split] = serde_json::json!([set.len()]);
        client[format!("{split}_classes")] = serde_json::json!({ "class 0": 1 });
        let json =
            serde_json::json!({ "clients": [client, { "id": "b", "train": [1], "test": [] }] });
        std::fs::write(&path, json.to_string()).unwrap();
        let message = file(&path).apply(&set, 1).unwrap_err().to_string();
        assert_says(&message, &["part.json", "sample 108 of a is not one of its"]);
    }
}

#[test]
fn images_are_listed_by_their_files() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("files.csv");
    let folder = vendors();
    let idx = labelled(&[5; 2], &[2; 2]);
    let set = open(&folder).unwrap();
    for (set, config, place) in
        [(&set, PartitionConfig::Natural, ".png"), (&idx, iid(2), "images-idx3-ubyte.gz[")]
    {
        let partition = config.apply(set, 1).unwrap();
        partition.save_files(&path, set).unwrap();
        let mut table = csv::Reader::from_path(&path).unwrap();
        assert_eq!(table.headers().unwrap(), vec!["client", "split", "index", "class", "path"]);
        let mut lines = table.records().map(Result::unwrap);
        for client in &partition.clients {
            for (split, indices) in [("train", &client.train), ("test", &client.test)] {
                for &i in indices {
                    let class = &set.classes()[set.label(i)];
                    let expected = [&client.id, split, &i.to_string(), class, &set.describe(i)];
                    let line = lines.next().unwrap();
                    assert_eq!(line, expected.to_vec());
                    assert!(line[4].contains(place), "{line:?}");
                }
            }
        }
        assert!(lines.next().is_none());
    }
    let error = iid(2).apply(&idx, 1).unwrap().save_files(&dir.path().join("files.csv/x"), &idx);
    assert_says(&error.unwrap_err().to_string(), &["files.csv/x"]);
}

#[test]
fn a_flipped_byte_is_an_error_and_never_another_partition() {
    let set = labelled(&[12; 4], &[3; 4]);
    let partition = iid(3).base_to_novel().apply(&set, 1).unwrap();
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("part.json");
    for described in [false, true] {
        match described {
            true => partition.described(&set).save(&path).unwrap(),
            false => partition.save(&path).unwrap(),
        }
        let good = std::fs::read(&path).unwrap();
        let mut told = 0;
        for place in 0..good.len() {
            for flip in [0x01, 0x02, 0x10, 0x20, 0x80] {
                let mut bad = good.clone();
                bad[place] ^= flip;
                std::fs::write(&path, &bad).unwrap();
                match Partition::load(&path) {
                    Ok(read) => assert_eq!(read, partition, "byte {place}, {flip:#x}"),
                    Err(error) => {
                        assert_says(&error.to_string(), &["part.json"]);
                        told += usize::from(error.to_string().contains("`sha256`"));
                    }
                }
                // Reading it as plain JSON reports it, too.
                if let Ok(read) = serde_json::from_slice::<Partition>(&bad) {
                    assert_eq!(read, partition);
                }
            }
        }
        assert!(told > 200, "{told}");
    }
}

#[test]
fn a_saved_partition_may_be_written_with_other_spaces() {
    let set = labelled(&[12; 4], &[3; 4]);
    let partition = iid(3).apply(&set, 1).unwrap();
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("part.json");
    let pretty = serde_json::to_string_pretty(&partition.described(&set)).unwrap();
    assert!(pretty.contains("\"sha256\""), "{pretty}");
    std::fs::write(&path, &pretty).unwrap();
    assert_eq!(file(&path).apply(&set, 1).unwrap(), partition);
    // An edited file is refused until its checksum is removed.
    let edited = pretty.replace("\"client-00\"", "\"mine\"");
    std::fs::write(&path, &edited).unwrap();
    let message = file(&path).apply(&set, 1).unwrap_err().to_string();
    assert_says(&message, &["part.json", "`sha256`", "remove"]);
    let mut own: serde_json::Value = serde_json::from_str(&edited).unwrap();
    own.as_object_mut().unwrap().remove("sha256");
    std::fs::write(&path, own.to_string()).unwrap();
    assert_eq!(file(&path).apply(&set, 1).unwrap().clients[0].id, "mine");
}

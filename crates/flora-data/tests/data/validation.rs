//! Partitions of data sets with validation images.

use flora_data::{Dataset, Limit, Partition, PartitionConfig, Split, ValidationShare};

use crate::partition::{iid, pathological, sorted};
use crate::sets::{assert_says, labelled, open, vendors};

fn validated(set: Dataset) -> Dataset {
    set.with_validation(ValidationShare::try_from(0.2).unwrap(), 5)
}

fn digits() -> Dataset {
    labelled(&[40, 30, 20, 10], &[9, 8, 7, 6])
}

fn held(partition: &Partition, split: Split) -> Vec<usize> {
    sorted(partition.clients.iter().map(|client| client.images(split).to_vec()))
}

#[test]
fn without_a_share_nothing_changes() {
    let none = ValidationShare::default();
    let set = digits().with_validation(none, 5);
    assert!((0..set.len()).all(|i| set.split(i) == digits().split(i)));
    let partition = iid(3).apply(&set, 1).unwrap();
    assert_eq!(partition, iid(3).apply(&digits(), 1).unwrap());
    assert_eq!(partition.scored_on(), Split::Test);
    assert!(!serde_json::to_string(&partition.described(&set)).unwrap().contains("validation"));
}

#[test]
fn every_kind_deals_validation_images_out() {
    let digits = validated(digits());
    assert_eq!(digits.indices(Split::Validation).len(), 20);
    let vendors = validated(open(&vendors()).unwrap());
    for (config, set) in [
        (iid(4), &digits),
        (PartitionConfig::Shards { clients: 4, shards_per_client: 2 }, &digits),
        (PartitionConfig::dirichlet(4, 0.3), &digits),
        (PartitionConfig::quantity(4, 0.3), &digits),
        (pathological(4, 2), &digits),
        (iid(4).few_shot(2), &digits),
        (PartitionConfig::Natural, &vendors),
        (PartitionConfig::Natural.few_shot(1), &vendors),
    ] {
        let partition = config.apply(set, 1).unwrap();
        partition.check(set).unwrap();
        assert_eq!(partition.scored_on(), Split::Validation);
        for split in [Split::Validation, Split::Test] {
            assert_eq!(held(&partition, split), set.indices(split), "{config:?}");
        }
        let train = held(&partition, Split::Train);
        assert!(train.iter().all(|&i| set.split(i) == Split::Train), "{config:?}");

        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("part.json");
        partition.described(set).save(&path).unwrap();
        let file = PartitionConfig::File { path };
        assert_eq!(file.apply(set, 2).unwrap(), partition);
    }
}

#[test]
fn novel_classes_have_no_validation_images() {
    let set = validated(digits());
    let partition = iid(2).base_to_novel().apply(&set, 1).unwrap();
    let mut base = set.indices(Split::Validation);
    base.retain(|&i| set.label(i) < 2);
    assert_eq!(held(&partition, Split::Validation), base);
    let novel = partition.clients.last().unwrap();
    assert!(novel.id == "novel" && novel.validation.is_empty() && !novel.test.is_empty());
}

#[test]
fn a_limit_leaves_validation_images_alone() {
    let set = validated(digits());
    let limited = set.clone().limit(Limit { train: Some(8), test: Some(4) }, 1);
    let count = |split| limited.indices(split).len();
    assert_eq!([Split::Train, Split::Validation, Split::Test].map(count), [8, 20, 4]);
}

#[test]
fn a_file_without_them_does_not_fit() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("part.json");
    iid(3).apply(&digits(), 1).unwrap().save(&path).unwrap();
    let file = PartitionConfig::File { path };
    let message = file.apply(&validated(digits()), 1).unwrap_err().to_string();
    assert_says(&message, &["part.json", "not one of its Train samples", "`data.validation`"]);
}

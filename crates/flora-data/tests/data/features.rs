//! The cache of image features.

use std::fs;

use flora_core::Dtype;
use flora_data::{FeatureCache, FeatureKey, FeatureRows, Features, Lookup};

use crate::sets::assert_says;

fn key() -> FeatureKey {
    FeatureKey { checkpoint: "c".into(), preprocessing: "p".into(), data: "d".into() }
}

fn features() -> Features {
    Features { dim: 2, values: vec![1.0, -0.0, f32::MIN_POSITIVE, 4.5, 5.0, f32::MAX] }
}

fn found(cache: &FeatureCache, key: &FeatureKey) -> FeatureRows {
    match cache.load(key, 3).unwrap() {
        Lookup::Hit(file) => FeatureRows::File(file),
        other => panic!("not found: {other:?}"),
    }
}

fn is_missing(cache: &FeatureCache, key: &FeatureKey) -> bool {
    matches!(cache.load(key, 3).unwrap(), Lookup::Miss)
}

#[test]
fn what_was_stored_is_found() {
    let dir = tempfile::tempdir().unwrap();
    let cache = FeatureCache::new(dir.path().join("deep/features"));
    assert!(is_missing(&cache, &key()));
    let stored = cache.store(&key(), &features()).unwrap();
    let path = cache.path(&key());
    let name = path.file_name().unwrap().to_str().unwrap();
    assert_eq!(name, format!("features-{}.safetensors", &key().digest()[..16]));
    let gathered = FeatureRows::File(stored).gather(&[2, 0]).unwrap();
    assert_eq!(gathered, [5.0, f32::MAX, 1.0, -0.0]);
    let found = found(&cache, &key());
    assert_eq!((found.len(), found.dim()), (3, 2));
    let found = found.into_memory().unwrap();
    assert_eq!(found, features());
    assert_eq!(found.values[1].to_bits(), (-0.0_f32).to_bits());
    assert_eq!((found.len(), found.row(1)), (3, &[f32::MIN_POSITIVE, 4.5][..]));
    assert_eq!(fs::read_dir(path.parent().unwrap()).unwrap().count(), 1, "no temporary file stays");
}

#[test]
fn every_part_of_the_key_counts() {
    let dir = tempfile::tempdir().unwrap();
    let cache = FeatureCache::new(dir.path());
    cache.store(&key(), &features()).unwrap();
    let changes: [fn(&mut FeatureKey); 4] = [
        |key| key.checkpoint = "x".into(),
        |key| key.preprocessing = "x".into(),
        |key| key.data = "x".into(),
        |key| (key.checkpoint, key.preprocessing) = ("cp".into(), "".into()),
    ];
    for change in changes {
        let mut other = key();
        change(&mut other);
        assert_ne!(other.digest(), key().digest());
        assert!(is_missing(&cache, &other));
    }
}

#[test]
fn a_damaged_or_foreign_file_is_told_and_replaced() {
    let dir = tempfile::tempdir().unwrap();
    let cache = FeatureCache::new(dir.path());
    cache.store(&key(), &features()).unwrap();
    let path = cache.path(&key());
    let whole = fs::read(&path).unwrap();
    let mut nan = whole.clone();
    let end = nan.len();
    nan[end - 4..].copy_from_slice(&f32::NAN.to_le_bytes());
    let foreign_key = FeatureKey { data: "another".into(), ..key() };
    cache.store(&foreign_key, &features()).unwrap();
    let foreign = fs::read(cache.path(&foreign_key)).unwrap();

    for (bytes, why) in [
        (whole[..end - 1].to_vec(), ""),
        (b"rubbish".to_vec(), ""),
        (Vec::new(), ""),
        (nan, "sample 2 contain NaN"),
        (foreign, "another data"),
    ] {
        fs::write(&path, bytes).unwrap();
        let Lookup::Damaged(note) = cache.load(&key(), 3).unwrap() else {
            panic!("taken for good");
        };
        assert_says(&note, &[why, path.to_str().unwrap(), "computed again"]);
    }
    cache.store(&key(), &features()).unwrap();
    assert_eq!(found(&cache, &key()).into_memory().unwrap(), features());
    let Lookup::Damaged(note) = cache.load(&key(), 4).unwrap() else {
        panic!("three rows for four samples");
    };
    assert_says(&note, &["3 rows", "4 rows"]);
}

#[test]
fn only_whole_rows_of_finite_numbers_are_stored() {
    let dir = tempfile::tempdir().unwrap();
    let cache = FeatureCache::new(dir.path());
    for (dim, values, why) in [
        (2, vec![0.0, 0.0, f32::INFINITY, 0.0], "sample 1 contain inf"),
        (2, vec![f32::NAN, 0.0], "sample 0 contain NaN"),
        (2, vec![0.0; 3], "not rows of 2"),
        (0, vec![], "not rows of 0"),
    ] {
        let error = cache.store(&key(), &Features { dim, values }).unwrap_err();
        assert_says(&error.to_string(), &[why, "cannot be stored"]);
    }
    assert!(is_missing(&cache, &key()));
}

#[test]
fn halves_are_rounded_and_lie_in_files_of_their_own() {
    let dir = tempfile::tempdir().unwrap();
    let (cache, halves) =
        (FeatureCache::new(dir.path()), FeatureCache::new(dir.path()).with_dtype(Dtype::F16));
    let third = Features { dim: 2, values: vec![1.0 / 3.0, 1.0, 2.0, -4.0, 0.5, 65_504.0] };
    halves.store(&key(), &third).unwrap();
    assert!(is_missing(&cache, &key()));
    let found = found(&halves, &key()).into_memory().unwrap();
    assert_eq!(found, third.clone().rounded(Dtype::F16));
    assert!((found.values[0] - 1.0 / 3.0).abs() < 1e-4 && found.values[0] != 1.0 / 3.0);

    let too_large = Features { dim: 2, values: vec![0.0, 0.0, 0.0, 65_520.0] };
    let error = halves.store(&key(), &too_large).unwrap_err();
    assert_says(&error.to_string(), &["sample 1 contain inf", "cannot be stored"]);
}

#[test]
fn a_file_that_shrinks_while_it_is_used_is_an_error() {
    let dir = tempfile::tempdir().unwrap();
    let cache = FeatureCache::new(dir.path());
    let rows = FeatureRows::File(cache.store(&key(), &features()).unwrap());
    let path = cache.path(&key());
    let whole = fs::read(&path).unwrap();
    fs::OpenOptions::new()
        .write(true)
        .open(&path)
        .unwrap()
        .set_len(whole.len() as u64 - 4)
        .unwrap();
    assert_eq!(rows.gather(&[1]).unwrap(), [f32::MIN_POSITIVE, 4.5]);
    let error = rows.gather(&[1, 2]).unwrap_err();
    assert_says(&error.to_string(), &[path.to_str().unwrap()]);
}

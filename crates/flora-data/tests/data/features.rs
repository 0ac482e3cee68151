//! The cache of image features.

use std::fs;

use flora_core::{Dtype, HostTensor, ParameterRecord};
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
    // Three rows of 8 bytes, and their checksums before them.
    let mut nan_with_checksum = nan.clone();
    let checksum = crc32fast::hash(&nan[end - 8..]).to_le_bytes();
    nan_with_checksum[end - 28..end - 24].copy_from_slice(&checksum);
    let mut zeroed = whole.clone();
    zeroed[end - 24..].fill(0);
    let older = {
        let mut record = ParameterRecord::new();
        let Features { dim, values } = features();
        let tensor = HostTensor::from_f32([values.len() / dim, dim], values).unwrap();
        record.insert("image_features", tensor).unwrap();
        let metadata = [("checkpoint", "c"), ("preprocessing", "p"), ("data", "d")];
        let metadata = metadata.map(|(key, value)| (key.to_owned(), value.to_owned()));
        record.to_safetensors_with(&metadata.into())
    };
    let foreign_key = FeatureKey { data: "another".into(), ..key() };
    cache.store(&foreign_key, &features()).unwrap();
    let foreign = fs::read(cache.path(&foreign_key)).unwrap();

    for (bytes, why) in [
        (whole[..end - 1].to_vec(), ""),
        (b"rubbish".to_vec(), ""),
        (Vec::new(), ""),
        (nan, "sample 2 do not match their checksum"),
        (nan_with_checksum, "sample 2 contain NaN"),
        (zeroed, "sample 0 do not match their checksum"),
        (foreign, "another data"),
        (older, "no checksums, as an older version"),
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

/// After any changed byte or truncation, the file is damaged, or has the same values.
#[test]
fn no_change_of_the_file_gives_other_numbers() {
    let dir = tempfile::tempdir().unwrap();
    let halves = FeatureCache::new(dir.path()).with_dtype(Dtype::F16);
    let small = Features { dim: 2, values: vec![1.0, -0.0, 0.5, 4.5, 5.0, 2.0] };
    for (cache, features) in [(FeatureCache::new(dir.path()), features()), (halves, small)] {
        cache.store(&key(), &features).unwrap();
        let path = cache.path(&key());
        let whole = fs::read(&path).unwrap();
        let values = 3 * (4 + 2 * cache.dtype().size());
        let mut taken = 0;
        let mut try_bytes = |bytes: &[u8], place: String, header: bool| {
            fs::write(&path, bytes).unwrap();
            match cache.load(&key(), 3).unwrap() {
                Lookup::Damaged(note) => assert_says(&note, &[path.to_str().unwrap()]),
                Lookup::Miss => panic!("{place}: the file is there"),
                Lookup::Hit(file) => {
                    assert!(header, "{place}: taken for good");
                    taken += 1;
                    let found = FeatureRows::File(file).into_memory().unwrap();
                    let bits = |features: &Features| -> Vec<u32> {
                        features.values.iter().map(|value| value.to_bits()).collect()
                    };
                    assert_eq!((found.dim, bits(&found)), (2, bits(&features)), "{place}");
                }
            }
        };
        for at in 0..whole.len() {
            let header = at < whole.len() - values;
            let flips = (0..8).map(|bit| whole[at] ^ (1 << bit));
            for byte in flips.chain(*b"\0\xff \n09FIU[]{}\",\\") {
                if byte != whole[at] {
                    let mut changed = whole.clone();
                    changed[at] = byte;
                    try_bytes(&changed, format!("byte {at} is {byte}"), header);
                }
            }
        }
        for end in 0..whole.len() {
            try_bytes(&whole[..end], format!("cut at {end}"), false);
        }
        // Of the header: U32 as another type of 4 bytes, and white space as other white space.
        assert!(taken < 40, "{taken}");
    }
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

    // A changed row is also rejected.
    let mut damaged = whole.clone();
    damaged[whole.len() - 8] ^= 1;
    fs::write(&path, damaged).unwrap();
    assert_eq!(rows.gather(&[1]).unwrap(), [f32::MIN_POSITIVE, 4.5]);
    let error = rows.gather(&[1, 2]).unwrap_err();
    assert_says(&error.to_string(), &[path.to_str().unwrap(), "sample 2", "checksum"]);
}

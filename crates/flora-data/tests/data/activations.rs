//! States within a tower, in files larger than memory.

use std::fs;

use flora_core::Dtype;
use flora_data::{
    ActivationFilling, BegunActivations, Error, FeatureCache, FeatureKey, FeatureRows,
};

const SHAPE: [usize; 2] = [11, 3];
const BATCH: usize = 4;

fn key() -> FeatureKey {
    FeatureKey { checkpoint: "c".into(), preprocessing: "p".into(), data: "d".into() }
}

/// Values of a row, of which f16 represents only some exactly.
fn row(row: usize) -> [f32; 3] {
    [row as f32 + 1.0 / 3.0, -(row as f32), 0.5]
}

fn batch(first: usize) -> Vec<f32> {
    (first..SHAPE[0].min(first + BATCH)).flat_map(row).collect()
}

fn begin(cache: &FeatureCache) -> ActivationFilling<'_> {
    match cache.begin_activations(&key(), SHAPE, BATCH, &mut |told| panic!("{told}")).unwrap() {
        BegunActivations::Filling(filling) => filling,
        BegunActivations::Stored(_) => panic!("nobody stored them"),
    }
}

fn complete(mut filling: ActivationFilling<'_>) -> FeatureRows {
    for first in (filling.rows()..SHAPE[0]).step_by(BATCH) {
        filling.append(batch(first)).unwrap();
    }
    FeatureRows::Activations(filling.finish().unwrap())
}

fn load(cache: &FeatureCache) -> (Option<FeatureRows>, Vec<String>) {
    let mut told = Vec::new();
    let found = cache.load_activations(&key(), SHAPE, &mut |it| told.push(it)).unwrap();
    (found.map(FeatureRows::Activations), told)
}

#[test]
fn rows_come_back_in_any_order() {
    let folder = tempfile::tempdir().unwrap();
    let cache = FeatureCache::new(folder.path().join("deep/cache"));
    assert!(load(&cache).0.is_none());
    let written = complete(begin(&cache));
    let (loaded, told) = load(&cache);
    assert!(told.is_empty());
    for rows in [written, loaded.unwrap()] {
        assert_eq!((rows.len(), rows.dim()), (11, 3));
        let some: Vec<f32> = [10, 0, 10].into_iter().flat_map(row).collect();
        assert_eq!(rows.gather(&[10, 0, 10]).unwrap(), some);
        let all: Vec<f32> = (0..11).flat_map(row).collect();
        assert_eq!(rows.into_memory().unwrap().values, all);
    }
    assert!(!cache.path(&key()).exists(), "features of the same key are another file");
}

#[test]
fn half_precision_rounds_and_refuses_what_it_cannot_hold() {
    let folder = tempfile::tempdir().unwrap();
    let cache = FeatureCache::new(folder.path()).with_dtype(Dtype::F16);
    let rows = complete(begin(&cache));
    let third = rows.gather(&[0]).unwrap()[0];
    assert!(third != 1.0 / 3.0 && (third - 1.0 / 3.0).abs() < 2e-4, "{third}");
    assert_eq!(rows.gather(&[7]).unwrap()[1..], [-7.0, 0.5]);
    assert!(load(&FeatureCache::new(folder.path())).0.is_none(), "f32 is another file");

    let other = FeatureCache::new(folder.path().join("other")).with_dtype(Dtype::F16);
    let error = begin(&other).append(vec![0.0, 0.0, 0.0, 0.0, 1e6, 0.0]).unwrap_err();
    assert!(
        matches!(&error, Error::Features { problem } if problem.contains("sample 1")),
        "{error}"
    );
    let error = begin(&cache_of(&folder)).append(vec![0.0, f32::NAN, 0.0]).unwrap_err();
    assert!(matches!(error, Error::Features { .. }));
}

fn cache_of(folder: &tempfile::TempDir) -> FeatureCache {
    FeatureCache::new(folder.path().join("nan"))
}

#[test]
fn a_process_that_was_killed_leaves_whole_batches() {
    let folder = tempfile::tempdir().unwrap();
    let cache = FeatureCache::new(folder.path());
    let mut filling = begin(&cache);
    let (all, _) = cache.room_for_activations(&key(), SHAPE);
    assert_eq!(all, 11 * (3 * 4 + 4), "the first line is there");
    filling.append(batch(0)).unwrap();
    filling.append(batch(4)).unwrap();
    // Dropping it writes nothing.
    drop(filling);
    let (left, free) = cache.room_for_activations(&key(), SHAPE);
    assert_eq!(all - left, 8 * (3 * 4 + 4));
    assert_eq!(free.is_some(), cfg!(unix));

    let partial = cache.activations_path(&key()).with_added_extension("partial");
    let whole = fs::read(&partial).unwrap();
    for (cut, rows) in [(0, 8), (1, 4), (16 * 4, 4), (16 * 4 + 1, 0), (whole.len(), 0)] {
        fs::write(&partial, &whole[..whole.len() - cut]).unwrap();
        let filling = begin(&cache);
        assert_eq!(filling.rows(), rows, "{cut}");
        let all: Vec<f32> = (0..11).flat_map(row).collect();
        assert_eq!(complete(filling).into_memory().unwrap().values, all);
        assert!(!partial.exists());
        fs::remove_file(cache.activations_path(&key())).unwrap();
    }
}

#[test]
fn what_is_damaged_is_told_and_the_rows_before_it_are_kept() {
    let folder = tempfile::tempdir().unwrap();
    let cache = FeatureCache::new(folder.path());
    let rows = complete(begin(&cache));
    let path = cache.activations_path(&key());
    let whole = fs::read(&path).unwrap();
    let mut bytes = whole.clone();
    let at = whole.len() - 16 * 5 - 1;
    bytes[at] ^= 1;
    fs::write(&path, &bytes).unwrap();
    // Row 5 of 11, counted from 0.
    assert!(rows.gather(&[4]).is_ok());
    let error = rows.gather(&[5]).unwrap_err().to_string();
    assert!(error.contains("row 5") && error.contains("activations-"), "{error}");

    let (found, told) = load(&cache);
    assert!(found.is_none());
    let [told] = &told[..] else { panic!("{told:?}") };
    assert!(told.contains("row 5"), "{told}");
    let filling = begin(&cache);
    assert_eq!(filling.rows(), 4);
    complete(filling);
    assert_eq!(fs::read(&path).unwrap(), whole);
}

#[test]
fn damage_that_another_process_found_too_is_no_error() {
    let folder = tempfile::tempdir().unwrap();
    let cache = FeatureCache::new(folder.path());
    complete(begin(&cache));
    let path = cache.activations_path(&key());
    fs::write(&path, "damaged").unwrap();
    // Between opening the file and renaming it.
    let mut other = |_: String| fs::rename(&path, path.with_added_extension("partial")).unwrap();
    let found = cache.load_activations(&key(), SHAPE, &mut other);
    assert!(found.unwrap().is_none());
    assert_eq!(begin(&cache).rows(), 0);
}

#[test]
fn what_is_stored_needs_no_more_room() {
    let folder = tempfile::tempdir().unwrap();
    let cache = FeatureCache::new(folder.path());
    complete(begin(&cache));
    assert_eq!(cache.room_for_activations(&key(), SHAPE).0, 0);
    assert!(cache.room_for_activations(&key(), [12, 3]).0 > 0);
}

#[test]
fn the_second_of_two_finds_what_the_first_stored() {
    let folder = tempfile::tempdir().unwrap();
    let cache = FeatureCache::new(folder.path());
    complete(begin(&cache));
    let begun = cache.begin_activations(&key(), SHAPE, BATCH, &mut |told| panic!("{told}"));
    assert!(matches!(begun.unwrap(), BegunActivations::Stored(_)));
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
}

#[test]
fn an_abandoned_filling_leaves_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let cache = FeatureCache::new(folder.path());
    let mut filling = begin(&cache);
    filling.append(batch(0)).unwrap();
    filling.abandon();
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0);
}

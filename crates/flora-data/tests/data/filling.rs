//! Image features that are computed batch by batch, by processes that may be killed.

use std::fs;
use std::path::{Path, PathBuf};

use flora_core::Dtype;
use flora_data::{Begun, Error, FeatureCache, FeatureKey, FeatureRows, Filling};

use crate::sets::assert_says;

const SHAPE: [usize; 2] = [11, 2];
const BATCH: usize = 4;

fn key() -> FeatureKey {
    FeatureKey { checkpoint: "c".into(), preprocessing: "p".into(), data: "d".into() }
}

/// The rows of the batch that begins with row `first`.
fn batch(first: usize) -> Vec<f32> {
    let rows = first..SHAPE[0].min(first + BATCH);
    rows.flat_map(|row| [row as f32 + 1.0 / 3.0, -(row as f32)]).collect()
}

/// The filling of `cache`, and its warnings.
fn begin<'a>(cache: &'a FeatureCache, key: &'a FeatureKey) -> (Filling<'a>, Vec<String>) {
    let mut told = Vec::new();
    match cache.begin(key, SHAPE, BATCH, &mut |warning| told.push(warning)) {
        Begun::Filling(filling) => (filling, told),
        Begun::Stored(_) => panic!("nobody else stored them"),
    }
}

/// Appends the missing rows, and stores all.
fn complete(mut filling: Filling<'_>) -> FeatureRows {
    let warn = &mut |warning| panic!("{warning}");
    for first in (filling.rows()..SHAPE[0]).step_by(BATCH) {
        filling.append(batch(first), warn).unwrap();
    }
    filling.finish(warn).unwrap()
}

fn journal(cache: &FeatureCache) -> PathBuf {
    cache.path(&key()).with_added_extension("partial")
}

fn count(folder: &Path) -> usize {
    fs::read_dir(folder).unwrap().count()
}

#[test]
fn a_cut_at_any_length_goes_on_to_the_same_file() {
    let dir = tempfile::tempdir().unwrap();
    let key = key();
    for dtype in [Dtype::F32, Dtype::F16] {
        let cache = FeatureCache::new(dir.path()).with_dtype(dtype);
        let (mut filling, told) = begin(&cache, &key);
        assert!(told.is_empty() && filling.rows() == 0);
        filling.append(batch(0), &mut |_| panic!()).unwrap();
        filling.append(batch(4), &mut |_| panic!()).unwrap();
        // A killed process runs no destructors, but these write nothing either.
        drop(filling);
        let kept = fs::read(journal(&cache)).unwrap();
        complete(begin(&cache, &key).0);
        let whole = fs::read(cache.path(&key)).unwrap();

        let row = 4 + 2 * dtype.size();
        let head = kept.len() - 8 * row;
        for end in 0..=kept.len() {
            fs::remove_file(cache.path(&key)).unwrap();
            fs::write(journal(&cache), &kept[..end]).unwrap();
            let (filling, told) = begin(&cache, &key);
            assert!(told.is_empty(), "{end}: {told:?}");
            let rows = end.saturating_sub(head) / row;
            assert_eq!(filling.rows(), rows / BATCH * BATCH, "{end}");
            complete(filling);
            assert_eq!(fs::read(cache.path(&key)).unwrap(), whole, "{end}");
            assert!(!journal(&cache).exists());
        }
    }
}

#[test]
fn a_damaged_journal_is_told_and_costs_only_time() {
    let dir = tempfile::tempdir().unwrap();
    let (cache, key) = (FeatureCache::new(dir.path()), key());
    let (mut filling, _) = begin(&cache, &key);
    filling.append(batch(0), &mut |_| panic!()).unwrap();
    filling.append(batch(4), &mut |_| panic!()).unwrap();
    drop(filling);
    let kept = fs::read(journal(&cache)).unwrap();
    complete(begin(&cache, &key).0);
    let whole = fs::read(cache.path(&key)).unwrap();
    for at in 0..kept.len() {
        let mut changed = kept.clone();
        changed[at] ^= 0x10;
        fs::remove_file(cache.path(&key)).unwrap();
        fs::write(journal(&cache), changed).unwrap();
        let (filling, told) = begin(&cache, &key);
        let [warning] = &told[..] else { panic!("byte {at}: {told:?}") };
        assert_says(warning, &[journal(&cache).to_str().unwrap(), "computed again"]);
        complete(filling);
        assert_eq!(fs::read(cache.path(&key)).unwrap(), whole, "byte {at}");
    }
    // Rows in batches of another size may differ in their last bits.
    fs::write(journal(&cache), &kept).unwrap();
    fs::remove_file(cache.path(&key)).unwrap();
    let Begun::Filling(filling) = cache.begin(&key, SHAPE, 2, &mut |_| ()) else { panic!() };
    assert_eq!(filling.rows(), 0);
}

#[test]
fn old_temporary_files_of_killed_processes_go() {
    let dir = tempfile::tempdir().unwrap();
    let (cache, key) = (FeatureCache::new(dir.path()), key());
    let left = dir.path().join(".flora-abc");
    let two_days = std::time::Duration::from_secs(2 * 24 * 3600);
    for begins in [true, false] {
        let file = fs::File::create(&left).unwrap();
        file.set_modified(std::time::SystemTime::now() - two_days).unwrap();
        match begins {
            true => drop(begin(&cache, &key)),
            false => drop(cache.begin_activations(&key, SHAPE, BATCH, &mut |_| panic!()).unwrap()),
        }
        assert!(!left.exists(), "{begins}");
    }
    // A recent one belongs to another process.
    fs::write(&left, "half").unwrap();
    drop(begin(&cache, &key));
    assert!(left.exists());
}

#[test]
fn one_computes_and_the_other_waits() {
    let dir = tempfile::tempdir().unwrap();
    let (cache, key) = (FeatureCache::new(dir.path()), key());
    for stored in [true, false] {
        let (mut first, _) = begin(&cache, &key);
        first.append(batch(0), &mut |_| panic!()).unwrap();
        let (sender, waits) = std::sync::mpsc::channel();
        std::thread::scope(|scope| {
            let second = scope.spawn(|| {
                let begun = cache.begin(&key, SHAPE, BATCH, &mut |warning| {
                    sender.send(warning).unwrap();
                });
                match begun {
                    Begun::Stored(file) => FeatureRows::File(file),
                    Begun::Filling(filling) => {
                        assert_eq!(filling.rows(), 4, "those of the first");
                        complete(filling)
                    }
                }
            });
            assert_says(&waits.recv().unwrap(), &["another process", "waiting"]);
            if stored {
                complete(first);
            } else {
                drop(first);
            }
            let rows = second.join().unwrap().gather(&[0, 10]).unwrap();
            assert_eq!(rows, [batch(0)[..2].to_vec(), batch(10)].concat());
        });
        assert_eq!(count(dir.path()), 1, "no journal stays");
        fs::remove_file(cache.path(&key)).unwrap();
    }
}

#[test]
fn a_folder_that_cannot_be_written_costs_only_time() {
    let dir = tempfile::tempdir().unwrap();
    let key = key();
    fs::write(dir.path().join("file"), "").unwrap();
    let cache = FeatureCache::new(dir.path().join("file/cache"));
    let (mut filling, told) = begin(&cache, &key);
    assert_says(&told[0], &["in memory only", "file/cache"]);
    for first in (0..SHAPE[0]).step_by(BATCH) {
        filling.append(batch(first), &mut |_| panic!()).unwrap();
    }
    let mut told = Vec::new();
    let rows = filling.finish(&mut |warning| told.push(warning)).unwrap();
    assert_says(&told[0], &["not stored", "file/cache"]);
    assert_eq!(rows.gather(&[1]).unwrap(), batch(1)[..2]);
    assert_eq!(count(dir.path()), 1);
}

#[test]
fn rows_that_cannot_be_stored_are_refused_at_once() {
    let dir = tempfile::tempdir().unwrap();
    let (cache, key) = (FeatureCache::new(dir.path()).with_dtype(Dtype::F16), key());
    let (mut filling, _) = begin(&cache, &key);
    filling.append(batch(0), &mut |_| panic!()).unwrap();
    for (bad, why) in
        [(vec![0.0, 0.0, 65_520.0, 0.0], "sample 5 contain inf"), (vec![0.0; 3], "not rows of 2")]
    {
        let error = filling.append(bad, &mut |_| panic!()).unwrap_err();
        assert!(matches!(error, Error::Features { .. }));
        assert_says(&error.to_string(), &[why]);
        assert_eq!(filling.rows(), 4);
    }
}

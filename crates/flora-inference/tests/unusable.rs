//! Images that cannot be used: all are reported at once, and the rows encoded before them are kept.

use std::path::{Path, PathBuf};

use burn::tensor::Device;
use flora_core::workers::Workers;
use flora_data::{Dataset, FeatureCache};
use flora_inference::embed::{Items, embed};
use flora_inference::{
    InferenceError, Model, Notice, image_features, image_files, unusable_images,
};

fn model() -> Model {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../flora-clip/tests/fixtures/tiny-clip");
    Model::open(&path, None, &Device::flex()).unwrap()
}

/// 100 images of class `a`, and one of class `b`.
fn images(folder: &Path) {
    for number in 0..101_u8 {
        let class = if number < 100 { "a" } else { "b" };
        let path = folder.join(class).join(format!("{number:03}.png"));
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        let pixel = |x, y| image::Luma([number.wrapping_mul(7) ^ (x * 11 + y * 5) as u8]);
        image::GrayImage::from_fn(9, 9, pixel).save(path).unwrap();
    }
}

struct Site {
    model: Model,
    folder: tempfile::TempDir,
    workers: Workers,
}

impl Site {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        images(&folder.path().join("images"));
        Self { model: model(), folder, workers: Workers::new(1).unwrap() }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn dataset(&self) -> Dataset {
        Dataset::open(&self.path("images"), None).unwrap()
    }

    /// The features, and how many rows were there when the encoding began.
    fn features(&self, cache: Option<&str>) -> (Result<Vec<f32>, InferenceError>, Option<usize>) {
        let cache = cache.map(|name| FeatureCache::new(self.path(name)));
        let mut began = None;
        let mut notify = |notice| match notice {
            Notice::Progress { done, .. } => began = began.or(Some(done)),
            Notice::Note(message) | Notice::Warning(message) => panic!("{message}"),
        };
        let rows = image_features(
            &self.model,
            &self.dataset(),
            cache.as_ref(),
            &self.workers,
            &mut notify,
        );
        (rows.map(|rows| rows.into_memory().unwrap().values), began)
    }

    fn files(&self, cache: &str) -> Vec<String> {
        let entries = std::fs::read_dir(self.path(cache)).unwrap();
        entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect()
    }

    /// Damage images; their names.
    fn damage(&self) -> [&str; 3] {
        let path = |name: &str| self.path("images").join(name);
        let whole = std::fs::read(path("a/070.png")).unwrap();
        std::fs::write(path("a/070.png"), &whole[..whole.len() / 2]).unwrap();
        std::fs::write(path("a/099.png"), "").unwrap();
        std::fs::write(path("b/100.png"), "no image").unwrap();
        ["a/070.png", "a/099.png", "b/100.png"]
    }
}

#[track_caller]
fn tells_all(error: &InferenceError, names: &[&str]) {
    let message = error.to_string();
    assert!(
        message.contains(&format!("{} of 101 images cannot be used", names.len())),
        "{message}"
    );
    for name in names {
        assert!(message.contains(name), "{name}: {message}");
    }
}

#[test]
fn all_are_named_and_the_rows_before_them_are_kept() {
    let site = Site::new();
    let expected = site.features(None).0.unwrap();
    let bad = site.damage();
    for cache in [None, Some("cache")] {
        tells_all(&site.features(cache).0.unwrap_err(), &bad);
    }
    let kept = site.files("cache");
    assert!(kept.len() == 1 && kept[0].ends_with(".first-64.partial"), "{kept:?}");
    // Once more: nothing is encoded again, and nothing lost.
    let (error, began) = site.features(Some("cache"));
    tells_all(&error.unwrap_err(), &bad);
    assert_eq!(began, Some(64));
    assert_eq!(site.files("cache"), kept);

    // Repaired one after the other; the first batches are never encoded again.
    images(&site.path("images"));
    std::fs::write(site.path("images/b/100.png"), "no image").unwrap();
    let (error, began) = site.features(Some("cache"));
    tells_all(&error.unwrap_err(), &bad[2..]);
    assert_eq!(began, Some(64));
    let kept = site.files("cache");
    assert!(kept.len() == 1 && kept[0].ends_with(".first-96.partial"), "{kept:?}");
    images(&site.path("images"));
    let (values, began) = site.features(Some("cache"));
    assert_eq!((values.unwrap(), began), (expected, Some(96)));
    let stored = site.files("cache");
    assert!(stored.len() == 1 && stored[0].ends_with(".safetensors"), "{stored:?}");
}

#[test]
fn damaged_images_may_be_removed_too() {
    let site = Site::new();
    for name in site.damage() {
        if name.starts_with("a/") {
            std::fs::copy(site.path("images/a/001.png"), site.path("images/b/1.png")).unwrap();
        }
    }
    let bad = site.features(Some("cache")).0.unwrap_err().to_string();
    assert!(bad.contains("64 of 102 rows are kept"), "{bad}");
    for name in ["a/070.png", "a/099.png", "b/100.png"] {
        std::fs::remove_file(site.path("images").join(name)).unwrap();
    }
    let (values, began) = site.features(Some("cache"));
    assert_eq!(began, Some(64));
    assert_eq!(values.unwrap(), site.features(None).0.unwrap());
}

/// Threads are not equally far when one of them finds the image: rows of a batch after one without rows are not kept.
#[test]
fn rows_keep_their_places_with_several_threads() {
    let mut site = Site::new();
    // The first batch takes longest, the second least, and the last image of the third cannot be used.
    for number in 0..95_u8 {
        let side = match number {
            0..32 => 400,
            32..64 => 9,
            64.. => 60,
        };
        let pixel = |x, y| image::Luma([((x * 31) ^ (y * 17) ^ (u32::from(number) * 5)) as u8]);
        let path = site.path("images/a").join(format!("{number:03}.png"));
        image::GrayImage::from_fn(side, side, pixel).save(path).unwrap();
    }
    let expected = site.features(None).0.unwrap();
    let last = site.path("images/a/095.png");
    let good = std::fs::read(&last).unwrap();
    site.workers = Workers::new(4).unwrap();
    for attempt in 0..5 {
        let cache = format!("cache-{attempt}");
        std::fs::write(&last, "no image").unwrap();
        tells_all(&site.features(Some(&cache)).0.unwrap_err(), &["a/095.png"]);
        std::fs::write(&last, &good).unwrap();
        let values = site.features(Some(&cache)).0.unwrap();
        let bits = |values: &[f32]| values.iter().map(|value| value.to_bits()).collect::<Vec<_>>();
        assert!(bits(&values) == bits(&expected), "attempt {attempt}");
    }
}

/// A row that was damaged on the disk is computed again.
#[test]
fn rows_that_are_set_aside_have_checksums() {
    let site = Site::new();
    let expected = site.features(None).0.unwrap();
    site.damage();
    site.features(Some("cache")).0.unwrap_err();
    let path = site.path("cache").join(&site.files("cache")[0]);
    let whole = std::fs::read(&path).unwrap();
    images(&site.path("images"));
    // In the second batch, in the first one, and in the first line.
    for (at, rows) in [(whole.len() - 5, 32), (whole.len() / 4, 0), (3, 0)] {
        std::fs::remove_dir_all(site.path("cache")).unwrap();
        std::fs::create_dir(site.path("cache")).unwrap();
        let mut bytes = whole.clone();
        bytes[at] ^= 1;
        std::fs::write(&path, bytes).unwrap();
        let (values, began) = site.features(Some("cache"));
        assert_eq!((values.unwrap(), began), (expected.clone(), Some(rows)), "{at}");
    }
}

#[test]
fn embed_and_a_check_name_all_of_them() {
    let site = Site::new();
    let bad = site.damage();
    let files = image_files(&[site.path("images")]).unwrap();
    let out = site.path("x.npy");
    let (items, mut nothing) = (Items::Images(&files), |_| {});
    let result = embed(&site.model, items, &out, false, &site.workers, &mut nothing);
    let error = result.unwrap_err();
    tells_all(&error, &bad);
    assert!(error.to_string().contains("64 of 101 rows are kept"), "{error}");

    // One more, which is an image, but none for the model.
    image::GrayImage::new(1, 4000).save(site.path("images/a/000.png")).unwrap();
    let found = unusable_images(&site.dataset(), None, &site.workers, &mut |_, _| {});
    assert_eq!(found.len(), 3, "{found:?}");
    let steps = Some(&site.model.embedder.preprocessor);
    let found = unusable_images(&site.dataset(), steps, &site.workers, &mut |_, _| {});
    assert!(found.len() == 4 && found[0].contains("too narrow"), "{found:?}");
    assert!(found[2].contains("it is empty"), "{found:?}");
}

#[test]
fn many_are_summed_up() {
    let site = Site::new();
    for number in 0..30 {
        std::fs::write(site.path("images/a").join(format!("{number:03}.png")), "").unwrap();
    }
    let message = site.features(None).0.unwrap_err().to_string();
    assert!(message.contains("30 of 101") && message.contains("019.png"), "{message}");
    assert!(message.contains("and 10 more") && !message.contains("020.png"), "{message}");
}

/// Names that differ in case, or only where a prompt is cut off, have the same tokens.
#[test]
fn classes_that_are_the_same_to_the_model_are_refused() {
    let model = model();
    let refused = |one: &str, other: &str| {
        let classes = [vec![one.to_owned()], vec!["x".to_owned()], vec![other.to_owned()]];
        model.embedder.classifier(&classes).map(drop).unwrap_err().to_string()
    };
    let error = refused("a photo of a Cat.", "a photo of a cat.");
    assert!(error.contains("\"a photo of a Cat.\" and \"a photo of a cat.\""), "{error}");
    let long = "very ".repeat(100);
    let error = refused(&format!("a {long} cat"), &format!("a {long} dog"));
    assert!(error.contains("same to the model"), "{error}");
    model.embedder.classifier(&[vec!["cat".to_owned()], vec!["dog".to_owned()]]).unwrap();
}

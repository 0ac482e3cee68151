//! Data sets with views of their images.

use std::collections::BTreeSet;

use flora_data::{Dataset, Limit, Split, View};
use image::{Rgb, RgbImage};

/// Images whose pixels encode their position, each with its own blue.
fn pictures() -> (tempfile::TempDir, Dataset) {
    let dir = tempfile::tempdir().unwrap();
    for (split, count, kind) in [("train", 6, 0), ("test", 2, 100)] {
        for (class, kind) in [("cat", kind), ("dog", kind + 10)] {
            let folder = dir.path().join(split).join(class);
            std::fs::create_dir_all(&folder).unwrap();
            for number in 0..count {
                let pixel = |x, y| Rgb([x as u8, y as u8, kind + number]);
                RgbImage::from_fn(50, 50, pixel)
                    .save(folder.join(format!("{number}.png")))
                    .unwrap();
            }
        }
    }
    let dataset = Dataset::open(dir.path(), None).unwrap();
    (dir, dataset)
}

/// Left, top and side of the view of image `i`.
fn seen(dataset: &Dataset, i: usize) -> (u8, u8, u32) {
    let picture = dataset.image(i).unwrap().to_rgb8();
    assert_eq!(picture.width(), picture.height());
    let [left, top, _] = picture.get_pixel(0, 0).0;
    (left, top, picture.width())
}

#[test]
fn views_are_drawn_for_each_picture_and_nothing_else_changes() {
    let (_dir, dataset) = pictures();
    let view = View { seed: 3, number: 0 };
    let viewed = dataset.clone().seen_as(view);
    assert_eq!(viewed.len(), dataset.len());
    let squares: BTreeSet<_> = (0..viewed.len()).map(|i| seen(&viewed, i)).collect();
    assert!(squares.len() > 12, "{squares:?}");
    for i in 0..dataset.len() {
        assert_eq!(seen(&dataset, i), (0, 0, 50), "the data set itself stays as it is");
        assert_eq!(seen(&viewed, i), seen(&dataset.clone().seen_as(view), i));
        assert_eq!((viewed.label(i), viewed.describe(i)), (dataset.label(i), dataset.describe(i)));
    }
}

#[test]
fn a_picture_has_the_same_views_in_every_selection_of_pictures() {
    let (_dir, dataset) = pictures();
    let view = View { seed: 3, number: 1 };
    let squares = |dataset: &Dataset| -> Vec<_> {
        (0..dataset.len()).map(|i| (dataset.describe(i), seen(dataset, i))).collect()
    };
    let all = squares(&dataset.clone().seen_as(view));
    let train = squares(&dataset.clone().only(Split::Train).seen_as(view));
    let few = dataset.limit(Limit { train: Some(4), test: Some(0) }, 1).seen_as(view);
    assert_eq!((train.len(), few.len()), (12, 4));
    assert!(train.iter().chain(&squares(&few)).all(|square| all.contains(square)));
}

/// Caches are keyed by contents: views must not depend on anything else.
#[test]
fn a_class_that_comes_before_the_others_leaves_views_as_they_are() {
    let (dir, dataset) = pictures();
    let view = View { seed: 3, number: 0 };
    let dogs = |dataset: Dataset| -> Vec<_> {
        let viewed = dataset.seen_as(view);
        let is_dog = |i: &usize| viewed.classes()[viewed.label(*i)] == "dog";
        (0..viewed.len()).filter(is_dog).map(|i| (viewed.describe(i), seen(&viewed, i))).collect()
    };
    let before = dogs(dataset);
    for split in ["train", "test"] {
        let folder = dir.path().join(split).join("ape");
        std::fs::create_dir_all(&folder).unwrap();
        RgbImage::new(50, 50).save(folder.join("0.png")).unwrap();
        std::fs::remove_file(dir.path().join(split).join("cat/1.png")).unwrap();
    }
    std::fs::remove_file(dir.path().join("train/cat/2.png")).unwrap();
    let after = Dataset::open(dir.path(), None).unwrap();
    assert_eq!(before.len(), 8);
    assert_eq!(dogs(after), before);
}

#[test]
fn each_view_has_a_fingerprint_of_its_own() {
    let (_dir, dataset) = pictures();
    let plain = dataset.fingerprint().unwrap();
    let of = |seed, number| dataset.clone().seen_as(View { seed, number }).fingerprint().unwrap();
    let fingerprints = BTreeSet::from([plain, of(0, 0), of(0, 1), of(1, 0)]);
    assert_eq!(fingerprints.len(), 4);
    assert_eq!(of(0, 1), of(0, 1));
    let viewed = dataset.clone().seen_as(View { seed: 0, number: 1 });
    assert_eq!(viewed.fingerprint_of_first(viewed.len()).unwrap(), of(0, 1));
    assert_ne!(viewed.fingerprint_of_first(3).unwrap(), dataset.fingerprint_of_first(3).unwrap());
}

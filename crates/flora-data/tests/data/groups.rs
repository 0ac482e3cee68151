//! Validation images in whole groups.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsString;
use std::fs;
use std::path::Path;

use flora_core::seed;
use flora_data::{Dataset, Split};
use rand::RngExt;
use rand_chacha::ChaCha8Rng;

use crate::sets::{
    SplitCase, VENDORS, assert_says, idx_toml, labelled, open, open_error, scikit_learn_splits,
    share, vendors, write_idx, write_vendors,
};

/// An object: its class, and its number of images in each domain.
#[derive(Debug, Clone)]
struct Thing {
    class: usize,
    images: Vec<usize>,
}

/// A data set with training images of these objects, whose images are never decoded. Several images of one object in
/// one domain are in separate folders.
fn set(things: &[Thing]) -> Dataset {
    let dir = tempfile::tempdir().unwrap();
    let image = |folder: String, name: String| {
        let folder = dir.path().join(folder);
        fs::create_dir_all(&folder).unwrap();
        fs::write(folder.join(name), "x").unwrap();
    };
    for (number, Thing { class, images }) in things.iter().enumerate() {
        for (domain, &count) in images.iter().enumerate() {
            for view in 0..count {
                let folder = format!("domain-{domain}/train/{class}/view-{view}");
                image(folder, format!("thing-{number}.png"));
            }
        }
    }
    let mut toml = "name = 'things'\ngroup = 'file-stem'\n[layout]\nkind = 'image-folder'\n\
                    pattern = '{domain}/{split}/{class}'\n"
        .to_owned();
    for class in 0..=things.iter().map(|thing| thing.class).max().unwrap() {
        toml += &format!("[[classes]]\nfolder = '{class}'\nname = 'class {class}'\n");
        image(format!("domain-0/test/{class}"), "other.png".to_owned());
    }
    write_vendors(&dir, &toml);
    open(&dir).unwrap()
}

/// From `least` to `most` objects of each of up to six classes, in up to four domains.
fn random_things(rng: &mut ChaCha8Rng, least: usize, most: usize) -> Vec<Thing> {
    let (classes, domains) = (rng.random_range(1..=6), rng.random_range(1..=4));
    let mut things = Vec::new();
    for class in 0..classes {
        for _ in 0..rng.random_range(least..=most) {
            let mut images: Vec<usize> =
                (0..domains).map(|_| usize::from(rng.random_bool(0.6))).collect();
            // Sometimes many images of one object.
            let again = if rng.random_bool(0.1) { rng.random_range(1..6) } else { 0 };
            images[rng.random_range(0..domains)] = 1 + again;
            things.push(Thing { class, images });
        }
    }
    things
}

fn groups_of(set: &Dataset, split: Split) -> BTreeSet<OsString> {
    set.indices(split).into_iter().map(|i| set.group(i).unwrap().to_owned()).collect()
}

/// Training images of each group of each class.
fn sizes(set: &Dataset) -> BTreeMap<usize, BTreeMap<OsString, usize>> {
    let mut sizes: BTreeMap<usize, BTreeMap<OsString, usize>> = BTreeMap::new();
    for i in (0..set.len()).filter(|&i| set.split(i) != Split::Test) {
        let group = set.group(i).unwrap().to_owned();
        *sizes.entry(set.label(i)).or_default().entry(group).or_default() += 1;
    }
    sizes
}

/// Checks the guarantees of [`hold_out`], for classes and domains that cannot lose all of their images.
fn check(set: &Dataset, share: f64) {
    let (held, kept) = (groups_of(set, Split::Validation), groups_of(set, Split::Train));
    assert!(held.is_disjoint(&kept));
    let sizes = sizes(set);
    let images: usize = sizes.values().flat_map(BTreeMap::values).sum();
    let wanted = (share * images as f64).ceil();
    let mut most = 0;
    for (class, groups) in sizes {
        let all: usize = groups.values().sum();
        let largest = *groups.values().max().unwrap();
        let of_class = groups.iter().filter(|(name, _)| held.contains(*name));
        let validated: usize = of_class.map(|(_, size)| size).sum();
        let off = (validated as f64 - wanted * all as f64 / images as f64).abs();
        assert!(off < largest as f64, "class {class}: {validated} of {all} in {groups:?}");
        assert!(validated < all);
        if share * groups.len() as f64 >= 1.0 {
            assert!(validated > 0, "class {class} has {} groups", groups.len());
        }
        most = most.max(largest);
    }
    let validated = set.indices(Split::Validation).len() as f64;
    let off = (validated - wanted).abs();
    assert!(off <= most as f64 / 2.0, "{validated} of {images}, in groups of up to {most}");
}

#[test]
fn groups_are_held_out_as_wholes_in_every_class() {
    let mut rng = seed::stream(1, "test");
    let (mut checked, mut uneven) = (0, 0);
    for seed in 0..60 {
        let whole = set(&random_things(&mut rng, 6, 40));
        let part = rng.random_range(0.05..0.4);
        let validated = whole.clone().with_validation(share(part), seed);
        let again = whole.clone().with_validation(share(part), seed);
        assert!((0..again.len()).all(|i| again.split(i) == validated.split(i)));
        // A domain with few images may have to keep the next group.
        let train = whole.indices(Split::Train);
        let of_domain = |domain| train.iter().filter(|&&i| whole.domain(i) == Some(domain)).count();
        if (0..whole.domains().len()).any(|domain| of_domain(domain) < 15) {
            continue;
        }
        checked += 1;
        uneven += usize::from(sizes(&whole).values().any(|it| it.values().any(|&size| size > 4)));
        check(&validated, part);
    }
    assert!(checked > 40 && uneven > 20, "{checked} {uneven}");
}

/// Whatever the groups, only training images are taken, only whole groups, and no class or domain gives all.
#[test]
fn small_classes_and_domains_keep_some() {
    let mut rng = seed::stream(2, "test");
    let mut taken = 0;
    for seed in 0..80 {
        let things = random_things(&mut rng, 1, 3);
        let whole = set(&things);
        let validated = whole.clone().with_validation(share(0.45), seed);
        let held = groups_of(&validated, Split::Validation);
        assert!(held.is_disjoint(&groups_of(&validated, Split::Train)));
        assert_eq!(validated.indices(Split::Test), whole.indices(Split::Test));
        let kept = validated.indices(Split::Train);
        for class in 0..whole.classes().len() {
            assert!(kept.iter().any(|&i| whole.label(i) == class), "{things:?}");
        }
        for i in whole.indices(Split::Train) {
            assert!(kept.iter().any(|&j| whole.domain(j) == whole.domain(i)), "{things:?}");
        }
        taken += usize::from(!held.is_empty());
    }
    assert!(taken > 40, "{taken}");
}

/// If every group is one image, classes have the shares of scikit-learn's `train_test_split(stratify=...)`.
#[test]
fn groups_of_one_image_are_split_as_scikit_learn_splits_images() {
    let cases = scikit_learn_splits();
    let mut compared = 0;
    for SplitCase { share: held, sizes, test } in cases {
        let things = |(class, &size): (usize, &usize)| {
            std::iter::repeat_n(Thing { class, images: vec![1] }, size)
        };
        // The others only take longer.
        if sizes.iter().sum::<usize>() > 400 {
            continue;
        }
        let things: Vec<Thing> = sizes.iter().enumerate().flat_map(things).collect();
        let set = set(&things).with_validation(share(held), 7);
        let mut counts = vec![0; sizes.len()];
        for i in set.indices(Split::Validation) {
            counts[set.label(i)] += 1;
        }
        for (class, &count) in counts.iter().enumerate() {
            let some = || test.iter().map(|test| test[class]);
            let (least, most) = (some().min().unwrap(), some().max().unwrap());
            assert!((least..=most).contains(&count), "{held} of {sizes:?}: {counts:?}");
        }
        assert_eq!(counts.iter().sum::<usize>(), test[0].iter().sum::<usize>());
        compared += 1;
    }
    assert!(compared > 20, "{compared}");
}

/// A vendor that has all images of some objects holds out mostly the same objects as the whole federation.
#[test]
fn a_site_by_itself_draws_mostly_the_same_groups() {
    let thing = |number: usize| Thing { class: number % 5, images: vec![1, number % 2, 1] };
    let whole = set(&(0..400).map(thing).collect::<Vec<_>>());
    let held = |set: Dataset| groups_of(&set.with_validation(share(0.2), 3), Split::Validation);
    let of = |domain: &str| whole.clone().with_domain(domain).unwrap();
    let together = held(whole.clone());
    assert!(together.len() > 50);
    for domain in ["domain-0", "domain-1", "domain-2"] {
        let alone = held(of(domain));
        let both = alone.intersection(&together).count();
        assert!(5 * both >= 4 * alone.len(), "{domain}: {both} of {}", alone.len());
    }
}

/// Without the key, draws are the same as before it existed.
#[test]
fn without_groups_the_draw_is_what_it_was() {
    let held = |set: Dataset| {
        let set = set.with_validation(share(0.2), 5);
        (set.has_groups(), set.count_groups(&Split::ALL), set.indices(Split::Validation))
    };
    let digits = labelled(&[12, 7, 9, 4], &[2, 2, 2, 2]);
    let vendors = open(&vendors()).unwrap();
    assert_eq!(
        [held(digits), held(vendors)],
        [(false, None, vec![9, 12, 15, 18, 22, 25, 28]), (false, None, vec![4, 8, 12, 22])]
    );
}

#[test]
fn a_group_may_have_images_of_several_classes() {
    // The vendors' files are named by number in every class: three groups in beta, six in alpha.
    let dir = vendors();
    write_vendors(&dir, &format!("group = \"file-stem\"\n{VENDORS}"));
    let set = open(&dir).unwrap().with_validation(share(0.3), 1);
    assert_eq!(set.count_groups(&[Split::Train, Split::Validation]), Some(6));
    let held = groups_of(&set, Split::Validation);
    assert!(held.is_disjoint(&groups_of(&set, Split::Train)) && !held.is_empty());
    for i in set.indices(Split::Validation) {
        assert!(set.file(i).unwrap().iter().any(|folder| folder == "train"));
    }
}

#[test]
fn images_without_names_have_no_groups() {
    let dir = tempfile::tempdir().unwrap();
    write_idx(dir.path(), &[0, 1, 0, 1], &[1, 0]);
    write_vendors(&dir, &format!("group = \"file-stem\"\n{}", idx_toml(2)));
    let message = open_error(&dir);
    assert_says(&message, &["dataset.toml", "group", "not files of their own", "remove the key"]);
    let dir = vendors();
    write_vendors(&dir, &format!("group = \"files\"\n{VENDORS}"));
    assert_says(&open_error(&dir), &["dataset.toml", "files", "file-stem"]);
}

/// The included data set: a concept is drawn by up to four vendors, with equal file names.
#[test]
fn no_concept_of_emoji_vendors_is_trained_on_and_validated_with() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../datasets/emoji-vendors");
    let set = Dataset::open(&path, None).unwrap();
    assert_eq!(set.count_groups(&Split::ALL), Some(1048));
    for seed in 0..5 {
        let set = set.clone().with_validation(share(0.2), seed);
        check(&set, 0.2);
        let classes: BTreeSet<usize> =
            set.indices(Split::Validation).into_iter().map(|i| set.label(i)).collect();
        assert_eq!(classes.len(), 39);
        // 20 % of 3,154 images, and about that of each vendor's.
        assert!(set.indices(Split::Validation).len().abs_diff(631) <= 2);
        for domain in 0..4 {
            let count = |split| {
                set.indices(split).into_iter().filter(|&i| set.domain(i) == Some(domain)).count()
            };
            let (held, kept) = (count(Split::Validation), count(Split::Train));
            let part = held as f64 / (held + kept) as f64;
            assert!((0.15..0.25).contains(&part), "seed {seed}, domain {domain}: {part}");
        }
    }
}

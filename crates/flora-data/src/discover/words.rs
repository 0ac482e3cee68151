//! Usual meanings of folder and column names.

use std::collections::BTreeMap;

/// The kind of split that a name stands for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum SplitName {
    Train,
    Test,
    /// Held out during training; used as the test set only if there is no other.
    Validation,
}

/// Words without meaning beside the name of a split: `train_images`, `test set`.
const FILLERS: [&str; 8] = ["set", "images", "imgs", "image", "img", "data", "split", "samples"];

/// The split that folders, files and values of this name stand for, if any.
pub(super) fn split_name(name: &str) -> Option<SplitName> {
    let lower = name.to_lowercase();
    let mut words = lower
        .split(|c: char| !c.is_alphabetic())
        .filter(|it| !it.is_empty() && !FILLERS.contains(it));
    let word = words.next().filter(|_| words.next().is_none())?;
    match word {
        "train" | "training" | "trainset" | "trainingset" | "trn" => Some(SplitName::Train),
        "test" | "testing" | "testset" | "tst" | "privatetest" => Some(SplitName::Test),
        "val" | "valid" | "validation" | "dev" | "eval" | "evaluation" | "holdout"
        | "publictest" => Some(SplitName::Validation),
        _ => None,
    }
}

/// Whether these names include a training and another split.
pub(super) fn have_splits<'a>(names: impl IntoIterator<Item = &'a str>) -> bool {
    let (mut train, mut other) = (false, false);
    for name in names {
        match split_name(name) {
            Some(SplitName::Train) => train = true,
            Some(_) => other = true,
            None => {}
        }
    }
    train && other
}

/// The names of training and of test splits: validation splits are used for testing only if there are no others.
pub(super) fn assign_splits<'a>(
    names: impl IntoIterator<Item = &'a str>,
) -> (Vec<String>, Vec<String>) {
    let (mut train, mut test, mut validation) = (Vec::new(), Vec::new(), Vec::new());
    for name in names {
        match split_name(name) {
            Some(SplitName::Train) => train.push(name.to_owned()),
            Some(SplitName::Test) => test.push(name.to_owned()),
            Some(SplitName::Validation) => validation.push(name.to_owned()),
            None => {}
        }
    }
    (train, if test.is_empty() { validation } else { test })
}

/// Words for holders of images.
const HOLDERS: [&str; 38] = [
    "camera",
    "cameras",
    "center",
    "centers",
    "centre",
    "centres",
    "client",
    "clients",
    "clinic",
    "clinics",
    "device",
    "devices",
    "domain",
    "domains",
    "farm",
    "farms",
    "hospital",
    "hospitals",
    "institute",
    "institution",
    "lab",
    "labs",
    "location",
    "locations",
    "owner",
    "patient",
    "patients",
    "region",
    "scanner",
    "scanners",
    "site",
    "sites",
    "source",
    "station",
    "subject",
    "user",
    "vendor",
    "writer",
];

/// The domains of the usual benchmarks of domain generalisation: PACS, OfficeHome, Office-Caltech, DomainNet.
const STYLES: [&str; 16] = [
    "amazon",
    "art",
    "art_painting",
    "caltech",
    "cartoon",
    "clipart",
    "dslr",
    "infograph",
    "painting",
    "photo",
    "product",
    "quickdraw",
    "real",
    "real world",
    "sketch",
    "webcam",
];

/// Words for the contents of images.
const KINDS: [&str; 12] = [
    "categories",
    "category",
    "class",
    "classes",
    "cls",
    "diagnosis",
    "kind",
    "label",
    "labels",
    "species",
    "target",
    "type",
];

/// Whether a name contains a word for a holder of images.
pub(super) fn names_holder(name: &str) -> bool {
    words(name).any(|word| HOLDERS.contains(&word.as_str()))
}

/// Similarity of names to those of sites, from -1 (like those of classes) to 1.
pub(super) fn likeness_to_sites(names: &[&str]) -> f64 {
    if names.is_empty() {
        return 0.0;
    }
    let mut stems: BTreeMap<String, usize> = BTreeMap::new();
    for name in names {
        *stems.entry(stem(name)).or_default() += 1;
    }
    let score = |name: &&str| {
        let lower = name.to_lowercase();
        if words(name).any(|word| KINDS.contains(&word.as_str())) {
            -1.0
        } else if names_holder(name) || STYLES.contains(&lower.as_str()) {
            1.0
        // Similar names such as `north-1` and `north-2`; but `n01440764` and `c0` are names of classes.
        } else if stem(name).len() > 1 && stem(name) != lower && stems[&stem(name)] > 1 {
            0.5
        } else {
            0.0
        }
    };
    names.iter().map(score).sum::<f64>() / names.len() as f64
}

/// Whether most of these names are codes rather than words: they have more digits than letters.
pub(super) fn are_codes(names: &[&str]) -> bool {
    let is_code = |name: &&&str| {
        let count = |which: fn(&char) -> bool| name.chars().filter(which).count();
        let digits = count(|c| c.is_ascii_digit());
        digits > 0 && digits >= count(|c| c.is_alphabetic())
    };
    2 * names.iter().filter(is_code).count() > names.len()
}

/// The name without a number or single letter at its end: `hospital-a` and `hospital-b` have the same stem.
fn stem(name: &str) -> String {
    let lower = name.to_lowercase();
    let separators = [' ', '-', '_', '.'];
    let without_number = lower.trim_end_matches(|c: char| c.is_ascii_digit());
    if without_number.len() < lower.len() {
        return without_number.trim_end_matches(separators).to_owned();
    }
    match lower.rsplit_once(separators) {
        Some((stem, end)) if end.chars().count() == 1 => stem.to_owned(),
        _ => lower,
    }
}

/// The words of a name, in lower case.
fn words(name: &str) -> impl Iterator<Item = String> {
    let parts = name.split(|c: char| !c.is_alphabetic()).filter(|part| !part.is_empty());
    parts.map(str::to_lowercase).collect::<Vec<_>>().into_iter()
}

/// The class name for the model, from a `key` in the files.
pub(super) fn class_name(key: &str) -> String {
    let spaced = key.replace(['_', '-'], " ");
    let name = spaced.split_whitespace().collect::<Vec<_>>().join(" ");
    if name.is_empty() { key.to_owned() } else { name }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn splits_have_many_names() {
        for (name, split) in [
            ("train", Some(SplitName::Train)),
            ("Training", Some(SplitName::Train)),
            ("train_images", Some(SplitName::Train)),
            ("TEST", Some(SplitName::Test)),
            ("test-set", Some(SplitName::Test)),
            ("val", Some(SplitName::Validation)),
            ("val2017", Some(SplitName::Validation)),
            ("valid", Some(SplitName::Validation)),
            ("trainer", None),
            ("freight train", None),
            ("images", None),
            ("", None),
        ] {
            assert_eq!(split_name(name), split, "{name}");
        }
        assert!(have_splits(["train", "val"]) && !have_splits(["train", "car"]));
        let all = assign_splits(["test", "train", "val"]);
        assert_eq!(all, (vec!["train".to_owned()], vec!["test".to_owned()]));
        assert_eq!(assign_splits(["train", "valid"]).1, ["valid"]);
    }

    #[test]
    fn sites_are_told_from_classes() {
        for (sites, classes) in [
            (&["hospital-a", "hospital-b"][..], &["covid", "normal"][..]),
            (&["Site 1", "Site 2"], &["cat", "dog"]),
            (&["north_1", "north_2", "south"], &["n01440764", "n01443537", "n01484850"]),
            (&["client1", "client2"], &["0", "1", "2"]),
            (&["art_painting", "photo", "sketch"], &["dog", "horse", "person"]),
            (&["a", "b"], &["class_1", "class_2"]),
        ] {
            assert!(likeness_to_sites(sites) > likeness_to_sites(classes), "{sites:?} {classes:?}");
        }
        assert_eq!(likeness_to_sites(&["cat", "dog"]), 0.0);
    }

    #[test]
    fn a_class_is_named_in_words() {
        assert_eq!(class_name("tabby_cat"), "tabby cat");
        assert_eq!(class_name("hot--dog "), "hot dog");
        assert_eq!(class_name("_"), "_");
        assert!(are_codes(&["n01440764", "0", "12"]) && !are_codes(&["cat", "class_1"]));
    }
}

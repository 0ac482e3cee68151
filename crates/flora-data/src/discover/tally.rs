//! Counts of images by class, site and split, with warnings.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

use super::found::{Counts, Discovery, FoundClass, FoundSite, Layout};
use super::said::{counted, some_of};
use super::sample::Looked;
use super::tree::Tree;
use super::words::{are_codes, class_name};
use crate::dataset::Split;

/// Classes and sites with fewer images are reported.
const FEW: usize = 5;
/// Extensions of image formats that are not decoded.
const PICTURES: [&str; 22] = [
    "avif", "cr2", "dcm", "dng", "exr", "hdr", "heic", "heif", "ico", "jfif", "jp2", "jxl", "nef",
    "nii", "pbm", "pdf", "pgm", "ppm", "psd", "raw", "svg", "tga",
];

/// Images with equal class, site and split.
#[derive(Debug)]
pub(super) struct Group {
    pub(super) class: String,
    pub(super) site: Option<String>,
    pub(super) split: Option<Split>,
    pub(super) formats: BTreeMap<String, usize>,
    pub(super) images: usize,
}

/// Counts groups of images.
pub(super) fn count(folder: PathBuf, layout: Layout, groups: Vec<Group>) -> Discovery {
    let mut formats = BTreeMap::new();
    let mut classes: BTreeMap<String, Counts> = BTreeMap::new();
    let mut sites: BTreeMap<String, (Counts, BTreeSet<String>)> = BTreeMap::new();
    for group in groups {
        for (extension, images) in group.formats {
            *formats.entry(extension).or_default() += images;
        }
        classes.entry(group.class.clone()).or_default().add(group.split, group.images);
        if let Some(site) = group.site {
            let (images, held) = sites.entry(site).or_default();
            images.add(group.split, group.images);
            held.insert(group.class);
        }
    }
    let name = folder.file_name().map(|name| name.to_string_lossy().into_owned());
    Discovery {
        folder,
        name: short_name(&name.unwrap_or_default()),
        classes: named(classes),
        sites: sites
            .into_iter()
            .map(|(name, (images, held))| FoundSite { name, images, classes: held.len() })
            .collect(),
        formats,
        others: BTreeMap::new(),
        reasons: Vec::new(),
        warnings: Vec::new(),
        sizes: None,
        layout,
    }
}

/// Classes with the names that CLIP reads. If two would be equal, they keep their keys.
fn named(classes: BTreeMap<String, Counts>) -> Vec<FoundClass> {
    let mut found: Vec<FoundClass> = classes
        .into_iter()
        .map(|(key, images)| FoundClass { name: class_name(&key), key, images })
        .collect();
    let mut seen: BTreeMap<String, usize> = BTreeMap::new();
    for class in &found {
        *seen.entry(class.name.clone()).or_default() += 1;
    }
    for class in &mut found {
        if seen[&class.name] > 1 {
            class.name = class.key.clone();
        }
    }
    // Sorted numerically.
    if let Some(numbers) =
        found.iter().map(|class| class.key.parse::<u64>().ok()).collect::<Option<Vec<_>>>()
    {
        let mut numbered: Vec<_> = numbers.into_iter().zip(found).collect();
        numbered.sort_by_key(|(number, _)| *number);
        return numbered.into_iter().map(|(_, class)| class).collect();
    }
    found
}

/// A name for files: letters, digits, `-` and `_`.
pub(super) fn short_name(name: &str) -> String {
    let plain = |c: char| if c.is_alphanumeric() || c == '_' { c } else { '-' };
    let name: String = name.chars().map(plain).take(60).collect();
    match name.trim_matches('-') {
        "" => "images".to_owned(),
        name => name.to_owned(),
    }
}

/// Adds information that applies to any layout.
pub(super) fn finish(found: &mut Discovery, tree: &Tree, looked: Looked) {
    found.others = tree.others.clone();
    found.sizes = looked.sizes;
    let mut warnings = std::mem::take(&mut found.warnings);
    let mut warn = |warning: String| warnings.push(warning);
    for problem in looked.unreadable {
        warn(problem);
    }
    if let [only] = &found.classes[..] {
        warn(format!("there is only one class: {}", only.name));
    }
    let few = |all: &mut dyn Iterator<Item = (&str, usize)>| {
        let few = all.filter(|(_, images)| *images < FEW);
        few.map(|(name, images)| format!("{name} ({images})")).collect::<Vec<_>>()
    };
    let classes = few(&mut found.classes.iter().map(|it| (it.name.as_str(), it.images.total())));
    let sites = few(&mut found.sites.iter().map(|it| (it.name.as_str(), it.images.total())));
    for (few, what) in [(classes, "class"), (sites, "site")] {
        if !few.is_empty() {
            let verb = if few.len() == 1 { "has" } else { "have" };
            let what = counted(few.len(), what);
            warn(format!("{what} {verb} fewer than {FEW} images: {}", some_of(&few, 6)));
        }
    }
    let images = |which: fn(&Counts) -> usize| {
        let without =
            found.classes.iter().filter(|it| it.images.unsplit == 0 && which(&it.images) == 0);
        without.map(|class| class.name.as_str()).collect::<Vec<_>>()
    };
    for (without, what) in [(images(|it| it.train), "training"), (images(|it| it.test), "test")] {
        if !without.is_empty() {
            warn(format!("without {what} images: {}", some_of(&without, 6)));
        }
    }
    let mut alike: BTreeMap<String, Vec<&str>> = BTreeMap::new();
    for class in &found.classes {
        // CLIP's tokenizer ignores case, and reads runs of spaces as one.
        let read = class_name(&class.key).to_lowercase();
        alike.entry(read).or_default().push(&class.key);
    }
    for names in alike.values().filter(|names| names.len() > 1) {
        let names = some_of(names, 6);
        warn(format!(
            "{names} read alike: give them the same name if they are one class, else other names"
        ));
    }
    let names: Vec<&str> = found.classes.iter().map(|class| class.name.as_str()).collect();
    if are_codes(&names) {
        let names = some_of(&names, 3);
        warn(format!(
            "the classes are called {names}; CLIP reads the names, so write words into the description"
        ));
    }
    if found.sites.len() > 1 && !found.has_clients() {
        warn("most sites have a class of their own, so they are not used as clients".to_owned());
    }
    let pictures: Vec<String> = found
        .others
        .iter()
        .filter(|(extension, _)| PICTURES.contains(&extension.as_str()))
        .map(|(extension, count)| format!("{count} .{extension}"))
        .collect();
    if !pictures.is_empty() {
        let them = some_of(&pictures, 6);
        warn(format!("images that flora cannot read: {them}; convert them to PNG or JPEG"));
    }
    if tree.broken_links > 0 {
        warn(format!("{} lead nowhere or in circles", counted(tree.broken_links, "link")));
    }
    if tree.is_cut {
        warn("folders below the twelfth level are not searched".to_owned());
    }
    found.warnings = warnings;
}

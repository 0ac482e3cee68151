//! Images labelled by folders.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

use flora_core::text::printable;

use super::found::{Discovery, Layout};
use super::levels::{self, Reading};
use super::said::{counted, some_of};
use super::tally::{self, Group};
use super::tree::Tree;
use super::{Unclear, sample};
use crate::dataset::Split;
use crate::dataset::pattern::Level;

/// Reads the images of labelled folders.
pub(super) fn of_folders(
    folder: PathBuf,
    tree: &Tree,
    reading: Reading,
) -> Result<Discovery, Unclear> {
    let Reading { mut pattern, splits, reason, other } = reading;
    let levels = pattern.levels().to_vec();
    let at = |level: &Level| levels.iter().position(|it| it == level);
    let (class, site, split) = (at(&Level::Class), at(&Level::Domain), at(&Level::Split));
    let Some(class) = class else {
        return Err(Unclear::new(
            "no level of folders stands for classes",
            "give a pattern with {class}",
        ));
    };
    let side = |levels: &[String]| -> Result<Option<Split>, ()> {
        let (Some(split), Some((train, test))) = (split, &splits) else { return Ok(None) };
        match levels.get(split) {
            Some(name) if train.contains(name) => Ok(Some(Split::Train)),
            Some(name) if test.contains(name) => Ok(Some(Split::Test)),
            _ => Err(()),
        }
    };
    let (mut groups, mut left_out) = (Vec::new(), BTreeMap::<&str, usize>::new());
    let mut elsewhere = Vec::new();
    for folder in tree.with_images() {
        if !levels::fits(&levels, &folder.levels) {
            elsewhere.push(folder);
            continue;
        }
        match side(&folder.levels) {
            Ok(split) => groups.push(Group {
                class: folder.levels[class].clone(),
                site: site.map(|site| folder.levels[site].clone()),
                split,
                formats: folder.formats.clone(),
                images: folder.images,
            }),
            Err(()) => {
                let name = split.map_or("", |split| folder.levels[split].as_str());
                *left_out.entry(name).or_default() += folder.images;
            }
        }
    }
    let classes: BTreeSet<&str> = groups.iter().map(|group| group.class.as_str()).collect();
    // Class folders without images, which a description has to name.
    let ignore: BTreeSet<String> = tree
        .folders
        .iter()
        .filter(|it| levels::fits(&levels[..=class], &it.levels))
        .filter(|it| split.is_none_or(|split| split > class) || side(&it.levels).is_ok())
        .map(|it| it.levels[class].clone())
        .filter(|name| !classes.contains(name.as_str()))
        .collect();

    let mut root = folder.clone();
    // A pattern cannot contain folder names with braces.
    while let Some(Level::Literal(name)) = pattern.0.first() {
        if !name.contains(['{', '}']) {
            break;
        }
        root.push(name);
        pattern.0.remove(0);
    }
    if let Some(Level::Literal(name)) = pattern
        .levels()
        .iter()
        .find(|it| matches!(it, Level::Literal(name) if name.contains(['{', '}'])))
    {
        let problem =
            format!("the folder {name:?} has braces in its name, which mark places in a pattern");
        return Err(Unclear::new(problem, "rename it"));
    }
    let empty = !ignore.is_empty();
    let ignored = ignore.iter().cloned().collect::<Vec<_>>();
    let layout = Layout::Folders { root, pattern, splits, ignore: ignored.clone() };
    let mut found = tally::count(folder, layout, groups);
    if let Some(reason) = reason {
        let turn =
            other.map(|other| format!("; to read them the other way round: --pattern \"{other}\""));
        found.reasons.push(reason + &turn.unwrap_or_default());
    }
    for (name, images) in left_out {
        let (images, name) = (counted(images, "image"), printable(name));
        found.reasons.push(format!("{name} ({images}) is left out; [layout.splits] can name it"));
    }
    if empty {
        found.warnings.push(format!(
            "{} without images, passed over: {}",
            counted(ignored.len(), "folder"),
            some_of(&ignored, 6)
        ));
    }
    if !elsewhere.is_empty() {
        let images: usize = elsewhere.iter().map(|folder| folder.images).sum();
        let places: Vec<String> = elsewhere
            .iter()
            .map(|folder| match &folder.levels[..] {
                [] => format!("the folder itself ({})", folder.images),
                levels => format!("{} ({})", levels.join("/"), folder.images),
            })
            .collect();
        let verb = if images == 1 { "lies" } else { "lie" };
        found.warnings.push(format!(
            "{} {verb} elsewhere and will not be read: {}",
            counted(images, "image"),
            some_of(&places, 4)
        ));
    }
    tally::finish(&mut found, tree, sample::of_folders(tree, &levels));
    Ok(found)
}

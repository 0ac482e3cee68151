//! Detecting the roles of folder levels.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};

use super::Unclear;
use super::said::some_of;
use super::tree::{Folder, Tree};
use super::words::{are_codes, assign_splits, have_splits, likeness_to_sites, split_name};
use crate::dataset::pattern::{Level, Pattern};

/// A level with fewer than this percentage of the images is considered stray.
const STRAYS: usize = 10;
/// Folder names without meaning.
const GENERIC: [&str; 8] = ["data", "images", "image", "img", "imgs", "jpg", "photos", "pictures"];

fn is_generic(name: &str) -> bool {
    GENERIC.contains(&name.to_lowercase().as_str())
}

/// An interpretation of the folders.
#[derive(Debug)]
pub(super) struct Reading {
    pub(super) pattern: Pattern,
    /// The names of the split folders: for training and for testing.
    pub(super) splits: Option<(Vec<String>, Vec<String>)>,
    /// The reason, if there is an alternative.
    pub(super) reason: Option<String>,
    /// The alternative.
    pub(super) other: Option<Pattern>,
}

/// The names of the folders on a level.
fn names<'a>(folders: &[&'a Folder], level: usize) -> BTreeSet<&'a str> {
    folders.iter().filter_map(|folder| folder.levels.get(level)).map(String::as_str).collect()
}

/// Interprets folders by a given pattern.
pub(super) fn asked(tree: &Tree, pattern: &str) -> Result<Reading, Unclear> {
    let pattern = Pattern::parse(pattern).map_err(|problem| {
        let remedy = "write one such as \"{class}\" or \"{domain}/{class}\"";
        Unclear::new(format!("the pattern {pattern:?}: {problem}"), remedy)
    })?;
    let folders: Vec<&Folder> =
        tree.with_images().filter(|folder| fits(pattern.levels(), &folder.levels)).collect();
    if folders.is_empty() {
        let problem = match tree.with_images().min_by_key(|folder| Reverse(folder.images)) {
            Some(folder) if !folder.levels.is_empty() => {
                let most = folder.levels.join("/");
                format!("no image fits the pattern \"{pattern}\"; most images are in {most}")
            }
            Some(_) => format!("no image fits the pattern \"{pattern}\"; they lie in no folder"),
            None => "there is no image in it".to_owned(),
        };
        return Err(Unclear::new(problem, "leave out --pattern, or give one with as many levels"));
    }
    let splits = match pattern.levels().iter().position(|level| *level == Level::Split) {
        None => None,
        Some(level) => {
            let names = names(&folders, level);
            let (train, test) = assign_splits(names.iter().copied());
            if train.is_empty() || test.is_empty() {
                let names: Vec<&str> = names.into_iter().collect();
                return Err(Unclear::new(
                    format!("which of {} are for training and testing?", some_of(&names, 6)),
                    "call them train and test, or write the description by hand (docs/datasets.md)",
                ));
            }
            Some((train, test))
        }
    };
    Ok(Reading { pattern, splits, reason: None, other: None })
}

/// Whether a folder matches a pattern.
pub(super) fn fits(pattern: &[Level], folder: &[String]) -> bool {
    pattern.len() <= folder.len()
        && pattern.iter().zip(folder).all(|(level, name)| match level {
            Level::Literal(literal) => literal == name,
            _ => true,
        })
}

/// Interprets folders in the usual way.
pub(super) fn guess(tree: &Tree) -> Result<Reading, Unclear> {
    let depth = usual_depth(tree)?;
    let mut folders: Vec<&Folder> =
        tree.with_images().filter(|folder| folder.levels.len() >= depth).collect();
    let mut roles: Vec<Option<Level>> = vec![None; depth];
    let splits = take_splits(&mut folders, &mut roles);
    for (level, role) in roles.iter_mut().enumerate().filter(|(_, role)| role.is_none()) {
        let names = names(&folders, level);
        if let (1, Some(name)) = (names.len(), names.first()) {
            *role = Some(Level::Literal((*name).to_owned()));
        }
    }
    let mut open: Vec<usize> = (0..depth).filter(|&level| roles[level].is_none()).collect();
    while let [.., upper, lower] = open[..]
        && are_parts(&folders, upper, lower, open.len())
    {
        open.pop();
        roles.truncate(lower);
    }
    let (mut reason, mut other) = (None, None);
    match open[..] {
        [] => {
            let class = only_class(&roles)?;
            roles[class] = Some(Level::Class);
        }
        [level] => match class_of_sites(&folders, &roles, level) {
            Some(class) => {
                (roles[level], roles[class]) = (Some(Level::Domain), Some(Level::Class));
                let names = names(&folders, level).into_iter().collect::<Vec<_>>();
                reason = Some(format!(
                    "{} are read as sites, because of their names",
                    some_of(&names, 3)
                ));
            }
            None => roles[level] = Some(Level::Class),
        },
        [upper, lower] => {
            let (site, why) = which_is_site(&folders, upper, lower);
            let class = if site == upper { lower } else { upper };
            (roles[site], roles[class]) = (Some(Level::Domain), Some(Level::Class));
            reason = Some(why);
            let mut swapped = roles.clone();
            swapped.swap(site, class);
            other = Some(Pattern(swapped.into_iter().flatten().collect()));
        }
        _ => {
            let example = folders.first().map(|it| it.levels.join("/")).unwrap_or_default();
            return Err(Unclear::new(
                format!(
                    "its images are {depth} levels down, as in {example}, and {} levels have different \
                     folders; flora reads a level of sites, one of splits and one of classes",
                    open.len()
                ),
                "name one of the folders in it, or list images and labels in a CSV file (docs/datasets.md)",
            ));
        }
    }
    Ok(Reading { pattern: Pattern(roles.into_iter().flatten().collect()), splits, reason, other })
}

/// Assigns the level of splits, if there is one, and drops folders of other splits.
fn take_splits(
    folders: &mut Vec<&Folder>,
    roles: &mut [Option<Level>],
) -> Option<(Vec<String>, Vec<String>)> {
    let depth = roles.len();
    for (level, role) in roles.iter_mut().enumerate() {
        let names = names(folders, level);
        let all = names.iter().all(|name| split_name(name).is_some());
        // A class may be called `train` or `test`, but then not all folders on its level are splits.
        let may_be_classes = level + 1 == depth && !all;
        if may_be_classes || !have_splits(names.iter().copied()) {
            continue;
        }
        let (train, test) = assign_splits(names.iter().copied());
        folders.retain(|it| train.contains(&it.levels[level]) || test.contains(&it.levels[level]));
        *role = Some(Level::Split);
        return Some((train, test));
    }
    None
}

/// The depth of most of the images.
fn usual_depth(tree: &Tree) -> Result<usize, Unclear> {
    let mut images: BTreeMap<usize, usize> = BTreeMap::new();
    for folder in tree.with_images() {
        *images.entry(folder.levels.len()).or_default() += folder.images;
    }
    let loose = images.remove(&0).unwrap_or(0);
    let all: usize = images.values().sum();
    let mut so_far = 0;
    let outermost = images.iter().find(|&(_, images)| {
        so_far += images;
        100 * so_far >= STRAYS * all
    });
    match outermost {
        Some((&depth, _)) => Ok(depth),
        None if loose > 0 => Err(Unclear::new(
            format!("its {loose} images lie in no folder, and nothing says what they show"),
            "make a sub-folder of images for each class, or list images and labels in a CSV file",
        )),
        None => Err(Unclear::new(
            "there is no image in it",
            format!("flora reads {}", flora_core::images::EXTENSIONS.join(", ")),
        )),
    }
}

/// The level of the only class, if no level has several names.
fn only_class(roles: &[Option<Level>]) -> Result<usize, Unclear> {
    let is_class = |role: &Option<Level>| match role {
        Some(Level::Literal(name)) => !is_generic(name) && split_name(name).is_none(),
        _ => false,
    };
    roles.iter().rposition(is_class).ok_or_else(|| {
        Unclear::new(
            "the folders that its images lie in do not say what they show",
            "make a sub-folder of images for each class, or list images and labels in a CSV file",
        )
    })
}

/// The level of the single class that all sites share, if the folders on `level` have names of sites.
fn class_of_sites(folders: &[&Folder], roles: &[Option<Level>], level: usize) -> Option<usize> {
    let names: Vec<&str> = names(folders, level).into_iter().collect();
    if likeness_to_sites(&names) < 0.9 {
        return None;
    }
    (level + 1..roles.len()).find(|&below| match &roles[below] {
        Some(Level::Literal(name)) => !is_generic(name),
        _ => false,
    })
}

/// Whether the folders on the lower of two levels are mere parts of those on the upper one: batches, series, people. Of
/// two `levels`, only numbers are.
fn are_parts(folders: &[&Folder], upper: usize, lower: usize, levels: usize) -> bool {
    let parents = parents(folders, upper, lower);
    let (uppers, lowers) = (names(folders, upper), parents.keys().copied().collect::<Vec<_>>());
    let repeated = parents.values().filter(|above| above.len() > 1).count();
    let uppers: Vec<&str> = uppers.into_iter().collect();
    let codes = are_codes(&lowers) && !are_codes(&uppers);
    2 * repeated < lowers.len()
        && (codes || levels > 2)
        && likeness_to_sites(&lowers) <= likeness_to_sites(&uppers)
}

/// The names on the lower of two levels, each with those above it.
fn parents<'a>(
    folders: &[&'a Folder],
    upper: usize,
    lower: usize,
) -> BTreeMap<&'a str, BTreeSet<&'a str>> {
    let mut parents: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
    for levels in folders.iter().map(|folder| &folder.levels).filter(|it| it.len() > lower) {
        parents.entry(&levels[lower]).or_default().insert(&levels[upper]);
    }
    parents
}

/// Which of two levels contains the sites, and why.
fn which_is_site(folders: &[&Folder], upper: usize, lower: usize) -> (usize, String) {
    let parents = parents(folders, upper, lower);
    let uppers: Vec<&str> = names(folders, upper).into_iter().collect();
    let lowers: Vec<&str> = parents.keys().copied().collect();
    let repeated: Vec<&str> =
        parents.iter().filter_map(|(name, above)| (above.len() > 1).then_some(*name)).collect();
    let (like_upper, like_lower) = (likeness_to_sites(&uppers), likeness_to_sites(&lowers));
    let (said_upper, said_lower) = (some_of(&uppers, 3), some_of(&lowers, 3));
    let called = |sites: &str, classes: &str| {
        format!("{sites} are read as sites and {classes} as classes, because of their names")
    };
    if like_upper > like_lower {
        (upper, called(&said_upper, &said_lower))
    } else if like_lower > like_upper {
        (lower, called(&said_lower, &said_upper))
    } else if 2 * repeated.len() >= lowers.len() {
        let why = format!(
            "{} are found in several folders, so they are read as classes and {said_upper} as sites",
            some_of(&repeated, 3)
        );
        (upper, why)
    } else if are_codes(&lowers) && !are_codes(&uppers) {
        let why = format!("{said_lower} are numbers, so {said_upper} are read as classes");
        (lower, why)
    } else {
        let why = format!("the inner folders, {said_lower}, are read as classes");
        (upper, why)
    }
}

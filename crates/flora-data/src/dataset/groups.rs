//! Groups of images of the same object, which are held out together or not at all.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsStr;

use flora_core::seed;
use rand::RngExt;
use serde::Deserialize;

use super::{Dataset, Sample, Source, Split};
use crate::rounding::UNIT;

/// How images are grouped.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum Grouping {
    /// By file name, without folders and extension.
    FileStem,
}

impl Dataset {
    /// Whether the description groups images (`group`). Validation images are then whole groups.
    pub fn has_groups(&self) -> bool {
        self.shared.group.is_some()
    }

    /// The name of the group of sample `i`; `None` without groups.
    pub fn group(&self, i: usize) -> Option<&OsStr> {
        match self.shared.group? {
            Grouping::FileStem => self.file(i)?.file_stem(),
        }
    }

    /// The number of groups among the samples of these splits; `None` without groups.
    pub fn count_groups(&self, splits: &[Split]) -> Option<usize> {
        let groups = self.groups()?;
        let of_splits = |&(i, _): &(usize, &OsStr)| splits.contains(&self.split(i));
        let names = groups.into_iter().enumerate().filter(of_splits).map(|(_, name)| name);
        Some(names.collect::<BTreeSet<_>>().len())
    }

    /// The group of each sample, if there are groups.
    pub(super) fn groups(&self) -> Option<Vec<&OsStr>> {
        // A listed file has a name.
        self.has_groups().then(|| (0..self.len()).filter_map(|i| self.group(i)).collect())
    }
}

impl Source {
    /// Whether its images have distinct file names.
    pub(super) fn has_names(&self) -> bool {
        matches!(self, Self::Files(_))
    }
}

/// Images that are held out together.
struct Group {
    /// Drawn from its name alone.
    rank: u64,
    samples: Vec<usize>,
}

/// Chooses groups of the samples `from` with a total share of `share` of them, in millionths and below a half, rounded
/// up. `groups` names the group of every sample. Returns the samples of the chosen groups, in any order.
///
/// A group belongs to the class of most of its images. For each class, groups are taken in the order of their ranks
/// while they fit into its share. Then the smallest remaining ones are taken, in the classes that lack most of it,
/// while that brings the total share closer. So a class lacks less than its smallest group that was not taken, or
/// exceeds its share by less than that; and at least one group of a class is taken if its share is one group or more.
/// But no class and no domain gives all of its images.
///
/// A rank depends on the seed and the name alone: at another site or under a limit, mostly the same objects are chosen.
pub(super) fn hold_out(
    samples: &[Sample],
    groups: &[&OsStr],
    from: impl Iterator<Item = usize>,
    share: u64,
    seed: u64,
) -> Vec<usize> {
    let mut by_name: BTreeMap<&OsStr, Vec<usize>> = BTreeMap::new();
    let mut left = Left::default();
    for index in from {
        by_name.entry(groups[index]).or_default().push(index);
        left.add(&samples[index]);
    }
    let mut by_class: BTreeMap<u32, Vec<Group>> = BTreeMap::new();
    for (name, indices) in by_name {
        let label = format!("split/validation/{}", name.to_string_lossy());
        let rank = seed::stream(seed, &label).random();
        let class = most_frequent(indices.iter().map(|&index| samples[index].label));
        by_class.entry(class).or_default().push(Group { rank, samples: indices });
    }
    // In fractions of an image, scaled so that all shares are integers.
    let parts = left.images() as u64;
    let wanted = (parts * share).div_ceil(UNIT);
    let (mut held, mut lacking) = (Vec::new(), Vec::new());
    for groups in by_class.values_mut() {
        groups.sort_by_key(|group| group.rank);
        let images: usize = groups.iter().map(|group| group.samples.len()).sum();
        let mut missing = images as u64 * wanted;
        let mut next: Option<&Group> = None;
        for group in &*groups {
            let size = group.samples.len() as u64 * parts;
            if size <= missing && left.give(samples, group) {
                missing -= size;
                held.extend(&group.samples);
            } else if next.is_none_or(|next| group.samples.len() < next.samples.len()) {
                next = Some(group);
            }
        }
        lacking.extend(next.filter(|_| missing > 0).map(|group| (missing, group)));
    }
    // Those first that lack most of their next group.
    lacking.sort_by(|(missing, group), (others, other)| {
        let [mine, its] = [(missing, other), (others, group)]
            .map(|(missing, group)| u128::from(*missing) * group.samples.len() as u128);
        its.cmp(&mine)
    });
    for (_, group) in lacking {
        let short = (wanted as usize).saturating_sub(held.len());
        if group.samples.len() <= 2 * short && left.give(samples, group) {
            held.extend(&group.samples);
        }
    }
    held
}

/// The lowest of equally frequent labels.
fn most_frequent(labels: impl Iterator<Item = u32>) -> u32 {
    let mut counts = BTreeMap::new();
    for label in labels {
        *counts.entry(label).or_insert(0) += 1;
    }
    let most = counts.into_iter().max_by_key(|&(label, count)| (count, Reverse(label)));
    most.map_or(0, |(label, _)| label)
}

/// Number of images that classes and domains still have.
#[derive(Default)]
struct Left {
    classes: BTreeMap<u32, usize>,
    domains: BTreeMap<Option<u32>, usize>,
}

impl Left {
    fn images(&self) -> usize {
        self.classes.values().sum()
    }

    fn add(&mut self, sample: &Sample) {
        *self.classes.entry(sample.label).or_insert(0) += 1;
        *self.domains.entry(sample.domain).or_insert(0) += 1;
    }

    /// Takes a group, unless that would leave a class or a domain empty.
    fn give(&mut self, samples: &[Sample], group: &Group) -> bool {
        let mut given = Self::default();
        for &index in &group.samples {
            given.add(&samples[index]);
        }
        let leaves = given.classes.iter().all(|(class, &count)| self.classes[class] > count)
            && given.domains.iter().all(|(domain, &count)| self.domains[domain] > count);
        if leaves {
            for (class, count) in given.classes {
                self.classes.entry(class).and_modify(|left| *left -= count);
            }
            for (domain, count) in given.domains {
                self.domains.entry(domain).and_modify(|left| *left -= count);
            }
        }
        leaves
    }
}

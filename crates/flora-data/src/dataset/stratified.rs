//! Stratified hold-out by class, and by domain if there are domains.

use std::collections::BTreeMap;

use rand::seq::SliceRandom;
use rand_chacha::ChaCha8Rng;

use super::Sample;
use crate::apportion::apportion;
use crate::rounding::{Cell, UNIT, round_table};

/// The images of one class, by domain if there are domains.
type Strata = BTreeMap<(u32, u32), Vec<usize>>;

/// Chooses a share of the samples `from`, in millionths and below a half, that preserves the proportions of classes and
/// domains. Returns the chosen ones, in any order.
///
/// Without domains, the share of all images, rounded up, is apportioned to the classes by largest remainder, as in
/// scikit-learn's `train_test_split(stratify=...)`. A class with one image is left out.
///
/// With domains, the share of every class in a domain, of every domain and of every class is rounded up or down
/// ([`round_table`]), with exceptions: a domain with one image gives none; one with several gives at least one and
/// keeps at least one; and a domain gives the only image of a class only if it has no others.
pub(super) fn hold_out(
    samples: &[Sample],
    from: impl Iterator<Item = usize>,
    share: u64,
    rng: &mut ChaCha8Rng,
) -> Vec<usize> {
    let mut strata = Strata::new();
    let mut has_domains = false;
    for index in from {
        let sample = &samples[index];
        has_domains |= sample.domain.is_some();
        strata.entry((sample.domain.unwrap_or(0), sample.label)).or_default().push(index);
    }
    let counts = match has_domains {
        false => of_classes(&strata, share),
        true => of_domains(&strata, share, rng),
    };
    let mut held = Vec::new();
    for (mut indices, count) in strata.into_values().zip(counts) {
        indices.shuffle(rng);
        held.extend(&indices[..count]);
    }
    held
}

/// Number of images per class.
fn of_classes(strata: &Strata, share: u64) -> Vec<usize> {
    let sizes: Vec<usize> = strata.values().map(|class| splittable(class.len())).collect();
    let total: u64 = sizes.iter().map(|&size| size as u64 * share).sum();
    apportion(total.div_ceil(UNIT) as usize, &sizes, &vec![0; sizes.len()])
}

/// A class that has one image keeps it.
fn splittable(size: usize) -> usize {
    if size > 1 { size } else { 0 }
}

/// Number of images per class and domain.
fn of_domains(strata: &Strata, share: u64, rng: &mut ChaCha8Rng) -> Vec<usize> {
    let mut classes = BTreeMap::new();
    let mut domains: BTreeMap<u32, Vec<(u32, usize)>> = BTreeMap::new();
    for (&(domain, label), indices) in strata {
        *classes.entry(label).or_insert(0) += indices.len();
        domains.entry(domain).or_default().push((label, indices.len()));
    }
    let mut cells: Vec<Cell> = Vec::with_capacity(strata.len());
    for (&domain, held) in &domains {
        let images: usize = held.iter().map(|&(_, size)| size).sum();
        let mut sizes: Vec<usize> =
            held.iter().map(|&(label, size)| if classes[&label] > 1 { size } else { 0 }).collect();
        if sizes.iter().all(|&size| size == 0) {
            sizes = held.iter().map(|&(_, size)| size).collect();
        }
        let given: usize = sizes.iter().sum();
        let units = match images {
            1 => 0,
            _ => (given as u64 * share).clamp(UNIT, given as u64 * UNIT),
        };
        let shares = apportion(units as usize, &sizes, &vec![0; sizes.len()]);
        cells.extend(held.iter().zip(shares).map(|(&(label, _), units)| Cell {
            row: domain as usize,
            column: label as usize,
            units: units as u64,
        }));
    }
    // The order breaks ties, which are frequent in small domains.
    let mut order: Vec<usize> = (0..cells.len()).collect();
    order.shuffle(rng);
    let shuffled: Vec<Cell> = order.iter().map(|&index| cells[index]).collect();
    let mut counts = vec![0; cells.len()];
    for (index, count) in order.into_iter().zip(round_table(&shuffled)) {
        counts[index] = count;
    }
    counts
}

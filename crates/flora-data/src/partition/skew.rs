//! Groups of images, cut in proportions that are drawn from a Dirichlet distribution.
//!
//! The groups are the classes for skewed labels, and there is one group of all images for skewed sizes.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use rand::seq::SliceRandom;
use rand_chacha::ChaCha8Rng;

use super::proportions::proportions;
use super::{Shards, hand_out};
use crate::Error;

/// More draws than patience; keeps a slip of the keyboard from looking like a program that hangs.
const MOST_TRIES: usize = 1_000_000;

/// How many images of each group a client gets: `[clients][groups]`.
type Counts = Vec<Vec<usize>>;

/// The fields of [`PartitionConfig::Dirichlet`](super::PartitionConfig::Dirichlet); those of
/// [`Quantity`](super::PartitionConfig::Quantity) are the same without the mask.
#[derive(Debug, Clone, Copy)]
pub(super) struct Rule {
    pub(super) clients: usize,
    pub(super) beta: f64,
    pub(super) min_samples: usize,
    pub(super) capacity_mask: bool,
    pub(super) max_tries: usize,
    pub(super) repair: bool,
}

pub(super) fn shards(
    mut groups: Vec<Vec<usize>>,
    rule: Rule,
    rng: &mut ChaCha8Rng,
) -> Result<Shards, Error> {
    let Rule { clients, beta, min_samples, capacity_mask, max_tries, repair } = rule;
    let sizes: Vec<usize> = groups.iter().map(Vec::len).collect();
    check(rule, sizes.iter().sum())?;

    let mut best = Counts::new();
    let mut best_least = None;
    for _ in 0..max_tries {
        // Only the sizes are drawn here: which images they are does not matter to the minimum.
        let counts = draw(&sizes, clients, beta, capacity_mask, rng);
        let least = counts.iter().map(|counts| counts.iter().sum()).min();
        if least > best_least {
            (best, best_least) = (counts, least);
        }
        if best_least >= Some(min_samples) {
            break;
        }
    }
    if best_least < Some(min_samples) {
        if !repair {
            return Err(Error::Partition {
                field: "min_samples".to_owned(),
                problem: format!(
                    "in {max_tries} draws with beta {beta}, the smallest of {clients} clients never had \
                     more than {} images, and {min_samples} are wanted",
                    best_least.unwrap_or(0)
                ),
                remedy: "set `repair = true`, raise `beta`, or lower \
                         `min_samples` or `clients`"
                    .to_owned(),
            });
        }
        move_to_the_short(&mut best, min_samples);
    }

    let mut shards = vec![Vec::new(); clients];
    for (group, indices) in groups.iter_mut().enumerate() {
        indices.shuffle(rng);
        hand_out(indices, best.iter().map(|counts| counts[group]), &mut shards);
    }
    Ok(shards)
}

fn check(rule: Rule, images: usize) -> Result<(), Error> {
    let Rule { clients, beta, min_samples, .. } = rule;
    let wrong = |field: &str, problem, remedy: &str| {
        Err(Error::Partition { field: field.to_owned(), problem, remedy: remedy.to_owned() })
    };
    if !(beta.is_finite() && beta > 0.0) {
        let remedy = "choose a number above 0, such as 0.1 (skewed) or 100 (nearly iid)";
        return wrong("beta", format!("{beta} is not a concentration"), remedy);
    }
    if !(1..=MOST_TRIES).contains(&rule.max_tries) {
        let remedy = format!("choose at least 1 and at most {MOST_TRIES}");
        return wrong("max_tries", format!("{} draws are not possible", rule.max_tries), &remedy);
    }
    if clients.saturating_mul(min_samples) > images {
        return wrong(
            "min_samples",
            format!(
                "{clients} clients of at least {min_samples} images need {} images, and there are {images}",
                clients.saturating_mul(min_samples)
            ),
            &format!(
                "lower it to at most {}, or `clients` to at most {}",
                images / clients,
                images / min_samples
            ),
        );
    }
    Ok(())
}

/// One draw, group by group.
fn draw(
    sizes: &[usize],
    clients: usize,
    beta: f64,
    capacity_mask: bool,
    rng: &mut ChaCha8Rng,
) -> Counts {
    let total: usize = sizes.iter().sum();
    let mut counts = vec![vec![0; sizes.len()]; clients];
    let mut held = vec![0_usize; clients];
    for (group, &size) in sizes.iter().enumerate() {
        // |D_k| < N / K in whole numbers. While an image is left to deal, some client is below the mean.
        let open: Vec<bool> = held
            .iter()
            .map(|&held| !capacity_mask || held.saturating_mul(clients) < total)
            .collect();
        let proportions = proportions(beta, &open, rng);
        let last = proportions.iter().rposition(|&p| p > 0.0);
        let (mut sum, mut start) = (0.0, 0);
        for (client, p) in proportions.into_iter().enumerate() {
            sum += p;
            // The end is set, not computed: rounding must neither lose an image nor give it to a client
            // that is full.
            let end = match Some(client) >= last {
                true => size,
                false => ((sum * size as f64) as usize).clamp(start, size),
            };
            counts[client][group] = end - start;
            held[client] += end - start;
            start = end;
        }
    }
    counts
}

/// Give the clients that have too few what the largest, the first of equals, have most of. Needs
/// `clients * min_samples` images at least, so that while one client has too few, another has more than
/// enough.
fn move_to_the_short(counts: &mut Counts, min_samples: usize) {
    let held: Vec<usize> = counts.iter().map(|counts| counts.iter().sum()).collect();
    // In a heap: there may be ten thousand clients, and as many moves.
    let rich = held.iter().enumerate().filter(|&(_, &held)| held > min_samples);
    let mut donors: BinaryHeap<_> = rich.map(|(client, &held)| (held, Reverse(client))).collect();
    for (client, held) in held.into_iter().enumerate() {
        for _ in held..min_samples {
            let (left, Reverse(donor)) = donors.pop().expect("there are images enough");
            let group = first_largest(&counts[donor]);
            counts[donor][group] -= 1;
            counts[client][group] += 1;
            if left - 1 > min_samples {
                donors.push((left - 1, Reverse(donor)));
            }
        }
    }
}

fn first_largest(numbers: &[usize]) -> usize {
    let largest = numbers.iter().max();
    numbers.iter().position(|number| Some(number) == largest).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use flora_core::seed;

    use super::*;

    #[test]
    fn a_full_client_gets_nothing_more() {
        // With almost one-hot proportions, the first class fills a client beyond its share of a half.
        let mut rng = seed::stream(3, "test");
        for _ in 0..100 {
            let counts = draw(&[60, 20, 20], 2, 1e-6, true, &mut rng);
            let full = usize::from(counts[1][0] == 60);
            assert_eq!(counts[full], [60, 0, 0]);
            assert_eq!(counts[1 - full], [0, 20, 20]);
        }
    }

    #[test]
    fn the_short_are_served_by_the_largest() {
        let mut counts = vec![vec![9, 1], vec![0, 0], vec![1, 3]];
        move_to_the_short(&mut counts, 4);
        assert_eq!(counts, [vec![5, 1], vec![4, 0], vec![1, 3]]);

        // The first of equals gives, until the second has more.
        let mut counts = vec![vec![0, 0], vec![0, 5], vec![1, 4], vec![2, 0]];
        move_to_the_short(&mut counts, 3);
        assert_eq!(counts, [vec![0, 3], vec![0, 3], vec![1, 2], vec![2, 1]]);
    }
}

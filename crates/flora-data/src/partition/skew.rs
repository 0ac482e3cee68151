//! Groups of images, split in proportions drawn from a Dirichlet distribution.
//!
//! For skewed labels, the groups are the classes; for skewed sizes, there is a single group of all images.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use rand::seq::SliceRandom;
use rand_chacha::ChaCha8Rng;

use super::proportions::proportions;
use super::{Remainder, Shards, hand_out};
use crate::Error;

/// Limit on draws; keeps a typing error from looking like a hang.
const MOST_TRIES: usize = 1_000_000;

/// Number of images of each group per client: `[clients][groups]`.
type Counts = Vec<Vec<usize>>;

/// The fields of [`PartitionConfig::Dirichlet`](super::PartitionConfig::Dirichlet); those of
/// [`Quantity`](super::PartitionConfig::Quantity) are the same without mask and remainder.
#[derive(Debug, Clone, Copy)]
pub(super) struct Rule {
    pub(super) clients: usize,
    pub(super) beta: f64,
    pub(super) min_samples: usize,
    pub(super) capacity_mask: bool,
    pub(super) max_tries: usize,
    pub(super) repair: bool,
    pub(super) remainder: Remainder,
}

pub(super) fn shards(
    mut groups: Vec<Vec<usize>>,
    rule: Rule,
    rng: &mut ChaCha8Rng,
) -> Result<Shards, Error> {
    let Rule { clients, beta, min_samples, max_tries, repair, .. } = rule;
    let sizes: Vec<usize> = groups.iter().map(Vec::len).collect();
    check(rule, sizes.iter().sum())?;

    let mut best = Counts::new();
    let mut best_least = None;
    for _ in 0..max_tries {
        // Only the sizes are drawn here: the minimum does not depend on which images they are.
        let counts = draw(&sizes, rule, rng);
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
        return wrong("beta", format!("{beta} is not a valid concentration"), remedy);
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
fn draw(sizes: &[usize], rule: Rule, rng: &mut ChaCha8Rng) -> Counts {
    let Rule { clients, beta, capacity_mask, remainder, .. } = rule;
    let total: usize = sizes.iter().sum();
    let mut counts = vec![vec![0; sizes.len()]; clients];
    let mut held = vec![0_usize; clients];
    for (group, &size) in sizes.iter().enumerate() {
        // |D_k| < N / K in integers. While an image is left, some client is below the mean.
        let open: Vec<bool> = held
            .iter()
            .map(|&held| !capacity_mask || held.saturating_mul(clients) < total)
            .collect();
        let proportions = proportions(beta, &open, rng);
        let shares = match remainder {
            Remainder::Last => cut(&proportions, size),
            Remainder::Spread => largest_remainders(&proportions, size, &held),
        };
        for (client, share) in shares.into_iter().enumerate() {
            counts[client][group] = share;
            held[client] += share;
        }
    }
    counts
}

/// Cuts `size` items at the cumulative proportions, rounded down.
fn cut(proportions: &[f64], size: usize) -> Vec<usize> {
    let last = proportions.iter().rposition(|&p| p > 0.0);
    let (mut sum, mut start) = (0.0, 0);
    let mut shares = Vec::with_capacity(proportions.len());
    for (client, p) in proportions.iter().enumerate() {
        sum += p;
        // The end is set, not computed: rounding must neither lose an image nor give it to a full client.
        let end = match Some(client) >= last {
            true => size,
            false => ((sum * size as f64) as usize).clamp(start, size),
        };
        shares.push(end - start);
        start = end;
    }
    shares
}

/// Rounds the shares of `size` items down, and distributes the remainder to those that lost most; in a tie first to the
/// one that holds least, then to the first.
fn largest_remainders(proportions: &[f64], size: usize, held: &[usize]) -> Vec<usize> {
    let quotas: Vec<f64> = proportions.iter().map(|p| p * size as f64).collect();
    let mut left = size;
    let mut shares = Vec::with_capacity(quotas.len());
    for quota in &quotas {
        // A sum of proportions slightly above 1 must not distribute more than there is.
        let share = (*quota as usize).min(left);
        left -= share;
        shares.push(share);
    }
    let lost = |client: usize| quotas[client] - shares[client] as f64;
    let mut order: Vec<usize> = (0..quotas.len()).filter(|&i| proportions[i] > 0.0).collect();
    order.sort_by(|&a, &b| lost(b).total_cmp(&lost(a)).then(held[a].cmp(&held[b])));
    // Each loses less than one, so a single pass is enough.
    for client in order.into_iter().take(left) {
        shares[client] += 1;
    }
    shares
}

/// Moves images to clients with too few: from the largest one (the first in a tie), of its most frequent group. Needs
/// at least `clients * min_samples` images, so that while one client has too few, another has more than enough.
fn move_to_the_short(counts: &mut Counts, min_samples: usize) {
    let held: Vec<usize> = counts.iter().map(|counts| counts.iter().sum()).collect();
    // A heap, because there may be ten thousand clients, and as many moves.
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
        for remainder in [Remainder::Last, Remainder::Spread] {
            let mut rng = seed::stream(3, "test");
            for _ in 0..100 {
                let counts = draw(&[60, 20, 20], rule(2, 1e-6, true, remainder), &mut rng);
                let full = usize::from(counts[1][0] == 60);
                assert_eq!(counts[full], [60, 0, 0]);
                assert_eq!(counts[1 - full], [0, 20, 20]);
            }
        }
    }

    fn rule(clients: usize, beta: f64, capacity_mask: bool, remainder: Remainder) -> Rule {
        let (min_samples, max_tries, repair) = (0, 1, true);
        Rule { clients, beta, min_samples, capacity_mask, max_tries, repair, remainder }
    }

    #[test]
    fn what_rounding_leaves_goes_to_the_last_or_to_who_lost_most() {
        let shares = [0.26, 0.05, 0.43, 0.26];
        assert_eq!(cut(&shares, 10), [2, 1, 4, 3]);
        assert_eq!(largest_remainders(&shares, 10, &[0; 4]), [3, 0, 4, 3]);
        assert_eq!(cut(&[0.05; 20], 5)[19], 1);
        assert_eq!(largest_remainders(&[0.25; 4], 6, &[3, 0, 1, 2]), [1, 2, 2, 1]);
        assert_eq!(largest_remainders(&[0.0, 1.0, 0.0], 3, &[0; 3]), [0, 3, 0]);
    }

    #[test]
    fn with_many_classes_only_the_last_way_makes_a_giant() {
        let held = |remainder| {
            let counts =
                draw(&[5; 200], rule(100, 1.0, false, remainder), &mut seed::stream(5, "test"));
            let mut held: Vec<usize> = counts.iter().map(|own| own.iter().sum()).collect();
            assert_eq!(held.iter().sum::<usize>(), 1000);
            let last = held.pop().unwrap();
            (last, held.into_iter().max().unwrap())
        };
        let (last, most) = held(Remainder::Last);
        assert!(last > 3 * most, "{last} {most}");
        let (last, most) = held(Remainder::Spread);
        assert!(last < 2 * most, "{last} {most}");
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

//! Skewed label distributions (Hsu et al., arXiv 1909.06335).

use flora_core::seed;
use rand::RngExt;
use rand::seq::SliceRandom;
use rand_chacha::ChaCha8Rng;
use rand_distr::{Distribution, Gamma, Open01};

use super::{Shards, hand_out, train_by_class};
use crate::{Dataset, Error};

/// Beyond these, proportions are one-hot or uniform to the last bit, and the logarithms stay finite.
const BETAS: std::ops::RangeInclusive<f64> = 1e-12..=1e12;

/// How many images of each class a client gets: `[clients][classes]`.
type Counts = Vec<Vec<usize>>;

/// The fields of [`PartitionConfig::Dirichlet`](super::PartitionConfig::Dirichlet).
#[derive(Debug, Clone, Copy)]
pub(super) struct Rule {
    pub(super) clients: usize,
    pub(super) beta: f64,
    pub(super) min_samples: usize,
    pub(super) capacity_mask: bool,
    pub(super) max_tries: usize,
    pub(super) repair: bool,
}

pub(super) fn shards(dataset: &Dataset, rule: Rule, seed: u64) -> Result<Shards, Error> {
    let Rule { clients, beta, min_samples, capacity_mask, max_tries, repair } = rule;
    let mut by_class = train_by_class(dataset);
    let sizes: Vec<usize> = by_class.iter().map(Vec::len).collect();
    check(rule, sizes.iter().sum())?;

    let mut rng = seed::stream(seed, "partition/dirichlet");
    let mut best = Counts::new();
    let mut best_least = None;
    for _ in 0..max_tries {
        // Only the sizes are drawn here: which images they are does not matter to the minimum.
        let counts = draw(&sizes, clients, beta, capacity_mask, &mut rng);
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
    for (class, indices) in by_class.iter_mut().enumerate() {
        indices.shuffle(&mut rng);
        hand_out(indices, best.iter().map(|counts| counts[class]), &mut shards);
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
    if rule.max_tries == 0 {
        let remedy = "choose at least 1";
        return wrong("max_tries", "nothing would be drawn".to_owned(), remedy);
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

/// One draw, class by class.
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
    for (class, &size) in sizes.iter().enumerate() {
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
            counts[client][class] = end - start;
            held[client] += end - start;
            start = end;
        }
    }
    counts
}

/// A draw from the symmetric Dirichlet distribution over the open clients; 0 for the others.
///
/// It is a vector of Gamma(beta) draws divided by their sum, and for small beta these underflow to zero all
/// together. Their logarithms do not: `ln Gamma(beta) = ln Gamma(beta + 1) + ln(U) / beta` in distribution
/// (Marsaglia and Tsang 2000, section 6). Scaling by the largest then leaves at least one share of 1.
fn proportions(beta: f64, open: &[bool], rng: &mut ChaCha8Rng) -> Vec<f64> {
    let beta = beta.clamp(*BETAS.start(), *BETAS.end());
    let gamma = Gamma::new(beta + 1.0, 1.0).expect("the shape is finite and above 1");
    let logs: Vec<f64> = open
        .iter()
        .map(|&open| {
            // Closed clients draw too, so that the mask alone decides what it changes.
            let uniform: f64 = rng.sample(Open01);
            let log = gamma.sample(rng).ln() + uniform.ln() / beta;
            if open { log } else { f64::NEG_INFINITY }
        })
        .collect();
    let largest = logs.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    if largest == f64::NEG_INFINITY {
        return vec![0.0; open.len()];
    }
    let scaled: Vec<f64> = logs.iter().map(|log| (log - largest).exp()).collect();
    let sum: f64 = scaled.iter().sum();
    scaled.into_iter().map(|share| share / sum).collect()
}

/// Give the clients that have too few what the largest have most of. Needs `clients * min_samples` images
/// at least; ends because every move makes the shortage smaller by one.
fn move_to_the_short(counts: &mut Counts, min_samples: usize) {
    let mut held: Vec<usize> = counts.iter().map(|counts| counts.iter().sum()).collect();
    for client in 0..counts.len() {
        while held[client] < min_samples {
            let donor = first_largest(&held);
            let class = first_largest(&counts[donor]);
            counts[donor][class] -= 1;
            counts[client][class] += 1;
            held[donor] -= 1;
            held[client] += 1;
        }
    }
}

fn first_largest(numbers: &[usize]) -> usize {
    let largest = numbers.iter().max();
    numbers.iter().position(|number| Some(number) == largest).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn proportions_are_a_distribution_at_any_beta() {
        let mut rng = seed::stream(1, "test");
        for beta in [f64::MIN_POSITIVE, 1e-9, 0.001, 0.1, 1.0, 1e3, f64::MAX] {
            for _ in 0..200 {
                let p = proportions(beta, &[true, false, true, true], &mut rng);
                assert!(p.iter().all(|p| (0.0..=1.0).contains(p)), "{beta}: {p:?}");
                assert_eq!(p[1], 0.0);
                assert!((p.iter().sum::<f64>() - 1.0).abs() < 1e-12, "{beta}: {p:?}");
            }
        }
    }

    #[test]
    fn proportions_have_the_moments_of_the_distribution() {
        // Mean 1/K and variance (K - 1) / (K^2 (K beta + 1)).
        let mut rng = seed::stream(2, "test");
        for beta in [0.1, 1.0, 5.0] {
            let draws: Vec<f64> =
                (0..20_000).map(|_| proportions(beta, &[true; 4], &mut rng)[2]).collect();
            let n = draws.len() as f64;
            let mean = draws.iter().sum::<f64>() / n;
            let variance = draws.iter().map(|p| (p - mean).powi(2)).sum::<f64>() / n;
            let expected = 3.0 / (16.0 * (4.0 * beta + 1.0));
            assert!((mean - 0.25).abs() < 0.01, "{beta}: {mean}");
            assert!((variance / expected - 1.0).abs() < 0.05, "{beta}: {variance}");
        }
    }

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
    }
}

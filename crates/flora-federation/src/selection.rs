use rand::seq::SliceRandom;
use serde::{Deserialize, Serialize};

use flora_core::seed;

use crate::FederationError;

/// Draws the clients of a round at random, without replacement.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ClientSelector {
    /// The share of the fleet that takes part, above 0 and at most 1.
    pub fraction: f64,
    /// The fewest that take part, whatever the fraction.
    pub min_clients: usize,
}

impl Default for ClientSelector {
    /// Everybody, in every round.
    fn default() -> Self {
        Self { fraction: 1.0, min_clients: 1 }
    }
}

impl ClientSelector {
    /// Checks the selector for a fleet of `clients` clients.
    ///
    /// # Errors
    /// [`FederationError::Fraction`] or [`FederationError::MinClients`].
    pub fn check(&self, clients: usize) -> Result<(), FederationError> {
        if !(self.fraction > 0.0 && self.fraction <= 1.0) {
            return Err(FederationError::Fraction { fraction: self.fraction });
        }
        if self.min_clients > clients {
            return Err(FederationError::MinClients { min_clients: self.min_clients, clients });
        }
        Ok(())
    }

    /// The clients of `round`, sorted by id: `fraction * ids.len()` of them, rounded to the nearest
    /// whole number, at least `min_clients` and at least one, as far as there are any.
    ///
    /// The draw depends on `seed`, `round` and the set of `ids`, not on their order.
    pub fn select(&self, ids: &[String], seed: u64, round: usize) -> Vec<String> {
        let mut ids = ids.to_vec();
        ids.sort();
        ids.dedup();
        // Rounded, not cut off: 0.29 * 100 is 28.999999999999996.
        let share = (self.fraction * ids.len() as f64).round() as usize;
        let count = share.max(self.min_clients).max(1);
        if count >= ids.len() {
            return ids;
        }
        let mut random = seed::stream(seed, &format!("selection {round}"));
        let (drawn, _) = ids.partial_shuffle(&mut random, count);
        drawn.sort();
        drawn.to_vec()
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    fn ids(count: usize) -> Vec<String> {
        (0..count).map(|k| format!("client-{k:02}")).collect()
    }

    fn selector(fraction: f64, min_clients: usize) -> ClientSelector {
        ClientSelector { fraction, min_clients }
    }

    #[test]
    fn a_fraction_of_one_takes_everybody_sorted() {
        let mut shuffled = ids(5);
        shuffled.swap(0, 3);
        assert_eq!(selector(1.0, 0).select(&shuffled, 1, 0), ids(5));
    }

    #[test]
    fn counts_are_rounded_and_at_least_the_minimum() {
        for (fraction, min_clients, expected) in
            [(0.29, 1, 29), (0.1, 1, 10), (0.001, 0, 1), (0.1, 25, 25), (0.5, 1_000, 100)]
        {
            let selected = selector(fraction, min_clients).select(&ids(100), 7, 3);
            assert_eq!(selected.len(), expected, "{fraction} {min_clients}");
            let distinct: BTreeSet<_> = selected.iter().collect();
            assert_eq!(distinct.len(), expected, "no client twice");
            assert!(selected.is_sorted());
        }
        assert!(selector(0.5, 1).select(&[], 7, 3).is_empty());
    }

    #[test]
    fn the_draw_depends_on_seed_and_round_but_not_on_the_order() {
        let selector = selector(0.3, 1);
        let mut reversed = ids(20);
        reversed.reverse();
        let draw = selector.select(&ids(20), 42, 5);
        assert_eq!(selector.select(&reversed, 42, 5), draw);
        assert_ne!(selector.select(&ids(20), 43, 5), draw);
        assert_ne!(selector.select(&ids(20), 42, 6), draw);
    }

    /// The draw is part of what a seed promises: it must survive an upgrade of `rand`.
    #[test]
    fn a_known_draw() {
        let draw = selector(0.3, 1).select(&ids(10), 1, 0);
        assert_eq!(draw, ["client-03", "client-06", "client-08"]);
    }

    #[test]
    fn every_client_is_drawn_about_equally_often() {
        let rounds = 2_000;
        let selector = selector(0.25, 1);
        for id in ids(8) {
            let drawn = (0..rounds)
                .filter(|&round| selector.select(&ids(8), 3, round).contains(&id))
                .count();
            // 2 of 8: a quarter of the rounds, standard deviation 19.
            assert!((400..600).contains(&drawn), "{id}: {drawn}");
        }
    }

    #[test]
    fn impossible_settings_are_named() {
        for fraction in [0.0, -0.5, 1.5, f64::NAN] {
            let error = selector(fraction, 1).check(4).unwrap_err().to_string();
            assert!(error.contains("federation.fraction"), "{error}");
        }
        let error = selector(0.5, 5).check(4).unwrap_err().to_string();
        assert!(error.contains("federation.min_clients = 5"), "{error}");
        assert!(selector(0.5, 4).check(4).is_ok());
    }
}

use serde::{Deserialize, Serialize};

use super::{Draw, Selection, drawn, ids};
use crate::{ClientInfo, FederationError};

/// Draws a constant share of the clients at random, without replacement.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ClientSelector {
    /// The share of the fleet that takes part, above 0 and at most 1.
    pub fraction: f64,
    /// The minimum number of clients, whatever the fraction.
    pub min_clients: usize,
}

impl Default for ClientSelector {
    /// Every client, in every round.
    fn default() -> Self {
        Self { fraction: 1.0, min_clients: 1 }
    }
}

impl ClientSelector {
    /// The number of `trainers` that take part: the fraction, rounded to the nearest integer, but at least
    /// `min_clients` and at least one, if there are as many.
    pub fn count(&self, trainers: usize) -> usize {
        // Rounded, not truncated: 0.29 * 100 is 28.999999999999996.
        let share = (self.fraction * trainers as f64).round() as usize;
        share.max(self.min_clients).max(1).min(trainers)
    }

    /// Checks the fraction alone.
    pub(super) fn check_share(&self) -> Result<(), FederationError> {
        match self.fraction > 0.0 && self.fraction <= 1.0 {
            true => Ok(()),
            false => Err(FederationError::Fraction { fraction: self.fraction }),
        }
    }
}

impl Selection for ClientSelector {
    /// [`FederationError::Fraction`] or [`FederationError::MinClients`].
    fn check(&self, trainers: &[ClientInfo]) -> Result<(), FederationError> {
        self.check_share()?;
        let (min_clients, clients) = (self.min_clients, trainers.len());
        if min_clients > clients {
            return Err(FederationError::MinClients { min_clients, clients });
        }
        Ok(())
    }

    /// [`count`](ClientSelector::count) of them, sorted by id.
    fn select(&self, draw: Draw, trainers: &[ClientInfo]) -> Vec<String> {
        let ids = ids(trainers);
        let count = self.count(ids.len());
        drawn(draw, ids, count)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::{
        super::testing::{draw, trainers},
        *,
    };

    fn ids(count: usize) -> Vec<String> {
        super::ids(&trainers(count))
    }

    fn selector(fraction: f64, min_clients: usize) -> ClientSelector {
        ClientSelector { fraction, min_clients }
    }

    #[test]
    fn a_fraction_of_one_takes_everybody_sorted() {
        let mut shuffled = trainers(5);
        shuffled.swap(0, 3);
        assert_eq!(selector(1.0, 0).select(draw(1, 0), &shuffled), ids(5));
    }

    #[test]
    fn counts_are_rounded_and_at_least_the_minimum() {
        for (fraction, min_clients, expected) in
            [(0.29, 1, 29), (0.1, 1, 10), (0.001, 0, 1), (0.1, 25, 25), (0.5, 1_000, 100)]
        {
            let selected = selector(fraction, min_clients).select(draw(7, 3), &trainers(100));
            assert_eq!(selected.len(), expected, "{fraction} {min_clients}");
            let distinct: BTreeSet<_> = selected.iter().collect();
            assert_eq!(distinct.len(), expected, "no client twice");
            assert!(selected.is_sorted());
        }
        assert!(selector(0.5, 1).select(draw(7, 3), &[]).is_empty());
    }

    #[test]
    fn the_draw_depends_on_seed_round_and_attempt_but_not_on_the_order() {
        let selector = selector(0.3, 1);
        let mut reversed = trainers(20);
        reversed.reverse();
        let first = selector.select(draw(42, 5), &trainers(20));
        assert_eq!(selector.select(draw(42, 5), &reversed), first);
        assert_ne!(selector.select(draw(43, 5), &trainers(20)), first);
        assert_ne!(selector.select(draw(42, 6), &trainers(20)), first);
        let again = Draw { attempt: 1, ..draw(42, 5) };
        assert_ne!(selector.select(again, &trainers(20)), first);
    }

    /// The draw must stay the same for a seed, even after an upgrade of `rand`.
    #[test]
    fn a_known_draw() {
        let drawn = selector(0.3, 1).select(draw(1, 0), &trainers(10));
        assert_eq!(drawn, ["client-03", "client-06", "client-08"]);
    }

    #[test]
    fn every_client_is_drawn_about_equally_often() {
        let rounds = 2_000;
        let selector = selector(0.25, 1);
        for id in ids(8) {
            let drawn = (0..rounds)
                .filter(|&round| selector.select(draw(3, round), &trainers(8)).contains(&id))
                .count();
            // 2 of 8: a quarter of the rounds, standard deviation 19.
            assert!((400..600).contains(&drawn), "{id}: {drawn}");
        }
    }

    #[test]
    fn impossible_settings_are_named() {
        for fraction in [0.0, -0.5, 1.5, f64::NAN] {
            let error = selector(fraction, 1).check(&trainers(4)).unwrap_err().to_string();
            assert!(error.contains("federation.fraction"), "{error}");
        }
        let error = selector(0.5, 5).check(&trainers(4)).unwrap_err().to_string();
        assert!(error.contains("federation.min_clients = 5"), "{error}");
        assert!(selector(0.5, 4).check(&trainers(4)).is_ok());
    }
}

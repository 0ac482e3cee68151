use flora_core::seed;
use rand::RngExt;

use super::{Draw, Selection, ids};
use crate::{ClientInfo, FederationError};

/// Draws every client independently: the sampling that differential privacy accounting assumes (Abadi et al. 2016,
/// <https://arxiv.org/abs/1607.00133>). A round has `rate * K` clients on average, and may have none.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Poisson {
    /// The probability that a client takes part, above 0 and at most 1.
    pub rate: f64,
}

impl Selection for Poisson {
    /// [`FederationError::Selection`].
    fn check(&self, _trainers: &[ClientInfo]) -> Result<(), FederationError> {
        match self.rate > 0.0 && self.rate <= 1.0 {
            true => Ok(()),
            false => Err(FederationError::Selection {
                field: "rate",
                problem: format!("{} is not above 0 and at most 1", self.rate),
            }),
        }
    }

    /// The drawn clients, sorted by id. A client's draw does not depend on the other clients.
    fn select(&self, draw: Draw, trainers: &[ClientInfo]) -> Vec<String> {
        let Draw { seed, round, attempt } = draw;
        let mut ids = ids(trainers);
        ids.retain(|id| {
            let label = format!("coin round {round} attempt {attempt} of {id}");
            seed::stream(seed, &label).random::<f64>() < self.rate
        });
        ids
    }

    /// A draw may select no client.
    fn may_select_nobody(&self) -> bool {
        true
    }
}

#[cfg(test)]
mod tests {
    use super::{
        super::testing::{draw, trainers},
        *,
    };

    #[test]
    fn each_client_has_a_coin_of_its_own() {
        let selection = Poisson { rate: 0.3 };
        let (mut total, mut sizes) = (0, std::collections::BTreeSet::new());
        for round in 0..500 {
            let all = selection.select(draw(3, round), &trainers(20));
            assert!(all.is_sorted());
            total += all.len();
            sizes.insert(all.len());
            // Without half of them, the others are drawn as before, in any order.
            let mut some = trainers(20);
            some.truncate(10);
            some.reverse();
            let expected = all.iter().filter(|id| id.as_str() < "client-10");
            assert_eq!(
                selection.select(draw(3, round), &some),
                expected.cloned().collect::<Vec<_>>()
            );
        }
        // 3,000 on average, with a standard deviation of 46.
        assert!((2_800..3_200).contains(&total), "{total}");
        assert!(sizes.len() > 5, "{sizes:?}");
        assert_eq!(Poisson { rate: 1.0 }.select(draw(3, 0), &trainers(20)).len(), 20);
    }

    #[test]
    fn the_draw_depends_on_seed_round_and_attempt() {
        let select = |draw| Poisson { rate: 0.5 }.select(draw, &trainers(30));
        let first = select(draw(42, 5));
        assert_eq!(select(draw(42, 5)), first);
        for other in [draw(43, 5), draw(42, 6), Draw { attempt: 1, ..draw(42, 5) }] {
            assert_ne!(select(other), first);
        }
    }

    /// The draw must stay the same for a seed, even after an upgrade of `rand`.
    #[test]
    fn a_known_draw() {
        let drawn = Poisson { rate: 0.3 }.select(draw(1, 0), &trainers(10));
        assert_eq!(drawn, ["client-00", "client-03", "client-04", "client-07", "client-09"]);
    }
}

use super::{Draw, Selection, drawn, ids};
use crate::{ClientInfo, FederationError};

/// Draws fewer clients from round to round, without replacement: `max(floor, round(rate * exp(-decay * t) * K))` of `K`
/// in round `t`, from 0. Early rounds, which learn most, have many clients; later ones cost less (dynamic sampling, Ji
/// et al. 2021, <https://arxiv.org/abs/2003.09603>).
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct DynamicSampling {
    /// The share of the clients in the first round, above 0 and at most 1.
    pub rate: f64,
    /// The decay rate of the share; 0 keeps it constant.
    pub decay: f64,
    /// The minimum number of clients, if there are as many; at least 1.
    pub floor: usize,
}

impl DynamicSampling {
    /// The number of `trainers` that take part in the round. Halves are rounded up.
    pub fn count(&self, round: usize, trainers: usize) -> usize {
        let share = self.rate * (-self.decay * round as f64).exp();
        let count = (share * trainers as f64).round() as usize;
        count.max(self.floor).max(1).min(trainers)
    }
}

impl Selection for DynamicSampling {
    /// [`FederationError::Selection`].
    fn check(&self, _trainers: &[ClientInfo]) -> Result<(), FederationError> {
        let wrong = |field, problem| Err(FederationError::Selection { field, problem });
        let Self { rate, decay, floor } = *self;
        if !(rate > 0.0 && rate <= 1.0) {
            return wrong("rate", format!("{rate} is not above 0 and at most 1"));
        }
        if !(decay >= 0.0 && decay.is_finite()) {
            return wrong("decay", format!("{decay} is not a number, 0 or more"));
        }
        if floor == 0 {
            return wrong("floor", "0 clients are not enough; it must be at least 1".to_owned());
        }
        Ok(())
    }

    /// [`count`](DynamicSampling::count) of them, sorted by id. Without decay, the draw equals that of
    /// [`ClientSelector`](crate::ClientSelector).
    fn select(&self, draw: Draw, trainers: &[ClientInfo]) -> Vec<String> {
        let ids = ids(trainers);
        let count = self.count(draw.round, ids.len());
        drawn(draw, ids, count)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::{
        super::{
            ClientSelector,
            testing::{draw, trainers},
        },
        *,
    };

    #[test]
    fn counts_are_those_of_the_formula() {
        let fixture = include_str!("../../tests/fixtures/dynamic_sampling.json");
        let fixture: Value = serde_json::from_str(fixture).unwrap();
        for case in fixture["cases"].as_array().unwrap() {
            let number = |name: &str| case[name].as_f64().unwrap();
            let selection = DynamicSampling {
                rate: number("rate"),
                decay: number("decay"),
                floor: number("floor") as usize,
            };
            let clients = number("clients") as usize;
            for (round, expected) in case["counts"].as_array().unwrap().iter().enumerate() {
                let count = selection.count(round, clients);
                assert_eq!(Some(count as u64), expected.as_u64(), "{selection:?}, {round}");
            }
        }
    }

    #[test]
    fn as_many_are_drawn_as_the_round_asks_for() {
        let selection = DynamicSampling { rate: 0.5, decay: 0.2, floor: 3 };
        for round in 0..20 {
            let drawn = selection.select(draw(5, round), &trainers(30));
            assert_eq!(drawn.len(), selection.count(round, 30));
            assert!(drawn.is_sorted());
        }
        assert_eq!(selection.select(draw(5, 9), &trainers(2)).len(), 2);
        assert!(selection.select(draw(5, 9), &[]).is_empty());
    }

    #[test]
    fn without_decay_it_draws_as_by_fraction() {
        let selection = DynamicSampling { rate: 0.3, decay: 0.0, floor: 1 };
        let fraction = ClientSelector { fraction: 0.3, min_clients: 1 };
        for draw in [draw(1, 0), draw(2, 7), Draw { attempt: 2, ..draw(1, 3) }] {
            let all = trainers(20);
            assert_eq!(selection.select(draw, &all), fraction.select(draw, &all));
        }
    }
}

use std::collections::BTreeMap;

use flora_core::seed;
use rand::RngExt;

use super::{Draw, Selection};
use crate::{ClientInfo, FederationError};

/// Draws candidates by their number of training examples, without replacement, and selects those with the highest
/// losses (power-of-choice, Cho et al. 2022, <https://arxiv.org/abs/2010.01243>).
///
/// The loss is the one that a client reported when it last trained, so no extra message is needed: the paper's variant
/// `rpow-d`. As there, a client that has not trained yet has an infinite loss. In a tie, the candidate drawn first
/// wins. Reported losses are trusted.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct PowerOfChoice {
    /// The share of the clients that take part, above 0 and at most 1.
    pub rate: f64,
    /// The number of candidates, the paper's `d`, if there are as many. If it equals the number of clients that take
    /// part, the draw depends on training examples alone.
    pub candidates: usize,
}

impl PowerOfChoice {
    /// The number of `trainers` that take part: the share, rounded, and at least one, if there are any.
    pub fn count(&self, trainers: usize) -> usize {
        let share = (self.rate * trainers as f64).round() as usize;
        share.max(1).min(trainers)
    }

    /// The candidates in the order in which they were drawn.
    fn drawn<'a>(&self, draw: Draw, trainers: &'a [ClientInfo]) -> Vec<&'a str> {
        let Draw { seed, round, attempt } = draw;
        let mut random =
            seed::stream(seed, &format!("candidates of round {round} attempt {attempt}"));
        let mut all: Vec<&ClientInfo> = trainers.iter().collect();
        all.sort_by(|left, right| left.id.cmp(&right.id));
        all.dedup_by(|left, right| left.id == right.id);
        // Exponential arrival times with the weights as rates: successive draws with probabilities proportional to the
        // remaining weights (Efraimidis and Spirakis 2006).
        let arrival =
            |info: &ClientInfo, random: f64| -(1.0 - random).ln() / info.num_examples as f64;
        let mut drawn: Vec<(f64, &str)> = all
            .into_iter()
            .map(|info| (arrival(info, random.random()), info.id.as_str()))
            .collect();
        drawn.sort_by(|left, right| left.0.total_cmp(&right.0));
        drawn.truncate(self.candidates.max(self.count(drawn.len())));
        drawn.into_iter().map(|(_, id)| id).collect()
    }

    /// Checks the settings by themselves.
    pub(super) fn check_settings(&self) -> Result<(), FederationError> {
        let wrong = |field, problem| Err(FederationError::Selection { field, problem });
        if !(self.rate > 0.0 && self.rate <= 1.0) {
            return wrong("rate", format!("{} is not above 0 and at most 1", self.rate));
        }
        if self.candidates == 0 {
            return wrong(
                "candidates",
                "0 candidates leave no choice; it must be at least 1".to_owned(),
            );
        }
        Ok(())
    }
}

impl Selection for PowerOfChoice {
    /// [`FederationError::Selection`], also for fewer candidates than clients that take part.
    fn check(&self, trainers: &[ClientInfo]) -> Result<(), FederationError> {
        self.check_settings()?;
        let (candidates, count) = (self.candidates, self.count(trainers.len()));
        match candidates < count {
            true => Err(FederationError::Selection {
                field: "candidates",
                problem: format!(
                    "{candidates}, but {count} of {} clients train in a round; raise it to more than that",
                    trainers.len()
                ),
            }),
            false => Ok(()),
        }
    }

    /// Selects without any known loss.
    fn select(&self, draw: Draw, trainers: &[ClientInfo]) -> Vec<String> {
        self.select_by_loss(draw, trainers, &BTreeMap::new())
    }

    fn select_by_loss(
        &self,
        draw: Draw,
        trainers: &[ClientInfo],
        losses: &BTreeMap<String, f64>,
    ) -> Vec<String> {
        let mut candidates = self.drawn(draw, trainers);
        let loss = |id: &str| losses.get(id).copied().unwrap_or(f64::INFINITY);
        // A stable sort keeps ties in their order.
        candidates.sort_by(|left, right| loss(right).total_cmp(&loss(left)));
        candidates.truncate(self.count(trainers.len()));
        candidates.sort_unstable();
        candidates.into_iter().map(str::to_owned).collect()
    }

    fn wants_losses(&self) -> bool {
        true
    }
}

#[cfg(test)]
mod tests {
    use super::{
        super::testing::{draw, trainers},
        *,
    };

    fn losses(of: impl Fn(usize) -> Option<f64>, count: usize) -> BTreeMap<String, f64> {
        let all = trainers(count).into_iter().enumerate();
        all.filter_map(|(k, info)| Some((info.id, of(k)?))).collect()
    }

    #[test]
    fn of_all_as_candidates_those_with_the_highest_losses_train() {
        let selection = PowerOfChoice { rate: 0.25, candidates: 8 };
        let select = |losses| selection.select_by_loss(draw(1, 4), &trainers(8), &losses);
        assert_eq!(select(losses(|k| Some(k as f64), 8)), ["client-06", "client-07"]);
        assert_eq!(select(losses(|k| Some(-(k as f64)), 8)), ["client-00", "client-01"]);
        // Clients without a known loss come first.
        assert_eq!(select(losses(|k| (k != 3).then_some(k as f64), 8)), ["client-03", "client-07"]);
        let mut reversed = trainers(8);
        reversed.reverse();
        let known = losses(|k| Some((k % 2) as f64), 8);
        assert_eq!(selection.select_by_loss(draw(1, 4), &reversed, &known), select(known));
    }

    #[test]
    fn only_candidates_train() {
        let selection = PowerOfChoice { rate: 0.2, candidates: 5 };
        let (all, known) = (trainers(20), losses(|k| Some(k as f64), 20));
        for round in 0..50 {
            let mut candidates = selection.drawn(draw(2, round), &all);
            assert_eq!(candidates.len(), 5);
            candidates.sort_unstable();
            let selected = selection.select_by_loss(draw(2, round), &all, &known);
            assert_eq!(selected, candidates[1..], "all but the one with the lowest loss");
        }
        let again = Draw { attempt: 1, ..draw(2, 0) };
        assert_ne!(selection.drawn(again, &all), selection.drawn(draw(2, 0), &all));
        assert!(selection.select(draw(2, 0), &[]).is_empty());
    }

    #[test]
    fn candidates_are_drawn_by_their_examples() {
        let mut all = trainers(4);
        for (info, examples) in all.iter_mut().zip([1, 2, 3, 4]) {
            info.num_examples = examples;
        }
        let selection = PowerOfChoice { rate: 0.25, candidates: 1 };
        let mut counts = BTreeMap::<String, usize>::new();
        for round in 0..10_000 {
            let [id] = &selection.select(draw(3, round), &all)[..] else { panic!("one of four") };
            *counts.entry(id.clone()).or_default() += 1;
        }
        // Standard deviations of 30 to 49.
        for (count, expected) in counts.into_values().zip([1_000, 2_000, 3_000, 4_000]) {
            assert!(count.abs_diff(expected) < 200, "{count}, expected {expected}");
        }
    }

    #[test]
    fn too_few_candidates_are_refused() {
        let check = |rate, candidates| PowerOfChoice { rate, candidates }.check(&trainers(20));
        assert!(check(0.25, 5).is_ok() && check(0.25, 50).is_ok());
        let error = check(0.25, 4).unwrap_err().to_string();
        let words = "federation.selection.candidates: 4, but 5 of 20 clients train in a round";
        assert!(error.contains(words), "{error}");
    }
}

//! The pairs of a pass.

use std::collections::BTreeMap;

use rand::seq::SliceRandom;

use crate::PretrainError;

/// Draws the pairs of each pass: every kind of pair with its share.
///
/// Each kind has its own order, which is reshuffled each time that it is exhausted, and a pass continues where the one
/// before ended. So all pairs of a kind are drawn equally often, whatever its share (except for the last, incomplete
/// batch of a pass). The content of a pass depends only on its number, as resumed training requires.
#[derive(Debug, Clone)]
pub(crate) struct Sampler {
    /// Name, pairs, and pairs per pass.
    kinds: Vec<(String, Vec<usize>, usize)>,
    seed: u64,
}

impl Sampler {
    /// `kinds` are the training pairs by kind; `mix` is the share of each in a pass of `per_pass` pairs (0: all pairs).
    /// With an empty mix all pairs have the same weight.
    pub(crate) fn new(
        kinds: BTreeMap<String, Vec<usize>>,
        mix: &BTreeMap<String, f64>,
        per_pass: usize,
        seed: u64,
    ) -> Result<Self, PretrainError> {
        let all: usize = kinds.values().map(Vec::len).sum();
        if all == 0 {
            let problem = "no pair is for training; `split` of some must be \"train\"".into();
            return Err(PretrainError::Config { field: "pairs", problem });
        }
        let per_pass = if per_pass == 0 { all } else { per_pass };
        if mix.is_empty() {
            let pairs = kinds.into_values().flatten().collect();
            return Ok(Self { kinds: vec![("all".into(), pairs, per_pass)], seed });
        }
        if let Some(unknown) = mix.keys().find(|name| !kinds.contains_key(*name)) {
            let known: Vec<_> = kinds.keys().map(String::as_str).collect();
            let problem =
                format!("no training pair is of kind {unknown:?}; there are {}", known.join(", "));
            return Err(PretrainError::Config { field: "mix", problem });
        }
        let total: f64 = mix.values().sum();
        let taken: Vec<_> = kinds
            .into_iter()
            .filter_map(|(name, pairs)| {
                let share = mix.get(&name)? / total;
                Some((name, pairs, (share * per_pass as f64).round() as usize))
            })
            .collect();
        if let Some((name, ..)) = taken.iter().find(|(.., count)| *count == 0) {
            let problem = format!("the share of {name:?} is not one of {per_pass} pairs in a pass");
            return Err(PretrainError::Config { field: "mix", problem });
        }
        Ok(Self { kinds: taken, seed })
    }

    /// Pairs per pass.
    pub(crate) fn per_pass(&self) -> usize {
        self.kinds.iter().map(|(.., count)| count).sum()
    }

    /// The pairs of a pass, shuffled.
    pub(crate) fn pass(&self, pass: u64) -> Vec<usize> {
        let mut order = Vec::with_capacity(self.per_pass());
        for (name, pairs, count) in &self.kinds {
            let mut at = pass as usize * count;
            let end = at + count;
            while at < end {
                let (round, start) = (at / pairs.len(), at % pairs.len());
                let stop = (start + end - at).min(pairs.len());
                let mut shuffled = pairs.clone();
                let label = format!("kind {name} round {round}");
                shuffled.shuffle(&mut flora_core::seed::stream(self.seed, &label));
                order.extend(&shuffled[start..stop]);
                at += stop - start;
            }
        }
        order.shuffle(&mut flora_core::seed::stream(self.seed, &format!("order {pass}")));
        order
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kinds() -> BTreeMap<String, Vec<usize>> {
        [("few".to_owned(), (0..10).collect()), ("many".to_owned(), (10..110).collect())].into()
    }

    #[test]
    fn shares_hold_in_every_pass_and_pairs_of_a_kind_are_taken_equally_often() {
        let mix = [("few".to_owned(), 1.0), ("many".to_owned(), 3.0)].into();
        let sampler = Sampler::new(kinds(), &mix, 100, 7).unwrap();
        let mut taken = [0; 110];
        for pass in 0..4 {
            let order = sampler.pass(pass);
            assert_eq!(order.len(), 100);
            assert_eq!(order.iter().filter(|&&pair| pair < 10).count(), 25, "pass {pass}");
            order.into_iter().for_each(|pair| taken[pair] += 1);
        }
        assert!(taken[..10].iter().all(|&count| count == 10), "{taken:?}");
        assert!(taken[10..].iter().all(|&count| count == 3), "{taken:?}");
        assert_eq!(sampler.pass(2), sampler.pass(2));
        assert_ne!(sampler.pass(2), sampler.pass(3));
    }

    #[test]
    fn without_a_mix_a_pass_takes_every_pair_once() {
        let sampler = Sampler::new(kinds(), &BTreeMap::new(), 0, 7).unwrap();
        let mut order = sampler.pass(5);
        order.sort_unstable();
        assert_eq!(order, (0..110).collect::<Vec<_>>());
    }

    #[test]
    fn a_kind_that_is_not_there_is_named_with_those_that_are() {
        let mix = [("photos".to_owned(), 1.0)].into();
        let error = Sampler::new(kinds(), &mix, 0, 7).unwrap_err().to_string();
        let tiny = [("few".to_owned(), 1e-9), ("many".to_owned(), 1.0)].into();
        assert!(Sampler::new(kinds(), &tiny, 50, 7).unwrap_err().to_string().contains("few"));
        assert!(Sampler::new(BTreeMap::new(), &BTreeMap::new(), 5, 7).is_err());
        assert!(error.contains("photos") && error.contains("few, many"), "{error}");
    }
}

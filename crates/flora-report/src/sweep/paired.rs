//! Rows paired with their baselines: each run with the baseline's run of the same draw and seed.

use std::collections::{BTreeMap, BTreeSet};

use flora_federation::Compared;
use statrs::distribution::{ContinuousCDF, StudentsT};

use super::{Spread, SweepResult, halves::Halves, rows};

/// The confidence level of intervals.
const CONFIDENCE: f64 = 0.95;
/// Smaller differences come from the order of sums.
const SAME: f64 = 1e-9;

/// The accuracy that a run is compared by.
fn accuracy(compared: Compared, result: &SweepResult) -> Option<f64> {
    let run = &result.run;
    match compared {
        Compared::Mean if result.novel.is_some() => Halves::of(result).map(Halves::harmonic_mean),
        Compared::Mean => Some(run.accuracy.last?.mean),
        Compared::Weighted => Some(run.accuracy.last?.weighted),
        Compared::WorstClient => run.clients.iter().map(|it| it.accuracy).reduce(f64::min),
        Compared::OtherClients => rows::mean(run, false),
        Compared::Novel => Some(Halves::of(result)?.novel),
    }
}

/// The difference between the accuracy of a row and that of its baseline: the mean over pairs of the same draw and
/// seed.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Difference {
    /// The mean over the pairs, -1..1.
    pub mean: f64,
    /// Its 95 % confidence interval by Student's t, with one degree of freedom less than the number of pairs. `None`
    /// for a single pair, and if all pairs have the same difference: without randomness, seeds only repeat one result.
    pub interval: Option<(f64, f64)>,
    /// Pairs in which the row is above its baseline.
    pub better: usize,
    /// Pairs in which both are the same.
    pub equal: usize,
    /// Pairs in which it is below.
    pub worse: usize,
    /// The kind of the pairs.
    pub pairs: Pairs,
}

/// The units that are paired.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Pairs {
    /// This number of draws of the partition. The differences of a draw's seeds are averaged first, because they share
    /// its images.
    Draws(usize),
    /// This number of seeds, if there is only one draw.
    Seeds(usize),
}

impl Difference {
    /// `None` if no run of the row has a counterpart, or if they were scored on different images.
    pub(super) fn between(
        row: &[&SweepResult],
        baseline: &[&SweepResult],
        compared: Compared,
    ) -> Option<Self> {
        if rows::scored_on(row)? != rows::scored_on(baseline)? {
            return None;
        }
        let (row, baseline) = (complete(row, compared), complete(baseline, compared));
        let mut by_draw: BTreeMap<Option<u64>, Vec<f64>> = BTreeMap::new();
        for ((draw, seed), accuracy) in row {
            if let Some(other) = baseline.get(&(draw, seed)) {
                by_draw.entry(draw).or_default().push(accuracy - other);
            }
        }
        match by_draw.len() {
            0 => None,
            1 => {
                let seeds = by_draw.into_values().next()?;
                Self::of(&seeds, Pairs::Seeds(seeds.len()))
            }
            draws => {
                let means: Option<Vec<f64>> =
                    by_draw.values().map(|seeds| Some(Spread::of(seeds)?.mean)).collect();
                Self::of(&means?, Pairs::Draws(draws))
            }
        }
    }

    fn of(differences: &[f64], pairs: Pairs) -> Option<Self> {
        let Spread { mean, deviation } = Spread::of(differences)?;
        let count = differences.len() as f64;
        let interval = deviation.filter(|&deviation| deviation > SAME).and_then(|deviation| {
            let t = StudentsT::new(0.0, 1.0, count - 1.0).ok()?;
            let half = t.inverse_cdf(0.5 + CONFIDENCE / 2.0) * deviation / count.sqrt();
            Some((mean - half, mean + half))
        });
        let better = differences.iter().filter(|&&it| it > SAME).count();
        let worse = differences.iter().filter(|&&it| it < -SAME).count();
        let equal = differences.len() - better - worse;
        Some(Self { mean, interval, better, equal, worse, pairs })
    }
}

/// The accuracy of each draw and seed for which all of the row's runs exist: the mean of some of them is not comparable
/// with the mean of all.
fn complete(results: &[&SweepResult], compared: Compared) -> BTreeMap<(Option<u64>, u64), f64> {
    let parts: BTreeSet<usize> = results.iter().map(|result| result.part).collect();
    let mut accuracies: BTreeMap<_, Vec<f64>> = BTreeMap::new();
    for result in results {
        if let Some(accuracy) = accuracy(compared, result) {
            accuracies.entry((result.draw, result.run.seed)).or_default().push(accuracy);
        }
    }
    accuracies.retain(|_, values| values.len() == parts.len());
    let mean = |(key, values): (_, Vec<f64>)| Some((key, Spread::of(&values)?.mean));
    accuracies.into_iter().filter_map(mean).collect()
}

#[cfg(test)]
mod tests {
    use serde::Deserialize;

    use super::super::{Grid, SweepReport, tests};
    use super::*;
    use crate::tables::Page;

    /// What `make_fixture.py` beside it wrote.
    #[derive(Deserialize)]
    struct Case {
        runs: Vec<(usize, Option<u64>, u64, f64)>,
        mean: f64,
        interval: Option<(f64, f64)>,
        better_equal_worse: (usize, usize, usize),
        pairs: (String, usize),
    }

    fn compared() -> Grid {
        let mut grid = tests::list(&["base", "other"]);
        grid.baseline = Some("base".into());
        grid.rows.iter_mut().for_each(|row| row.baseline = Some(0));
        grid
    }

    fn run(row: usize, part: usize, draw: Option<u64>, seed: u64, accuracy: f64) -> SweepResult {
        let run = tests::result(row, part, seed, &[(accuracy, true), (accuracy, true)]);
        SweepResult { draw, ..run }
    }

    fn of_other(results: &[SweepResult]) -> Option<Difference> {
        let rows = rows::rows(&compared(), results);
        assert_eq!(rows[0].difference, None, "the baseline differs in nothing from itself");
        rows[1].difference
    }

    #[test]
    fn intervals_are_those_of_scipy() {
        let fixture = include_str!("../../tests/fixtures/paired/paired.json");
        let cases: Vec<Case> = serde_json::from_str(fixture).unwrap();
        assert_eq!(cases.len(), 8);
        let close = |a: f64, b: f64| assert!((a - b).abs() < 1e-11, "{a} and {b}");
        for case in cases {
            let results: Vec<_> = case
                .runs
                .into_iter()
                .map(|(row, draw, seed, accuracy)| run(row, 0, draw, seed, accuracy))
                .collect();
            let found = of_other(&results).unwrap();
            close(found.mean, case.mean);
            assert_eq!(found.interval.is_some(), case.interval.is_some());
            for (own, theirs) in found.interval.into_iter().zip(case.interval) {
                close(own.0, theirs.0);
                close(own.1, theirs.1);
            }
            assert_eq!((found.better, found.equal, found.worse), case.better_equal_worse);
            let pairs = match found.pairs {
                Pairs::Draws(count) => ("draws".to_owned(), count),
                Pairs::Seeds(count) => ("seeds".to_owned(), count),
            };
            assert_eq!(pairs, case.pairs);
        }
    }

    #[test]
    fn only_counterparts_are_paired() {
        let base = [run(0, 0, Some(1), 0, 0.5), run(0, 0, Some(2), 0, 0.5)];
        // Of the second draw one of two parts is there: no mean of the row yet.
        let parts = [(0, 1, 0.3), (1, 1, 0.9), (0, 2, 0.1)];
        let parts = parts.map(|(part, draw, accuracy)| run(1, part, Some(draw), 0, accuracy));
        let found = of_other(&[base.as_slice(), &parts].concat()).unwrap();
        assert!((found.mean - 0.1).abs() < 1e-12, "{found:?}");
        assert_eq!((found.interval, found.pairs), (None, Pairs::Seeds(1)));
        assert_eq!(of_other(&[base[0].clone(), run(1, 0, Some(3), 0, 0.5)]), None);
        let same = of_other(&[base.as_slice(), &[run(1, 0, Some(2), 0, 0.5)]].concat()).unwrap();
        assert_eq!((same.better, same.equal, same.worse), (0, 1, 0));
    }

    #[test]
    fn rows_that_were_scored_on_other_images_are_named_below_the_table() {
        let base = [run(0, 0, Some(1), 0, 0.5), run(0, 0, Some(2), 0, 0.5)];
        let mut validated = run(1, 0, Some(2), 0, 0.5);
        validated.run.scored_on = "validation".into();
        let results = [base.as_slice(), &[validated]].concat();
        assert_eq!(of_other(&results), None, "other images");
        let grid = compared();
        let report = SweepReport::new(&grid, &results);
        assert!(report.rows()[1].on_other_images && !report.rows()[0].on_other_images);
        let note = "Not compared, because these rows were scored on other images than base: other.";
        for text in [report.overview(Page::Plain), report.markdown(), report.latex()] {
            assert!(text.contains(note), "{text}");
        }
        let narrow = report.overview(Page::Terminal(80));
        assert!(narrow.contains("Not compared, because these rows"), "{narrow}");
        assert!(narrow.lines().all(|line| line.chars().count() <= 80), "{narrow}");
        // Without its counterpart a row waits for it, and nothing is wrong.
        let alone = [base[0].clone(), run(1, 0, Some(3), 0, 0.5)];
        let report = SweepReport::new(&grid, &alone);
        assert!(!report.markdown().contains("Not compared"), "{}", report.markdown());
    }

    #[test]
    fn seeds_that_draw_nothing_have_no_interval() {
        let seeds = |row: usize, draw, accuracies: [f64; 3]| {
            let mut seed = 0..;
            accuracies.map(|accuracy| run(row, 0, draw, seed.next().unwrap(), accuracy))
        };
        let (base, other) = (seeds(0, None, [0.5; 3]), seeds(1, None, [0.6; 3]));
        let found = of_other(&[base, other].concat()).unwrap();
        assert!((found.mean - 0.1).abs() < 1e-12, "{found:?}");
        assert_eq!((found.interval, found.better), (None, 3));
        assert_eq!(found.pairs, Pairs::Seeds(3));
        // Of draws, each is one value, however often a seed repeats it.
        let draws = |accuracies: [f64; 2]| {
            let [first, second] = accuracies;
            let base = [seeds(0, Some(1), [0.5; 3]), seeds(0, Some(2), [0.5; 3])];
            let other = [seeds(1, Some(1), [first; 3]), seeds(1, Some(2), [second; 3])];
            of_other(&[base, other].concat().concat()).unwrap()
        };
        let found = draws([0.6, 0.8]);
        assert_eq!(found.pairs, Pairs::Draws(2));
        let (low, high) = found.interval.unwrap();
        // t of one degree of freedom is 12.706, and s / sqrt(2) is 0.1.
        assert!((low - (0.2 - 1.27062)).abs() < 1e-5 && (high - (0.2 + 1.27062)).abs() < 1e-5);
        assert_eq!(draws([0.6, 0.6]).interval, None);
    }

    #[test]
    fn differences_are_in_points() {
        let (grid, draws) = (compared(), [(1, 0.512), (2, 0.508), (3, 0.4996)]);
        let pair = |(draw, accuracy): (u64, f64)| {
            [run(0, 0, Some(draw), 0, 0.5), run(1, 0, Some(draw), 0, accuracy)]
        };
        let results = draws.map(pair).concat();
        let report = SweepReport::new(&grid, &results);
        let table = "\
## Difference from base, mean, percentage points

|  | difference | 95 % interval | better / equal / worse | pairs |
|---|---:|---:|---:|---:|
| other | +0.7 | -0.9 … +2.2 | 2 / 0 / 1 | 3 draws |
";
        for text in [report.overview(Page::Plain), report.markdown()] {
            assert!(text.contains(table), "{text}");
        }
        assert!(report.markdown().contains("over all seeds of all draws"), "{}", report.markdown());
        assert!(report.latex().contains("-0.9 \\dots{} +2.2"), "{}", report.latex());
    }

    #[test]
    fn from_base_to_novel_the_harmonic_mean_counts() {
        let with = |row: usize, base: f64, novel: f64| {
            let clients = [(base - 0.1, true), (base + 0.1, true), (novel, false)];
            let mut result = tests::result(row, 0, 0, &clients);
            result.run.clients[2].num_examples = 50;
            SweepResult { novel: Some("c2".into()), ..result }
        };
        let results = [with(0, 0.6, 0.3), with(1, 0.5, 0.5)];
        let rows = rows::rows(&compared(), &results);
        let means = |it: Option<Spread>| it.unwrap().mean;
        let close = |a: f64, b: f64| assert!((a - b).abs() < 1e-12, "{a} and {b}");
        close(means(rows[0].base), 0.6);
        close(means(rows[0].novel), 0.3);
        close(means(rows[0].harmonic_mean), 0.4);
        close(rows[1].difference.unwrap().mean, 0.1);
        let compared_by = |by: Compared| {
            let rows = rows::rows(&Grid { compared: by, ..compared() }, &results);
            rows[1].difference.unwrap().mean
        };
        close(compared_by(Compared::Novel), 0.2);
        close(compared_by(Compared::OtherClients), 0.2);
        close(compared_by(Compared::WorstClient), 0.1);
        close(compared_by(Compared::Weighted), 0.0);
        let table = SweepReport::new(&compared(), &results).overview(Page::Plain);
        assert!(table.contains("base to novel, last round (2): harmonic mean"), "{table}");
        assert!(!table.contains("other clients"), "base and novel, which are there: {table}");
        let csv = super::super::csv(&compared(), &results).unwrap();
        let line = csv.lines().nth(1).unwrap();
        assert!(line.contains(",0.6,0.3,0.4,512,"), "{line}");
    }
}

use super::*;
use crate::tables::Page;
use crate::{Accuracies, Accuracy, ClientAccuracy, LocalAccuracy};
use flora_federation::RunStatus;

pub(super) fn result(row: usize, part: usize, seed: u64, clients: &[(f64, bool)]) -> SweepResult {
    let mut run = RunSummary::new("x", RunStatus::Finished, None);
    let mean = clients.iter().map(|(accuracy, _)| accuracy).sum::<f64>() / clients.len() as f64;
    let last = Accuracy { mean, weighted: mean - 0.01, num_clients: clients.len() };
    let best = Accuracy { mean: mean + 0.1, ..last };
    run.accuracy = Accuracies { zero_shot: None, last: Some(last), best: Some(best) };
    run.clients = clients
        .iter()
        .enumerate()
        .map(|(index, &(accuracy, trained))| ClientAccuracy {
            client: format!("c{index}"),
            accuracy,
            num_examples: 10,
            trained,
        })
        .collect();
    run.trainers = clients.iter().filter(|(_, trained)| *trained).count();
    (run.seed, run.last_round, run.best_round) = (seed, Some(2), Some(1));
    (run.replies, run.bytes_up) = (run.trainers as u64, 2048 * run.trainers as u64);
    run.bytes_down = 3072 * run.trainers as u64;
    run.aggregation_error = Some(0.125);
    run.trainable_parameters = 512;
    run.seconds.training = 3.0;
    (run.seconds.aggregation, run.seconds.data) = (0.25, 0.5);
    run.peak_memory_bytes = Some(100 << 20);
    SweepResult { row, part, draw: None, novel: None, run }
}

pub(super) fn list(names: &[&str]) -> Grid {
    let row = |name: &&str| GridRow { name: (*name).to_owned(), ..GridRow::default() };
    Grid { title: "a_b".into(), rows: names.iter().map(row).collect(), ..Grid::default() }
}

/// Two methods by three ranks; one combination is left out.
fn grid() -> Grid {
    let axis = |name: &str, values: &[&str]| Axis {
        name: name.into(),
        values: values.iter().map(|&value| value.to_owned()).collect(),
    };
    let row = |name: &str, values: [usize; 2], baseline| GridRow {
        name: name.into(),
        values: values.into(),
        baseline,
    };
    Grid {
        title: "grid".into(),
        axes: vec![axis("method", &["FLoRA", "FedFFT"]), axis("rank", &["1", "2", "16"])],
        rows: vec![
            row("FLoRA, rank 1", [0, 0], Some(0)),
            row("FLoRA, rank 2", [0, 1], Some(1)),
            row("FLoRA, rank 16", [0, 2], Some(2)),
            row("FedFFT, rank 1", [1, 0], Some(0)),
            row("FedFFT, rank 16", [1, 2], Some(2)),
        ],
        baseline: Some("FLoRA".into()),
        ..Grid::default()
    }
}

fn close(spread: Option<Spread>, mean: f64, deviation: Option<f64>) {
    let spread = spread.unwrap();
    assert!((spread.mean - mean).abs() < 1e-12, "{spread:?}");
    match (spread.deviation, deviation) {
        (Some(a), Some(b)) => assert!((a - b).abs() < 1e-12, "{spread:?}"),
        (a, b) => assert_eq!(a, b),
    }
}

#[test]
fn parts_are_averaged_before_seeds_are_spread() {
    let grid = list(&["together", "alone", "never run", "central"]);
    let mut results = [
        result(0, 0, 1, &[(0.4, true), (0.6, true)]),
        result(0, 0, 2, &[(0.6, true), (0.8, true)]),
        result(1, 0, 1, &[(0.5, true), (0.1, false)]),
        result(1, 1, 1, &[(0.3, false), (0.7, true)]),
        result(3, 0, 1, &[(0.5, false), (0.7, false)]),
    ];
    let local = LocalAccuracy { round: 2, mean: 0.9, weighted: 0.8, worst: 0.7, num_clients: 2 };
    results[0].run.local = Some(local);
    let rows = rows(&grid, &results);
    assert_eq!(rows.iter().map(|row| row.row).collect::<Vec<_>>(), [0, 1, 3]);
    assert_eq!((rows[2].trained, rows[2].others), (None, None));
    close(rows[0].accuracy, 0.6, Some(0.02f64.sqrt()));
    close(rows[0].weighted, 0.59, Some(0.02f64.sqrt()));
    close(rows[0].best, 0.7, Some(0.02f64.sqrt()));
    close(rows[0].local, 0.9, None);
    close(rows[0].trained, 0.6, Some(0.02f64.sqrt()));
    assert_eq!((rows[0].others, rows[0].bytes, rows[0].runs), (None, Some(2048), 2));
    close(rows[1].accuracy, 0.4, None);
    close(rows[1].trained, 0.6, None);
    close(rows[1].others, 0.2, None);
    close(rows[1].worst, 0.2, None);
    close(rows[1].seconds, 1.5, None);
    assert_eq!(rows[1].bytes, None, "one client trains alone");
    assert_eq!(rows[2].trainable_parameters, None, "nobody trains");
    assert_eq!(rows[2].total_seconds, None, "nobody trains");

    let report = SweepReport::new(&grid, &results);
    let table = report.overview(Page::Plain);
    let heading = "|  | global model, last round (2): mean | global model, last round (2): weighted | \
                   global model, last round (2): worst client | global model, last round (2): own \
                   clients | global model, last round (2): other clients | global model, best round: \
                   mean | local models, last round: mean | runs |";
    assert_eq!(table.lines().nth(2).unwrap(), heading);
    let row = "| together | 60.0 ± 14.1 | 59.0 ± 14.1 | 50.0 ± 14.1 | 60.0 ± 14.1 | – | 70.0 ± 14.1 \
               | 90.0 | 2 |";
    assert!(table.contains(row), "{table}");
    assert!(
        table.contains("| alone | 40.0 | 39.0 | 20.0 | 60.0 | 20.0 | 50.0 | – | 2 |"),
        "{table}"
    );
    assert!(table.contains("| together | 2.00 KiB | 1.50 ± 0.00 |"), "{table}");
    assert!(table.contains("| alone | – | 1.50 |"), "{table}");
    let row = "| together | 512 | 2.00 KiB | 3.00 KiB | 12.5 ± 0.0 % | 3.25 ± 0.00 | 0.50 ± 0.00 | 100 ± 0 |";
    assert!(table.contains(row), "{table}");
    assert!(table.contains("| alone | 512 | – | – | 12.5 % | 3.25 | 0.50 | 100 |"), "{table}");
    assert!(!report.markdown().contains("Ratios"));
    let narrow = report.overview(Page::Terminal(80));
    assert!(narrow.lines().all(|line| line.chars().count() <= 80), "{narrow}");
    assert!(narrow.contains("60.0 ± 14.1") && !narrow.contains('|'), "{narrow}");

    let csv = csv(&grid, &results).unwrap();
    assert_eq!(csv.lines().count(), 1 + 5 * 2);
    assert!(
        csv.contains(
            "alone,1,1,,2,test,c1,true,0.7,,10,,0.5,0.49,1,0.6,0.49,,,,,,,512,2048,3072,,,0.125,,0.500,0.250,3.000,1.500"
        ),
        "{csv}"
    );
    assert!(csv.contains(",2,0.9,0.8,,,,512,"), "{csv}");
}

#[test]
fn ratios_are_to_the_baseline_of_each_row() {
    let both = [(0.5, true), (0.7, true)];
    let grid = grid();
    let mut results: Vec<_> = (0..5).map(|row| result(row, 0, 0, &both)).collect();
    for (row, factor) in [(3, 50), (4, 20)] {
        let run = &mut results[row].run;
        run.bytes_up *= factor;
        run.seconds.training *= 7.0;
        run.peak_memory_bytes = Some(250 << 20);
    }
    let report = SweepReport::new(&grid, &results);
    let relative: Vec<_> = report.rows().iter().map(|row| row.relative.bytes).collect();
    assert_eq!(relative, [1.0, 1.0, 1.0, 50.0, 20.0].map(Some));
    assert_eq!(report.rows()[3].relative.seconds, Some(7.0));
    assert_eq!(report.rows()[4].relative.memory, Some(2.5));
    let table = report.markdown();
    assert!(table.contains("| FedFFT, rank 16 | 40.0 KiB | 20.0× | 10.5 | 7.00× |"), "{table}");
    let run = "| FedFFT, rank 16 | 512 | 40.0 KiB | 20.0× | 3.00 KiB | 12.5 % | 21.2 | 6.54× | 0.50 | 250 | 2.50× |";
    assert!(table.contains(run), "{table}");
    assert!(table.contains("Ratios are relative to FLoRA; "), "{table}");
    // Without the baseline's run there is nothing to compare with.
    let partial = SweepReport::new(&grid, &results[1..]);
    assert_eq!(
        partial.rows().iter().find(|row| row.row == 3).unwrap().relative,
        Relative::default()
    );
}

#[test]
fn the_last_axis_goes_from_left_to_right() {
    let grid = grid();
    let at = |row: usize, accuracy: f64| result(row, 0, 0, &[(accuracy, true), (accuracy, true)]);
    let results = [at(0, 0.1), at(1, 0.2), at(2, 0.3), at(3, 0.4), at(4, 0.5)];
    let report = SweepReport::new(&grid, &results);
    let table = report.markdown();
    let pivot = "\
## Accuracy of the global model, last round (2), mean over clients, %

| method | rank: 1 | rank: 2 | rank: 16 |
|---|---:|---:|---:|
| FLoRA | 10.0 | 20.0 | 30.0 |
| FedFFT | 40.0 | – | 50.0 |
";
    assert!(table.contains(pivot), "{table}");
    let latex = report.latex();
    assert!(
        latex.contains("method & 1 & 2 & 16 \\\\\n\\midrule\nFLoRA & 10.0 & 20.0 & 30.0 \\\\"),
        "{latex}"
    );
    assert!(latex.contains("FedFFT & 40.0 & -- & 50.0"), "{latex}");
    assert_eq!(latex.matches("\\begin{table}").count(), latex.matches("\\end{table}").count());
    assert!(latex.starts_with("% grid: "), "{latex}");

    let csv = csv(&grid, &results).unwrap();
    assert!(csv.starts_with("row,axis.method,axis.rank,part,seed,"), "{csv}");
    assert!(csv.contains("\"FedFFT, rank 16\",FedFFT,16,0,0,,2,test,c0,true,0.5,,10,"), "{csv}");
}

#[test]
fn runs_are_spread_over_draws_and_seeds_and_say_what_they_are_scored_on() {
    let at = |draw: u64, seed: u64, accuracy: f64, rounds: usize| {
        let mut result = result(0, 0, seed, &[(accuracy, true), (accuracy, true)]);
        result.draw = Some(draw);
        result.run.scored_on = "validation".into();
        result.run.last_round = Some(rounds);
        result
    };
    let grid = list(&["one", "two"]);
    let mut results = vec![at(0, 0, 0.4, 5), at(0, 1, 0.5, 3), at(7, 0, 0.6, 4), at(7, 1, 0.9, 4)];
    let row = &rows(&grid, &results)[0];
    close(row.accuracy, 0.6, Some(0.14f64.sqrt() / 3f64.sqrt()));
    assert_eq!((row.draws, row.seeds, row.runs, row.rounds), (2, 4, 4, Some((3, 5))));
    let text = SweepReport::new(&grid, &results).markdown();
    let heading = "|  | global model, last round, validation images: mean |";
    assert!(text.contains(heading) && text.contains("| 3 … 5 | 4 |"), "{text}");
    assert!(text.contains("All accuracies are on the validation images"), "{text}");
    let csv = csv(&grid, &results).unwrap();
    assert!(csv.contains("\none,0,1,7,4,validation,c0,"), "{csv}");
    // One table of both kinds says so by row.
    results.push(result(1, 0, 0, &[(0.5, true), (0.5, true)]));
    let text = SweepReport::new(&grid, &results).markdown();
    assert!(text.contains("| global model, last round: mean |"), "{text}");
    assert!(text.contains("| scored on | rounds | runs |"), "{text}");
    assert!(text.contains("| test | 2 | 1 |") && text.contains("| validation | 3 … 5 |"), "{text}");
}

#[test]
fn the_most_that_runs_spent_is_a_column() {
    let both = [(0.5, true), (0.7, true)];
    let mut results = [result(0, 0, 0, &both), result(0, 0, 1, &both), result(1, 0, 0, &both)];
    let grid = list(&["hidden", "plain"]);
    assert!(!SweepReport::new(&grid, &results).markdown().to_lowercase().contains("epsilon"));
    (results[0].run.epsilon, results[1].run.epsilon) = (Some(2.9), Some(3.0));
    let text = SweepReport::new(&grid, &results).markdown();
    assert!(text.contains("| privacy: epsilon |") && text.contains("| 3.0000 |"), "{text}");
    assert!(text.contains("Epsilon is the largest privacy budget that a run spent"), "{text}");
}

#[test]
fn rounds_are_told_where_they_differ() {
    let both = [(0.5, true), (0.7, true)];
    let mut results = [result(0, 0, 0, &both), result(1, 0, 0, &both)];
    results[0].run.last_round = Some(0);
    let grid = list(&["zero-shot", "trained"]);
    let table = SweepReport::new(&grid, &results).overview(Page::Plain);
    assert!(table.contains("| global model, last round: mean |"), "{table}");
    assert!(table.lines().nth(2).unwrap().ends_with("| rounds | runs |"), "{table}");
    assert!(table.lines().nth(4).unwrap().ends_with("| 0 | 1 |"), "{table}");
    let empty = SweepReport::new(&grid, &[]);
    assert!(empty.markdown().contains("No run has finished yet"), "{}", empty.markdown());
    assert!(empty.overview(Page::Plain).trim().is_empty());
}

#[test]
fn a_figure_has_a_series_for_each_combination_of_the_other_axes() {
    let grid = grid();
    let at = |row: usize, accuracy: f64| result(row, 0, 0, &[(accuracy, true), (accuracy, true)]);
    let spec = FigureSpec { title: "Ranks".into(), x: 1 };
    let draw = |results: &[SweepResult]| SweepReport::new(&grid, results).figure(&spec).unwrap();
    assert_eq!(draw(&[]), None);
    let one = draw(&[at(0, 0.1), at(2, 0.3)]).unwrap();
    let two = draw(&[at(0, 0.1), at(2, 0.3), at(4, 0.2)]).unwrap();
    assert_eq!(one.size(), two.size(), "the legend names both series from the start");
    assert_eq!((one.marks(), two.marks()), (2, 3));
    assert_ne!(one, two);
    let error = SweepReport::new(&grid, &[]).figure(&FigureSpec { x: 2, ..spec.clone() });
    assert!(error.unwrap_err().to_string().contains("no axis 2"));
    let axis = |name: &str, values: usize| Axis {
        name: name.into(),
        values: (0..values).map(|value| value.to_string()).collect(),
    };
    let row = |index: usize| GridRow { values: vec![index, 0], ..GridRow::default() };
    let rows = (0..169).map(row).collect();
    let many = Grid { axes: vec![axis("a", 169), axis("b", 1)], rows, ..Grid::default() };
    let error = SweepReport::new(&many, &[]).figure(&spec).unwrap_err();
    assert!(error.to_string().contains("169 series"), "told before any run: {error}");
}

#[test]
fn own_models_are_never_taken_for_a_global_one() {
    let grid = grid();
    let mut own = result(3, 0, 1, &[(0.2, true), (0.4, true)]);
    own.run.model = flora_federation::EvaluatedModel::Own;
    let results = [result(0, 0, 1, &[(0.4, true), (0.6, true)]), own];
    let rows = rows(&grid, &results);
    let row = &rows[1];
    assert_eq!((row.accuracy, row.weighted, row.worst, row.best), (None, None, None, None));
    close(row.own, 0.3, None);
    close(row.local, 0.3, None);
    assert_eq!(rows[0].own, None);
    let markdown = SweepReport::new(&grid, &results).markdown();
    assert!(markdown.contains("30.0 †") && markdown.contains("own models"), "{markdown}");
    let csv = csv(&grid, &results).unwrap();
    assert!(csv.contains(",c0,true,,0.2,10,"), "{csv}");
    assert!(csv.contains(",c0,true,0.4,,10,"), "{csv}");
}

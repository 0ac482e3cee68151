//! What the terminal shows.

use flora_federation::{AGGREGATION_ERROR, ClientScore, EvaluatedModel, Event, Metrics, RunStatus};
use flora_report::tables::{self, Page};
use flora_report::{Accuracies, Accuracy, ClientTally, RunSeconds, RunSummary};

fn evaluated(round: usize, model: EvaluatedModel, scores: &[(String, f64)]) -> Event {
    let accuracy = scores.iter().map(|(_, accuracy)| accuracy).sum::<f64>() / scores.len() as f64;
    Event::Evaluated {
        round,
        model,
        accuracy,
        accuracy_weighted: accuracy + 0.01,
        loss: None,
        clients: scores
            .iter()
            .map(|(client, accuracy)| ClientScore {
                client: client.clone(),
                accuracy: *accuracy,
                loss: None,
                num_examples: 10,
            })
            .collect(),
        seconds: 0.1,
    }
}

fn aggregated(round: usize, clients: u64) -> Event {
    Event::Aggregated {
        round,
        strategy: "fedavg".to_owned(),
        replies: clients as usize,
        bytes_up: 98_304 * clients,
        bytes_down: 98_304 * clients,
        seconds: 0.01,
        metrics: Metrics::new(),
    }
}

fn run(names: &[&str], rounds: usize, local: bool) -> Vec<Event> {
    let scores = |round: usize| -> Vec<_> {
        let accuracy = |k: usize| 0.1 + 0.05 * k as f64 + 0.02 * round as f64;
        names.iter().enumerate().map(|(k, name)| (name.to_string(), accuracy(k))).collect()
    };
    let mut events = Vec::new();
    for round in 0..rounds {
        events.push(evaluated(round, EvaluatedModel::Global, &scores(round)));
        if local {
            events.push(evaluated(round + 1, EvaluatedModel::Local, &scores(round + 9)));
        }
        events.push(aggregated(round, names.len() as u64));
    }
    events.push(evaluated(rounds, EvaluatedModel::Global, &scores(rounds)));
    events
}

fn widest(text: &str) -> usize {
    text.lines().map(|line| line.chars().count()).max().unwrap_or(0)
}

#[test]
fn the_aggregation_error_has_a_column_where_factors_are_averaged() {
    let mut events = run(&["noto", "fluent"], 2, false);
    let mut errors = [0.125, 3e-9].into_iter();
    for event in &mut events {
        if let Event::Aggregated { metrics, .. } = event {
            metrics.extend(errors.next().map(|error| (AGGREGATION_ERROR.to_owned(), error)));
        }
    }
    assert_eq!(
        tables::rounds(&events, Page::Terminal(100)),
        "\
round  global  weighted  fluent  noto  agg. err       up     down
─────────────────────────────────────────────────────────────────
    0    12.5      13.5    15.0  10.0         -      0 B      0 B
    1    14.5      15.5    17.0  12.0    12.5 %  192 KiB  192 KiB
    2    16.5      17.5    19.0  14.0      3e-9  384 KiB  384 KiB"
    );
    let mut tally = ClientTally::default();
    events.iter().for_each(|event| tally.hear(event));
    let mut summary = RunSummary::new("x", RunStatus::Finished, None);
    summary.tell_clients(tally);
    assert_eq!(summary.aggregation_error, Some((0.125 + 3e-9) / 2.0));
}

#[test]
fn a_row_a_round_with_a_column_for_each_of_few_clients() {
    let table = tables::rounds(
        &run(&["noto", "openmoji", "twemoji", "fluent"], 2, true),
        Page::Terminal(100),
    );
    assert_eq!(
        table,
        "\
round  global  weighted  fluent  noto  openmoji  twemoji  local       up     down
─────────────────────────────────────────────────────────────────────────────────
    0    17.5      18.5    25.0  10.0      15.0     20.0      -      0 B      0 B
    1    19.5      20.5    27.0  12.0      17.0     22.0   35.5  384 KiB  384 KiB
    2    21.5      22.5    29.0  14.0      19.0     24.0   37.5  768 KiB  768 KiB"
    );
}

#[test]
fn many_clients_are_their_spread() {
    let names: Vec<String> = (0..10).map(|k| format!("client-{k:02}")).collect();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    let table = tables::rounds(&run(&names, 1, false), Page::Terminal(80));
    let lines: Vec<&str> = table.lines().collect();
    assert_eq!(
        lines[0].split_whitespace().collect::<Vec<_>>(),
        ["round", "global", "weighted", "min", "median", "max", "up", "down"]
    );
    assert_eq!(
        lines[3].split_whitespace().collect::<Vec<_>>(),
        ["1", "34.5", "35.5", "12.0", "34.5", "57.0", "960", "KiB", "960", "KiB"]
    );
}

#[test]
fn a_client_that_could_not_be_asked_is_a_dash() {
    let mut events = run(&["a", "b"], 1, false);
    events.push(evaluated(2, EvaluatedModel::Global, &[("b".to_owned(), 0.5)]));
    let table = tables::rounds(&events, Page::Terminal(80));
    let last: Vec<_> = table.lines().last().unwrap().split_whitespace().collect();
    assert_eq!(last[..5], ["2", "50.0", "51.0", "-", "50.0"]);
}

#[test]
fn rounds_fit_a_terminal() {
    for (count, width) in (1..=12).flat_map(|count| [(count, 80), (count, 100)]) {
        for name in ["c", "client-", "a-rather-long-client-name-"] {
            let names: Vec<String> = (0..count).map(|k| format!("{name}{k}")).collect();
            let names: Vec<&str> = names.iter().map(String::as_str).collect();
            let table = tables::rounds(&run(&names, 30, true), Page::Terminal(width));
            assert!(widest(&table) <= width, "{count} clients, {width} columns:\n{table}");
            let plain = tables::rounds(&run(&names, 30, true), Page::Plain);
            assert_eq!(plain.lines().count(), 32);
            let has_names = count <= 8;
            assert_eq!(names.iter().all(|name| plain.contains(name)), has_names, "{plain}");
        }
    }
    assert!(tables::rounds(&[], Page::Terminal(80)).starts_with("round"));
}

#[test]
fn a_summary_tells_all_of_a_run() {
    let accuracy = |mean| Some(Accuracy { mean, weighted: mean + 0.01, num_clients: 4 });
    let mut run = RunSummary::new("quickstart", RunStatus::Finished, None);
    run.last_round = Some(10);
    run.best_round = Some(8);
    run.accuracy =
        Accuracies { zero_shot: accuracy(0.147), last: accuracy(0.27), best: accuracy(0.281) };
    run.bytes_up = 40 * 98_304;
    run.bytes_down = 40 * 98_304;
    run.seconds = RunSeconds {
        data: 1.5,
        training: 62.0,
        aggregation: 0.02,
        evaluation: 4.25,
        saving: 0.5,
        total: 68.4,
    };
    run.peak_memory_bytes = Some(512 << 20);
    run.trainable_parameters = 24_576;
    run.total_parameters = 151_277_313;
    run.device = "flex".to_owned();
    run.seed = 7;
    let text = tables::summary(&run, Page::Terminal(80));
    assert_eq!(
        text,
        "\
quickstart: finished

accuracy %       mean  weighted
───────────────────────────────
start (round 0)  14.7      15.7
last (round 10)  27.0      28.0
best (round 8)   28.1      29.1

trained  24,576 of 151,277,313 (0.016 %)
sent     3.75 MiB up, 3.75 MiB down
time     1 min 08 s (data 1.50 s, training 1 min 02 s, aggregation 0.02 s,
         evaluation 4.25 s, saving 0.50 s)
memory   512 MiB at its peak
device   flex, seed 7
note     the last round (27.0 %) is below the best (28.1 % after round 8)
"
    );
    assert!(widest(&text) <= 80);

    run.rounds = Some(50);
    run.stopped_early = Some(10);
    let text = tables::summary(&run, Page::Terminal(80));
    let head = "quickstart: finished early, after 10 of 50 rounds (training.patience)\n";
    assert!(text.starts_with(head), "{text}");

    let mut failed = RunSummary::new("quickstart", RunStatus::Failed, None);
    failed.error = Some("round 3 failed during training: no client trained".to_owned());
    let text = tables::summary(&failed, Page::Terminal(80));
    assert!(text.starts_with("quickstart: failed: round 3 failed during training"), "{text}");
    assert!(text.contains("this system does not report it"), "{text}");
}

#[test]
fn a_verdict_says_what_is_wrong_with_the_last_round() {
    let mut run = RunSummary::new("quickstart", RunStatus::Finished, None);
    assert_eq!(run.verdict(), None);
    let accuracy = |mean| Some(Accuracy { mean, weighted: 0.0, num_clients: 4 });
    let mut verdict = |start, last, best, round, saved| {
        run.accuracy =
            Accuracies { zero_shot: accuracy(start), last: accuracy(last), best: accuracy(best) };
        (run.best_round, run.best_saved) = (Some(round), saved);
        run.verdict()
    };
    // As good as the best, to the digits that are shown.
    assert_eq!(verdict(0.3, 0.41, 0.41, 10, true), None);
    assert_eq!(verdict(0.3, 0.4101, 0.4104, 7, true), None);
    assert_eq!(
        verdict(0.3, 0.411, 0.43, 7, true).unwrap(),
        "the last round (41.1 %) is below the best (43.0 % after round 7); best/ holds the parameters of that round"
    );
    assert_eq!(
        verdict(0.3, 0.25, 0.3, 0, false).unwrap(),
        "the last round (25.0 %) is below round 0 (30.0 %): training has not helped; try a smaller learning rate"
    );
    assert_eq!(
        verdict(0.3, 0.25, 0.32, 2, false).unwrap(),
        "the last round (25.0 %) is below round 0 (30.0 %): training for so long has not helped; \
         the best was 32.0 % after round 2"
    );
    // Without steps, no learning rate would help; and who leaves takes along what was learned of them.
    run.accuracy.best = accuracy(0.3);
    (run.best_round, run.method) = (Some(0), Some("lda".to_owned()));
    assert_eq!(
        run.verdict().unwrap(),
        "the last round (25.0 %) is below round 0 (30.0 %): the classifier has not helped; try a smaller \
         method.closed_form.weight"
    );
    run.leaving = true;
    assert_eq!(run.verdict(), None);
    run.leaving = false;
    // A mean over fewer clients is of something else.
    run.accuracy.last = Some(Accuracy { mean: 0.25, weighted: 0.0, num_clients: 3 });
    assert_eq!(run.verdict(), None);
}

#[test]
fn a_run_that_was_asked_to_stop_is_told_apart_from_one_that_failed() {
    let mut run = RunSummary::new("quickstart", RunStatus::Interrupted, None);
    assert!(tables::summary(&run, Page::Terminal(80)).starts_with("quickstart: interrupted\n"));
    run.error = Some("stopped after round 3".to_owned());
    assert!(
        tables::summary(&run, Page::Terminal(80))
            .starts_with("quickstart: interrupted: stopped after round 3\n")
    );
}

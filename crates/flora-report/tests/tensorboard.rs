//! A run with event files, interrupted and resumed. It stays in `target/tmp/tensorboard-run`, where
//! `fixtures/tensorboard/check.py` reads it with TensorBoard itself.

use std::{fs, path::Path};

use flora_federation::{ClientScore, EvaluatedModel, Event, Metrics};
use flora_report::{EventsMark, Existing, RunFolder, TensorBoard};

/// What is told of a round that leads to the evaluation `round`.
fn events(round: usize, session: f64) -> Vec<Event> {
    let accuracy = 0.1 * round as f64 + session;
    let clients = ["noto", "global", "idle"].map(|client| ClientScore {
        client: client.to_owned(),
        accuracy,
        loss: None,
        num_examples: if client == "idle" { 0 } else { 7 },
    });
    let evaluated = |model| Event::Evaluated {
        round,
        model,
        accuracy,
        accuracy_weighted: accuracy / 3.0,
        loss: (round != 1).then_some(2.0 / (1.0 + accuracy)),
        clients: clients.to_vec(),
        seconds: 0.25,
    };
    let mut events = Vec::new();
    if let Some(trained) = round.checked_sub(1) {
        events.push(Event::RoundStarted { round: trained, selected: vec!["noto".to_owned()] });
        events.push(evaluated(EvaluatedModel::Local));
        let loss = if round == 2 { f64::NAN } else { 1.0 / round as f64 };
        events.push(Event::Aggregated {
            round: trained,
            strategy: "fedavg".to_owned(),
            replies: 1,
            bytes_up: 98_304,
            bytes_down: 196_608,
            seconds: 0.001,
            metrics: Metrics::from([("loss".to_owned(), loss)]),
        });
    }
    events.push(evaluated(EvaluatedModel::Global));
    events
}

/// Runs these rounds; the mark is that of the end of round 2.
fn run(
    folder: &RunFolder,
    board: &mut TensorBoard,
    rounds: std::ops::Range<usize>,
    session: f64,
) -> Option<EventsMark> {
    let mut mark = None;
    for round in rounds {
        for event in events(round, session) {
            folder.record(&event).unwrap();
            board.hear(&event).unwrap();
        }
        if round == 2 {
            mark = Some(folder.mark().unwrap());
        }
    }
    mark
}

#[test]
fn a_run_that_goes_on_leaves_files_that_tensorboard_reads_as_one_run() {
    let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join("tensorboard-run");
    let folder = RunFolder::create(&path, Existing::ReplaceRun, "").unwrap();
    let mut board = TensorBoard::create(&path, None).unwrap();
    // Killed after round 4; the last state is that of round 2.
    let mark = run(&folder, &mut board, 0..5, 0.0).unwrap();
    drop((folder, board));

    let folder = RunFolder::resume(&path, &mark).unwrap();
    let mut board = TensorBoard::create(&path, Some(3)).unwrap();
    run(&folder, &mut board, 3..7, 0.05);
    let files = fs::read_dir(path.join("tensorboard")).unwrap();
    assert_eq!(
        files.filter(|file| file.as_ref().unwrap().metadata().unwrap().len() > 0).count(),
        2
    );
}

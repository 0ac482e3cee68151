//! The round loop over a simulated fleet.

mod support;

use flora_federation::{
    Client, ClientSelector, EvaluatedModel, Event, FedAvg, FederationError, Outcome,
    ParameterRecord, Rounds, RoundsConfig, Share, Simulation, Stage,
};
use support::{Fault, Pull, names, record, w};

fn config(rounds: usize) -> RoundsConfig {
    RoundsConfig { rounds, seed: 1, evaluate_local: true, ..RoundsConfig::default() }
}

fn run(
    clients: Vec<Box<dyn Client>>,
    threads: usize,
    config: &RoundsConfig,
) -> (Result<Outcome, FederationError>, Vec<Event>) {
    run_with(clients, threads, config, 1.0)
}

fn run_with(
    clients: Vec<Box<dyn Client>>,
    threads: usize,
    config: &RoundsConfig,
    fraction: f64,
) -> (Result<Outcome, FederationError>, Vec<Event>) {
    let mut fleet = Simulation::new(clients, threads).unwrap();
    let selection = ClientSelector { fraction, min_clients: 1 };
    let mut events = Vec::new();
    let result = Rounds::new(config).with_selection(&selection).run(
        &mut fleet,
        &mut FedAvg,
        record([0.0, 0.0]),
        &mut |event: &Event| events.push(event.clone()),
    );
    (result, events)
}

fn three(fault: Fault) -> Vec<Box<dyn Client>> {
    vec![
        Pull::new("a", [1.0, 0.5], 10).boxed(),
        Pull::new("b", [0.8, 0.1], 30).boxed(),
        Pull::new("c", [1.3, 0.7], 20).with(fault).boxed(),
    ]
}

#[test]
fn every_round_is_evaluated_then_trained_and_the_last_is_evaluated_too() {
    let (outcome, events) = run(three(Fault::None), 2, &config(2));
    let outcome = outcome.unwrap();
    let round = [
        "evaluated",
        "round_started",
        "client_replied",
        "client_replied",
        "client_replied",
        "evaluated",
        "aggregated",
    ];
    let phases =
        ["evaluated", "phase_finished", "phase_finished", "phase_finished", "phase_finished"];
    assert_eq!(names(&events), [&round[..], &round[..], &phases[..]].concat());

    let rounds: Vec<_> = events
        .iter()
        .filter_map(|event| match event {
            Event::Evaluated { round, model, .. } => Some((*round, *model)),
            _ => None,
        })
        .collect();
    use EvaluatedModel::{Global, Local};
    assert_eq!(rounds, [(0, Global), (1, Local), (1, Global), (2, Local), (2, Global)]);

    let rounds: Vec<_> = outcome.history.iter().map(|score| score.round).collect();
    assert_eq!(rounds, [0, 1, 2]);
    assert_eq!(outcome.initial, outcome.history[0]);
    assert_eq!(outcome.last_round, outcome.history[2]);
    assert_eq!(outcome.best_round, outcome.last_round);
    assert!(outcome.last_round.accuracy > outcome.initial.accuracy);
    assert_eq!(outcome.best, outcome.last);
    assert_eq!(outcome.initial.loss, Some(1.5));
}

#[test]
fn round_zero_is_exactly_the_initial_parameters() {
    let (outcome, events) = run(three(Fault::None), 1, &config(0));
    let outcome = outcome.unwrap();
    assert_eq!(w(&outcome.last), [0.0, 0.0]);
    assert_eq!((outcome.bytes_up, outcome.bytes_down), (0, 0));
    let distances = [1.0_f64.hypot(0.5), 0.8_f64.hypot(0.1), 1.3_f64.hypot(0.7)];
    let accuracy = distances.map(|distance| 1.0 / (1.0 + distance)).iter().sum::<f64>() / 3.0;
    assert!((outcome.initial.accuracy - accuracy).abs() < 1e-6);
    // The evaluation, and the four phases.
    assert_eq!(events.len(), 5);
}

#[test]
fn bytes_are_values_times_clients() {
    let (outcome, events) = run_with(three(Fault::FitFails(2)), 2, &config(4), 0.67);
    let outcome = outcome.unwrap();
    // Two of three clients in each of four rounds, 8 bytes each; failures sent nothing.
    assert_eq!(outcome.bytes_down, 4 * 2 * 8);
    let failures = names(&events).iter().filter(|name| *name == "client_failed").count() as u64;
    assert_eq!(outcome.bytes_up, (8 - failures) * 8);
    let told: (u64, u64) = events.iter().fold((0, 0), |(up, down), event| match event {
        Event::Aggregated { bytes_up, bytes_down, .. } => (up + bytes_up, down + bytes_down),
        _ => (up, down),
    });
    assert_eq!(told, (outcome.bytes_up, outcome.bytes_down));
}

#[test]
fn the_number_of_threads_does_not_change_a_bit() {
    let run_on = |threads| {
        let clients = (0..8)
            .map(|k| {
                let target = [(k as f32).sin(), (k as f32 * 1.7).cos()];
                Pull::new(&format!("c{k}"), target, 5 + k).boxed()
            })
            .collect();
        let outcome = run_with(clients, threads, &config(5), 0.5).0.unwrap();
        (outcome.last.to_safetensors(), outcome.best.to_safetensors(), outcome.history)
    };
    let one = run_on(1);
    assert_eq!(run_on(1), one);
    assert_eq!(run_on(2), one);
    assert_eq!(run_on(4), one);
}

#[test]
fn one_bad_client_does_not_stop_the_others() {
    for (fault, message) in [
        (Fault::FitFails(0), "the disk is full"),
        (Fault::FitPanics(0), "it panicked: index 20 is out of bounds"),
        (Fault::SendsNan(0), "tensor `w` holds NaN"),
        (Fault::EvaluateFails(0), "the disk is full"),
        (Fault::LossIsNan(0), "loss = NaN: the model's outputs are no longer finite"),
    ] {
        let (outcome, events) = run(three(fault), 2, &config(1));
        let tests_fail = matches!(fault, Fault::EvaluateFails(_) | Fault::LossIsNan(_));
        assert!(
            events.iter().any(|event| matches!(
                event,
                Event::ClientFailed { client, message: told, .. }
                    if client == "c" && told.contains(message)
            )),
            "{message}: {events:?}"
        );
        let outcome = outcome.unwrap();
        let evaluated = if tests_fail { 2 } else { 3 };
        assert_eq!(outcome.initial.num_clients, evaluated);
        if !tests_fail {
            // (10 * a + 30 * b) / 40, each 0.3 of the way to its target
            let [x, y] = w(&outcome.last);
            assert!((x - 0.255).abs() < 1e-6 && (y - 0.06).abs() < 1e-6, "{x} {y}");
        }
    }
}

#[test]
fn a_round_without_some_client_is_not_the_best() {
    // Without c, the farthest, the mean of the others is higher than any mean of all.
    let (outcome, _) = run(three(Fault::EvaluateFails(1)), 1, &config(3));
    let outcome = outcome.unwrap();
    assert!(outcome.last_round.accuracy > outcome.initial.accuracy);
    assert_eq!(outcome.last_round.num_clients, 2);
    assert_eq!(outcome.best_round, outcome.initial);
    assert_eq!(w(&outcome.best), [0.0, 0.0]);
}

/// The warnings of one round.
fn warnings(clients: Vec<Box<dyn Client>>) -> Vec<String> {
    let (_, events) = run(clients, 1, &config(1));
    let message = |event| match event {
        Event::Warning { message } => Some(message),
        _ => None,
    };
    events.into_iter().filter_map(message).collect()
}

#[test]
fn a_client_that_trains_nothing_is_warned_of() {
    let warnings = warnings(three(Fault::Idles));
    assert_eq!(warnings.len(), 1);
    assert!(warnings[0].contains("in the training of client c"), "{}", warnings[0]);
}

#[test]
fn many_that_train_nothing_are_one_warning() {
    let idle = |id: &str| Pull::new(id, [1.0, 1.0], 10).with(Fault::Idles).boxed();
    let warnings = warnings(["a", "b", "c"].map(idle).into());
    assert_eq!(warnings.len(), 1);
    assert!(warnings[0].contains("in the training of client a and 2 more"), "{}", warnings[0]);
}

#[test]
fn clients_without_test_examples_are_not_evaluated() {
    let mut silent = Pull::new("c", [1.0, 1.0], 20);
    silent.num_test_examples = 0;
    let clients = vec![Pull::new("a", [1.0, 0.5], 10).boxed(), silent.boxed()];
    let (outcome, events) = run(clients, 1, &config(1));
    assert_eq!(outcome.unwrap().last_round.num_clients, 1);
    for event in &events {
        if let Event::Evaluated { clients, .. } = event {
            assert_eq!(clients.iter().map(|score| &score.client).collect::<Vec<_>>(), ["a"]);
        }
    }
}

#[test]
fn local_models_are_told_only_if_wanted() {
    let mut config = config(2);
    config.evaluate_local = false;
    let (_, events) = run(three(Fault::None), 1, &config);
    let local = |event: &&Event| {
        matches!(event, Event::Evaluated { model, .. }
        if *model == EvaluatedModel::Local)
    };
    assert_eq!(events.iter().filter(local).count(), 0);
}

#[test]
fn a_round_that_fails_keeps_what_was_computed() {
    let all = |fault: Fault| -> Vec<Box<dyn Client>> {
        ["a", "b"].map(|id| Pull::new(id, [1.0, 0.5], 10).with(fault).boxed()).into()
    };
    for (fault, round, stage, reason, scored, unevaluated) in [
        (Fault::FitFails(2), 2, Stage::Training, "the disk is full (and 1 more)", 3, false),
        (
            Fault::SendsNan(2),
            2,
            Stage::Training,
            "every value must be finite (and 1 more)",
            3,
            false,
        ),
        (Fault::EvaluateFails(2), 2, Stage::Evaluation, "no client tested", 2, true),
        (Fault::EvaluateFails(0), 0, Stage::Evaluation, "no client tested", 0, false),
        (Fault::LossIsNan(2), 2, Stage::Evaluation, "no client tested: client a: its", 2, true),
    ] {
        let (result, events) = run(all(fault), 2, &config(5));
        let error = result.unwrap_err();
        assert!(error.to_string().contains(reason), "{error}");
        let FederationError::RoundFailed { round: at, stage: during, partial, .. } = error else {
            panic!("{error}");
        };
        assert_eq!((at, during), (round, stage));
        assert_eq!(partial.unevaluated.is_some(), unevaluated);
        let history = partial.outcome.map_or(Vec::new(), |outcome| {
            assert_ne!(w(&outcome.last), [0.0, 0.0]);
            outcome.history
        });
        assert_eq!(history.len(), scored);
        assert!(names(&events).ends_with(&["phase_finished".to_owned()]));
    }
}

#[test]
fn senseless_settings_are_refused_before_anything_runs() {
    let untested = || {
        let mut client = Pull::new("a", [1.0, 1.0], 5);
        client.num_test_examples = 0;
        vec![client.boxed()]
    };
    let cases: [(Vec<Box<dyn Client>>, _, _, &str); 4] = [
        (three(Fault::None), record([0.0; 2]), 2.0, "federation.fraction = 2"),
        (untested(), record([0.0; 2]), 1.0, "no client has test examples"),
        (three(Fault::None), Default::default(), 1.0, "no parameters"),
        (three(Fault::None), record([0.0, f32::INFINITY]), 1.0, "`w` holds inf"),
    ];
    for (clients, initial, fraction, message) in cases {
        let mut fleet = Simulation::new(clients, 1).unwrap();
        let selection = ClientSelector { fraction, min_clients: 1 };
        let result = Rounds::new(&config(1)).with_selection(&selection).run(
            &mut fleet,
            &mut FedAvg,
            initial,
            &mut |event: &Event| panic!("nothing should be told: {event:?}"),
        );
        let error = result.unwrap_err().to_string();
        assert!(error.contains(message), "{error}");
    }
}

/// A client without training examples is tested, and never asked to train.
#[test]
fn those_without_training_examples_are_only_tested() {
    let clients =
        vec![Pull::new("a", [1.0, 0.5], 10).boxed(), Pull::new("b", [0.8, 0.1], 0).boxed()];
    let (outcome, events) = run(clients, 1, &config(2));
    assert_eq!(outcome.unwrap().last_round.num_clients, 2);
    for event in &events {
        if let Event::RoundStarted { selected, .. } = event {
            assert_eq!(selected, &["a"]);
        }
    }
    let nobody = vec![Pull::new("a", [1.0, 0.5], 0).boxed()];
    let error = run(nobody, 1, &config(1)).0.unwrap_err().to_string();
    assert!(error.contains("no client has training examples"), "{error}");
}

#[test]
fn without_a_global_model_nothing_is_sent_and_own_models_are_tested() {
    let config = RoundsConfig { share: Share::Nothing, ..config(2) };
    let (outcome, events) = run(three(Fault::None), 2, &config);
    let outcome = outcome.unwrap();
    assert_eq!((outcome.bytes_up, outcome.bytes_down), (0, 0));
    assert_eq!(outcome.last, ParameterRecord::new(), "nothing is shared");
    assert!(outcome.last_round.accuracy > outcome.initial.accuracy, "clients keep what they train");
    let mut evaluations = 0;
    for event in &events {
        match event {
            Event::Evaluated { model, .. } => {
                assert_eq!(*model, EvaluatedModel::Own);
                evaluations += 1;
            }
            Event::ClientReplied { bytes_up, .. } | Event::Aggregated { bytes_up, .. } => {
                assert_eq!(*bytes_up, 0);
            }
            _ => {}
        }
    }
    assert_eq!(evaluations, 3);
}

#[test]
fn the_metrics_of_a_round_are_weighted_by_examples() {
    let (_, events) = run(three(Fault::None), 1, &config(1));
    let (mut weighted, mut told) = (0.0, None);
    for event in &events {
        match event {
            Event::ClientReplied { metrics, num_examples, .. } => {
                weighted += metrics["accuracy"] * *num_examples as f64;
            }
            Event::Aggregated { metrics, replies: 3, .. } => told = Some(metrics.clone()),
            _ => {}
        }
    }
    let metrics = told.unwrap();
    assert_eq!(metrics["loss"], 0.25);
    assert!((metrics["accuracy"] - weighted / 60.0).abs() < 1e-12);
}

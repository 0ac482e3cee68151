//! Clipping and noise in rounds.

use std::sync::Arc;

use flora_core::{HostTensor, ParameterRecord};
use flora_federation::{
    Accepted, Aggregate, Client, ClientError, ClientInfo, Event, FedAvg, Global, Kind, Message,
    Metrics, PARAMETERS, Poisson, Rounds, RoundsConfig, Simulation, Strategy, Task, Transform,
    Value,
};
use flora_privacy::{
    ANSWERS, Accountant, Adaptive, Budget, Central, CentralFacts, ClearMetrics, EPSILON,
    LocalConfig, Mechanism, Noised, Quiet, RELEASE, Releases, Sampling, Secret,
};

const NUMBERS: usize = 4_000;

/// Two tensors: `a` with all values but one, and `b`.
fn record(value: f32) -> ParameterRecord {
    let mut record = ParameterRecord::new();
    let many = HostTensor::from_f32([NUMBERS / 4, 4], vec![value; NUMBERS]).unwrap();
    record.insert("a", many).unwrap();
    record.insert("b", HostTensor::from_f32([1], vec![value]).unwrap()).unwrap();
    record
}

fn budget(rate: f64, noise: f64, rounds: usize, epsilon: Option<f64>) -> Budget {
    let mechanism = Mechanism { rate, noise, rounds, sampling: Sampling::Poisson };
    Budget::new(mechanism, Some(noise), epsilon, 1e-5, Accountant::Rdp).unwrap()
}

fn facts(noise: f64, clip: f64, clients: usize) -> CentralFacts {
    CentralFacts {
        budget: budget(1.0, noise, 10, None),
        clip,
        adaptive: None,
        clients,
        is_answered: Box::new(|_| true),
        secret: Secret::new([7; 32]),
        releases: Releases::default(),
    }
}

/// Answers with these updates of every value, and these numbers of examples.
fn answers(moves: &[(f32, usize)]) -> Vec<Accepted> {
    let answer = |(at, &(by, num_examples)): (usize, &(f32, usize))| {
        let info = ClientInfo { id: format!("{at}"), num_examples, num_test_examples: 0 };
        let message = Message::trained(record(1.0 + by), num_examples, Metrics::new());
        let parameters = Arc::clone(message.get_parameters().unwrap());
        let sent = Message::parameters(Arc::new(record(1.0)));
        Accepted { client: info, sent, num_examples, parameters, message }
    };
    moves.iter().enumerate().map(answer).collect()
}

fn aggregate(strategy: &mut dyn Strategy, accepted: &[Accepted]) -> Aggregate {
    let global = Global { round: 0, parameters: Arc::new(record(1.0)) };
    strategy.aggregate(&global, accepted).unwrap()
}

/// Mean and standard deviation of the changes.
fn change(record: &ParameterRecord) -> (f64, f64) {
    let values: Vec<f64> = record
        .iter()
        .flat_map(|(_, it)| it.to_f32().iter().map(|&it| f64::from(it) - 1.0).collect::<Vec<_>>())
        .collect();
    let mean = values.iter().sum::<f64>() / values.len() as f64;
    let squares: f64 = values.iter().map(|it| (it - mean).powi(2)).sum();
    (mean, (squares / values.len() as f64).sqrt())
}

#[test]
fn updates_are_clipped_weigh_the_same_and_are_noised() {
    let root = ((NUMBERS + 1) as f32).sqrt();
    // Norms of 0.5 and of 40; the latter is clipped to 2. The third client of four is absent.
    let answered = answers(&[(0.5 / root, 1), (40.0 / root, 1_000)]);
    let expected = (0.5 + 2.0) / f64::from(root) / 4.0;
    let noise = 1.5 * 2.0 / 4.0;
    let mut strategy = Central::new(Box::new(FedAvg), facts(1.5, 2.0, 4));
    let next = aggregate(&mut strategy, &answered);
    let (mean, deviation) = change(&next.parameters);
    // Three standard deviations of the two estimates.
    assert!((mean - expected).abs() < 3.0 * noise / f64::from(root), "{mean} {expected}");
    assert!(
        (deviation / noise - 1.0).abs() < 3.0 / f64::from(2.0 * root * root).sqrt(),
        "{deviation}"
    );
    let exact = Accountant::Rdp.epsilon(&budget(1.0, 1.5, 1, None).mechanism, 1e-5).unwrap();
    assert_eq!((next.metrics[EPSILON], next.metrics["clipping_norm"]), (exact, 2.0));
    // With almost no noise, almost exactly the clipped mean.
    let next = aggregate(&mut Central::new(Box::new(FedAvg), facts(0.01, 2.0, 4)), &answered);
    let (close, spread) = change(&next.parameters);
    assert!(
        (close - expected).abs() < 3.0 * 0.005 / f64::from(root)
            && (0.004..0.006).contains(&spread)
    );
}

#[test]
fn a_round_of_nobody_is_noise_alone() {
    let mut strategy = Central::new(Box::new(FedAvg), facts(1.0, 1.0, 10));
    let (mean, deviation) = change(&aggregate(&mut strategy, &[]).parameters);
    assert!(mean.abs() < 0.01 && (deviation / 0.1 - 1.0).abs() < 0.05, "{mean} {deviation}");
}

#[test]
fn the_same_release_has_the_same_noise_and_another_has_another() {
    let one = answers(&[(0.01, 1)]);
    let other = answers(&[(0.02, 1)]);
    let first = |answers: &[Accepted]| {
        aggregate(&mut Central::new(Box::new(FedAvg), facts(1.0, 1.0, 1)), answers).parameters
    };
    assert_eq!(first(&one), first(&one));
    // The difference of the two is not that of the updates.
    let (_, spread) = {
        let (one, other) = (first(&one), first(&other));
        let mut difference = ParameterRecord::new();
        for (name, tensor) in one.iter() {
            let pairs = tensor.to_f32().into_owned().into_iter();
            let others = other.get(name).unwrap().to_f32().into_owned();
            let values = pairs.zip(others).map(|(one, other)| 1.0 + one - other).collect();
            difference.insert(name, HostTensor::from_f32(tensor.shape(), values).unwrap()).unwrap();
        }
        change(&difference)
    };
    assert!(spread > 1.0, "{spread}");
    // Two rounds have different noise; and a run that is resumed between them is bit-identical.
    let mut strategy = Central::new(Box::new(FedAvg), facts(1.0, 1.0, 1));
    let before = aggregate(&mut strategy, &one).parameters;
    let state = strategy.state();
    let second = aggregate(&mut strategy, &one);
    assert_ne!(before, second.parameters);
    let other_secret = CentralFacts { secret: Secret::new([8; 32]), ..facts(1.0, 1.0, 1) };
    let mut resumed = Central::new(Box::new(FedAvg), other_secret);
    resumed.restore(state.clone()).unwrap();
    assert_eq!(aggregate(&mut resumed, &one), second);
    for name in state.config.keys() {
        let mut damaged = state.clone();
        damaged.config.remove(name);
        assert!(resumed.restore(damaged).is_err(), "{name}");
    }
}

/// Towards the median, unlike Flower 1.42's, which diverges from it.
#[test]
fn the_clipping_norm_follows_the_norms() {
    let root = ((NUMBERS + 1) as f32).sqrt();
    for first in [0.1, 10.0] {
        let adaptive = Some(Adaptive::default());
        let mut strategy =
            Central::new(Box::new(FedAvg), CentralFacts { adaptive, ..facts(1.0, first, 100) });
        // Half of the norms just below 1, half just above.
        let moves: Vec<_> = (0..100).map(|at| ((0.9 + 0.002 * at as f32) / root, 1)).collect();
        let answers = answers(&moves);
        for _ in 0..60 {
            aggregate(&mut strategy, &answers);
        }
        let clip = aggregate(&mut strategy, &answers).metrics["clipping_norm"];
        assert!((0.85..1.2).contains(&clip), "{first}: {clip}");
    }
    // The quantile uses a part of the budget, so the sum has more noise: z = 1, s_b = 5.
    let adaptive = CentralFacts { adaptive: Some(Adaptive::default()), ..facts(1.0, 1.0, 100) };
    let next = aggregate(&mut Central::new(Box::new(FedAvg), adaptive), &[]);
    let (_, deviation) = change(&next.parameters);
    let expected = (1.0_f64 - 0.01).powf(-0.5) / 100.0;
    assert!((deviation / expected - 1.0).abs() < 0.04, "{deviation} {expected}");
    let few = CentralFacts { adaptive: Some(Adaptive::default()), ..facts(4.0, 1.0, 10) };
    let global = Global { round: 0, parameters: Arc::new(record(1.0)) };
    let error = Central::new(Box::new(FedAvg), few).aggregate(&global, &[]).unwrap_err();
    assert!(error.to_string().contains("choose a fixed clipping norm"), "{error}");
}

/// Moves all values by 0.01.
struct Mover(String);

impl Client for Mover {
    fn info(&self) -> ClientInfo {
        ClientInfo { id: self.0.clone(), num_examples: 3, num_test_examples: 1 }
    }

    fn handle(&mut self, task: &Task) -> Result<Message, ClientError> {
        let at = task.message.expect_parameters(&self.0)?.get("b").unwrap().to_f32()[0];
        match task.kind {
            Kind::Train => Ok(Message::trained(record(at + 0.01), 3, Metrics::new())),
            _ => Ok(Message::tested(1, Metrics::from([("accuracy".to_owned(), 0.5)]))),
        }
    }
}

#[test]
fn rounds_are_told_what_they_spend_and_end_at_the_budget() {
    let run = |rate: f64, epsilon: Option<f64>| {
        let clients = (0..5).map(|at| Box::new(Mover(format!("c{at}"))) as Box<dyn Client>);
        let mut fleet = Simulation::new(clients.collect(), 2).unwrap();
        let facts = CentralFacts { budget: budget(rate, 2.0, 40, epsilon), ..facts(2.0, 1.0, 5) };
        let mut strategy = Central::new(Box::new(FedAvg), facts);
        let config = RoundsConfig { rounds: 40, seed: 3, ..RoundsConfig::default() };
        let mut events = Vec::new();
        let selection = Poisson { rate };
        let rounds = Rounds::new(&config).with_selection(&selection);
        let mut hear = |event: &Event| events.push(event.clone());
        let outcome = rounds.run(&mut fleet, &mut strategy, record(0.0), &mut hear).unwrap();
        let spent: Vec<(usize, f64)> = events
            .iter()
            .filter_map(|event| match event {
                Event::Aggregated { replies, metrics, .. } => Some((*replies, metrics[EPSILON])),
                _ => None,
            })
            .collect();
        let notes = events.iter().filter_map(|event| match event {
            Event::Note { message } => Some(message.clone()),
            _ => None,
        });
        (outcome, spent, notes.collect::<Vec<_>>())
    };
    // One client of five a round, and in a third of all rounds none: these count as well.
    let (outcome, spent, notes) = run(0.2, None);
    assert_eq!((outcome.history.len(), spent.len(), notes.len()), (41, 40, 0));
    assert!(spent.iter().any(|&(replies, _)| replies == 0));
    assert!(spent.is_sorted_by(|one, next| one.1 < next.1));
    let budget = spent[20].1;
    let (outcome, fewer, notes) = run(0.2, Some(budget));
    assert_eq!((outcome.history.len(), &fewer[..]), (22, &spent[..21]));
    assert!(notes[0].contains("the run ends after round 21: of the privacy budget"), "{notes:?}");
}

#[test]
fn a_client_hides_its_update_itself() {
    let root = ((NUMBERS + 1) as f32).sqrt();
    let sent = Message::parameters(Arc::new(record(1.0)));
    let task = |round| Task {
        client: "a".to_owned(),
        round,
        attempt: 0,
        kind: Kind::Train,
        message: sent.clone(),
    };
    let answer = || {
        let metrics = Metrics::from([("loss".to_owned(), 0.3), ("update_norm".to_owned(), 8.0)]);
        Message::trained(record(1.0 + 8.0 / root), 3, metrics)
    };
    let make = || {
        let mechanism = Mechanism { rounds: 2, ..Mechanism::default() };
        let budget = Budget::new(mechanism, None, Some(9.0), 1e-5, Accountant::Exact).unwrap();
        (budget.mechanism.noise, Noised::new(budget, 2.0, Secret::new([1; 32])))
    };
    let (noise, mut noised) = make();
    let first = noised.encode(&task(0), answer()).unwrap();
    let (mean, deviation) = change(&first.records[PARAMETERS]);
    let expected = 2.0 * 2.0 * noise;
    assert!((mean - 2.0 / f64::from(root)).abs() < 3.0 * expected / f64::from(root), "{mean}");
    assert!((deviation / expected - 1.0).abs() < 0.04, "{deviation} {expected}");
    assert!(first.metrics[EPSILON] < 9.0);
    // Measurements are removed, on both sides.
    for heard in [Quiet.encode(&task(0), first.clone()), Quiet.decode(&task(0), first.clone())] {
        let told: Vec<_> = heard.unwrap().metrics.into_keys().collect();
        assert_eq!(told, [EPSILON, "num-examples"]);
    }
    let saved = noised.save();
    let second = noised.encode(&task(1), answer()).unwrap();
    assert!(second.metrics[EPSILON] <= 9.0 && second.metrics[EPSILON] > 8.99);
    assert_ne!(first.records, second.records);
    let refused = noised.encode(&task(2), answer()).unwrap_err();
    assert!(refused.contains("one more round would exceed it"), "{refused}");
    let (_, mut resumed) = make();
    resumed.restore(&saved).unwrap();
    assert_eq!(resumed.encode(&task(1), answer()).unwrap(), second);
    assert!(resumed.restore(&saved[..20]).is_err());
    resumed.restore(&[]).unwrap();
    assert_eq!(resumed.encode(&task(0), answer()).unwrap(), first);
}

/// A server sets a client back to its first round again and again, each time with another secret of the task.
#[test]
fn a_client_that_is_set_back_counts_all_its_answers() {
    let (noise, epsilon, delta, metrics) = (Some(2.0), Some(3.0), 1e-5, ClearMetrics::Off);
    let config = LocalConfig { clip: 1.0, noise, epsilon, delta, metrics };
    let budget = config.budget(1_000).unwrap();
    assert_eq!(budget.most_rounds(1_000).unwrap(), 2);
    let mut noised = Noised::new(budget, 1.0, Secret::new([1; 32]));
    let mut answer = |answers: i64| {
        noised.restore(&[]).unwrap();
        let mut message = Message::parameters(Arc::new(record(1.0)));
        message.config.insert(RELEASE.to_owned(), Value::Bytes(answers.to_le_bytes().to_vec()));
        message.config.insert(ANSWERS.to_owned(), Value::Int(answers));
        let (client, kind) = ("a".to_owned(), Kind::Train);
        let task = Task { client, round: 0, attempt: 0, kind, message };
        let trained = noised.encode(&task, Message::trained(record(1.0), 1, Metrics::new()))?;
        Ok::<f64, String>(trained.metrics[EPSILON])
    };
    assert_eq!(answer(1).unwrap(), budget.spent(1).unwrap());
    assert_eq!(answer(2).unwrap(), budget.spent(2).unwrap());
    for answers in [3, 4, i64::MAX] {
        assert!(answer(answers).unwrap_err().contains("would exceed it"));
    }
    // Any other number is no number of answers, and the client's own count remains.
    assert_eq!(answer(-1).unwrap(), budget.spent(1).unwrap());
}

#[test]
fn the_most_rounds_are_within_the_budget_and_one_more_is_not() {
    for (rate, accountant) in [(1.0, Accountant::Exact), (0.1, Accountant::Rdp)] {
        let mechanism = Mechanism { rate, noise: 3.0, rounds: 900, ..Mechanism::default() };
        let of = |epsilon| Budget { mechanism, epsilon, delta: 1e-5, accountant };
        for epsilon in [0.9, 2.0, 4.0] {
            let budget = of(Some(epsilon));
            let most = budget.most_rounds(900).unwrap();
            assert!(most == 0 || budget.spent(most).unwrap() <= epsilon);
            assert!(most == 900 || budget.spent(most + 1).unwrap() > epsilon, "{rate} {epsilon}");
        }
        assert_eq!(of(Some(1e6)).most_rounds(900).unwrap(), 900);
        assert_eq!(of(Some(1e-9)).most_rounds(900).unwrap(), 0);
        assert_eq!(of(None).most_rounds(900).unwrap(), 900);
    }
}

/// The server is killed after a round's model has left, and repeats the round from its last state.
#[test]
fn a_repeated_round_counts_once_only_if_its_release_is_the_same() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("releases");
    let open = |is_resumed, epsilon| {
        let releases = Releases::default();
        releases.store_in(&path, is_resumed).unwrap();
        let budget = budget(1.0, 2.0, 10, epsilon);
        Central::new(Box::new(FedAvg), CentralFacts { budget, releases, ..facts(2.0, 1.0, 3) })
    };
    let spent = |releases| budget(1.0, 2.0, 10, None).spent(releases).unwrap();
    let told = |aggregate: &Aggregate| aggregate.metrics[EPSILON];
    let (all, missing) =
        (answers(&[(0.01, 1), (0.02, 1), (0.03, 1)]), answers(&[(0.01, 1), (0.02, 1)]));
    let mut central = open(false, None);
    let first = central.state();
    assert_eq!(told(&aggregate(&mut central, &all)), spent(1));
    let saved = central.state();
    let second = aggregate(&mut central, &all);
    assert_eq!(told(&second), spent(2));
    drop(central);

    let mut central = open(true, None);
    central.restore(saved.clone()).unwrap();
    assert_eq!(aggregate(&mut central, &all), second);
    assert_eq!(told(&aggregate(&mut central, &all)), spent(3));
    // A client is missing: a second model of the same round.
    let mut central = open(true, None);
    central.restore(saved.clone()).unwrap();
    assert_eq!(told(&aggregate(&mut central, &missing)), spent(4));
    assert_eq!(std::fs::read_to_string(&path).unwrap().lines().count(), 4);

    // A budget of four releases is spent. The same ones may be repeated, and no others.
    let mut central = open(true, Some(spent(4)));
    central.restore(saved.clone()).unwrap();
    assert!(central.is_spent().is_none());
    let global = Global { round: 1, parameters: Arc::new(record(1.0)) };
    let refused = central.aggregate(&global, &answers(&[(0.5, 1)])).unwrap_err().to_string();
    assert!(refused.contains("another result") && refused.contains("is spent"), "{refused}");
    assert_eq!(aggregate(&mut central, &all).parameters, second.parameters);
    aggregate(&mut central, &all);
    assert!(central.is_spent().unwrap().contains("is spent"));

    // Without the list, the number is not known.
    std::fs::write(&path, "").unwrap();
    let mut central = open(true, None);
    let error = central.restore(saved).unwrap_err().to_string();
    assert!(error.contains("lists 0 releases, and the saved run has 1"), "{error}");
    central.restore(first).unwrap();
}

/// Resumed with fewer clients, of which more take part, all rounds count as those of the higher rate; and with more
/// clients, as before.
#[test]
fn a_resumed_run_is_accounted_for_by_its_highest_rate() {
    let at = |rate: f64| {
        let mechanism = Mechanism { rate, noise: 4.0, rounds: 50, sampling: Sampling::Fixed };
        let budget = Budget::new(mechanism, Some(4.0), None, 1e-5, Accountant::Rdp).unwrap();
        let clients = (10.0 / rate) as usize;
        (
            budget,
            Central::new(Box::new(FedAvg), CentralFacts { budget, ..facts(4.0, 1.0, clients) }),
        )
    };
    for (before, after) in [(0.1, 0.5), (0.5, 0.1)] {
        let ((_, mut central), (_, mut resumed)) = (at(before), at(after));
        aggregate(&mut central, &[]);
        resumed.restore(central.state()).unwrap();
        let (mut told, mut expected) = (0.0, 0.0);
        for rounds in 2..4 {
            told = aggregate(&mut resumed, &[]).metrics[EPSILON];
            expected = at(0.5).0.spent(rounds).unwrap();
        }
        assert_eq!(told, expected, "{before} {after}");
    }
}

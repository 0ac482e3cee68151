//! A fleet that delivers invalid replies, and updates that are too large.

mod support;

use std::sync::Arc;

use flora_core::{Dtype, HostTensor};
use flora_federation::{
    Answer, Client, ClientInfo, Event, FedAvg, FederationError, Fleet, FleetError, Kind, Message,
    NUM_EXAMPLES, Outcome, PARAMETERS, ParameterRecord, Reason, RoundPolicy, Rounds, RoundsConfig,
    Simulation, Task, Wait,
};
use support::{Fault, Pull, record, w};

type Change<'a> = Box<dyn FnMut(&Kind, Vec<Answer>) -> Vec<Answer> + 'a>;

/// Changes the replies to an exchange, sorted by client, before it delivers them.
struct Meddling<'a> {
    fleet: Simulation,
    change: Change<'a>,
}

impl Fleet for Meddling<'_> {
    fn clients(&mut self, round: usize) -> Result<Vec<ClientInfo>, FleetError> {
        self.fleet.clients(round)
    }

    fn exchange(
        &mut self,
        tasks: Vec<Task>,
        wait: &Wait,
        deliver: &mut dyn FnMut(Answer),
    ) -> Result<(), FleetError> {
        let Some(kind) = tasks.first().map(|task| task.kind.clone()) else { return Ok(()) };
        let mut answers = Vec::new();
        self.fleet.exchange(tasks, wait, &mut |answer| answers.push(answer))?;
        answers.sort_by(|left, right| left.client.cmp(&right.client));
        (self.change)(&kind, answers).into_iter().for_each(deliver);
        Ok(())
    }

    fn commit(&mut self) -> Result<Vec<u8>, FleetError> {
        self.fleet.commit()
    }

    fn restore(&mut self, committed: &[u8]) -> Result<(), FleetError> {
        self.fleet.restore(committed)
    }
}

fn run(
    clients: Vec<Box<dyn Client>>,
    policy: RoundPolicy,
    initial: ParameterRecord,
    change: Change<'_>,
) -> (Result<Outcome, FederationError>, Vec<Event>) {
    let mut fleet = Meddling { fleet: Simulation::new(clients, 2).unwrap(), change };
    let config = RoundsConfig { policy, ..RoundsConfig::default() };
    let mut events = Vec::new();
    let mut listener = |event: &Event| events.push(event.clone());
    let result = Rounds::new(&config).run(&mut fleet, &mut FedAvg, initial, &mut listener);
    (result, events)
}

fn three(fault: Fault) -> Vec<Box<dyn Client>> {
    vec![
        Pull::new("a", [1.0, 0.5], 10).boxed(),
        Pull::new("b", [0.8, 0.1], 30).with(fault).boxed(),
        Pull::new("c", [1.3, 0.7], 20).boxed(),
    ]
}

/// Runs one round in which the replies to tasks of this kind are changed; all clients are honest.
fn meddled(kind: Kind, change: impl Fn(&mut Vec<Answer>)) -> (Outcome, Vec<Event>) {
    let change: Change<'_> = Box::new(move |asked, mut answers| {
        if *asked == kind {
            change(&mut answers);
        }
        answers
    });
    let (outcome, events) =
        run(three(Fault::None), RoundPolicy::default(), record([0.0, 0.0]), change);
    (outcome.unwrap(), events)
}

fn failures(events: &[Event]) -> Vec<(String, Reason, String)> {
    let of = |event: &Event| match event {
        Event::ClientFailed { client, reason, message, .. } => {
            Some((client.clone(), *reason, message.clone()))
        }
        _ => None,
    };
    events.iter().filter_map(of).collect()
}

fn without_b() -> Outcome {
    let honest: Change<'_> = Box::new(|_, answers| answers);
    let clients = three(Fault::FitFails(0));
    run(clients, RoundPolicy::default(), record([0.0, 0.0]), honest).0.unwrap()
}

type Edit = Box<dyn Fn(&mut Vec<Answer>)>;

/// Changes the message of b.
fn of_b(change: impl Fn(&mut Message) + 'static) -> Edit {
    Box::new(move |answers| change(answers[1].result.as_mut().unwrap()))
}

fn parameters(change: impl Fn(&ParameterRecord) -> ParameterRecord + 'static) -> Edit {
    of_b(move |message| {
        let record = message.records.get_mut(PARAMETERS).unwrap();
        *record = Arc::new(change(record));
    })
}

fn tensor(values: &[f32]) -> HostTensor {
    HostTensor::from_f32([values.len()], values.to_vec()).unwrap()
}

#[test]
fn a_dishonest_answer_is_refused_with_a_reason() {
    let expected = without_b();
    let cases: Vec<(Edit, &str)> = vec![
        (Box::new(|answers| answers[1].round = 7), "it replies to round 7, not 0"),
        (
            of_b(|message| {
                let _ = message.metrics.insert(NUM_EXAMPLES.to_owned(), 31.0);
            }),
            "it claims 31 training examples, but registered with 30",
        ),
        (
            of_b(|message| {
                let _ = message.metrics.insert(NUM_EXAMPLES.to_owned(), 1e300);
            }),
            "it must be a whole number",
        ),
        (
            of_b(|message| {
                let _ = message.metrics.remove(NUM_EXAMPLES);
            }),
            "no metric `num-examples`",
        ),
        (
            of_b(|message| drop(message.records.insert("more".to_owned(), Arc::default()))),
            "unexpected record `more`",
        ),
        (of_b(|message| message.records.clear()), "record `parameters` is missing"),
        (parameters(|record| record.cast(Dtype::F16)), "element type f16, expected f32"),
        (parameters(|_| ParameterRecord::new()), "`w` is missing"),
        (
            parameters(|record| {
                let mut record = record.clone();
                record.insert("frozen", tensor(&[1.0])).unwrap();
                record
            }),
            "unexpected tensor `frozen`",
        ),
        (
            parameters(|_| {
                let mut record = ParameterRecord::new();
                record.insert("w", tensor(&[0.0; 3])).unwrap();
                record
            }),
            "shape [3], expected [2]",
        ),
        (parameters(|_| record([f32::NEG_INFINITY, 0.0])), "holds -inf"),
        (parameters(|_| record([3e38, -3e38])), "the norm of its update is 4.24"),
    ];
    for (edit, words) in cases {
        let (outcome, events) = meddled(Kind::Train, edit);
        let failures = failures(&events);
        assert_eq!(failures.len(), 1, "{words}: {failures:?}");
        let (client, reason, message) = &failures[0];
        assert_eq!((client.as_str(), *reason), ("b", Reason::Refused), "{message}");
        assert!(message.contains(words), "{message}");
        assert_eq!(outcome.last, expected.last, "{words}");
    }
}

#[test]
fn answers_that_nobody_asked_for_change_nothing() {
    let honest = meddled(Kind::Train, |_| ()).0;
    for kind in [Kind::Train, Kind::Evaluate] {
        let (outcome, events) = meddled(kind.clone(), |answers| {
            let mut stranger = answers[0].clone();
            stranger.client = "zz".to_owned();
            answers.insert(1, stranger);
            // The second reply of a is false.
            let mut double = answers[0].clone();
            double.result = Ok(Message::trained(record([9.0, 9.0]), 10, Default::default()));
            answers.push(double);
        });
        assert_eq!((&outcome.last, outcome.last_round), (&honest.last, honest.last_round));
        let exchanges = if kind == Kind::Train { 1 } else { 2 };
        let failures = failures(&events);
        assert_eq!(failures.len(), 2 * exchanges, "{failures:?}");
        for pair in failures.chunks(2) {
            assert_eq!((pair[0].0.as_str(), pair[0].1), ("a", Reason::Refused));
            assert!(pair[0].2.contains("more than once"), "{}", pair[0].2);
            assert_eq!((pair[1].0.as_str(), pair[1].1), ("zz", Reason::Refused));
            assert!(pair[1].2.contains("was not asked"), "{}", pair[1].2);
        }
    }
}

#[test]
fn an_answer_that_never_comes_is_told() {
    let (outcome, events) = meddled(Kind::Train, |answers| drop(answers.remove(1)));
    let failures = failures(&events);
    assert_eq!(failures.len(), 1);
    assert_eq!(failures[0], ("b".to_owned(), Reason::Late, "the fleet gave no reply".to_owned()));
    assert_eq!(outcome.last, without_b().last);
}

#[test]
fn a_dishonest_test_is_refused_with_a_reason() {
    let metric = |name: &'static str, value: f64| -> Edit {
        of_b(move |message| {
            let _ = message.metrics.insert(name.to_owned(), value);
        })
    };
    let cases: Vec<(Edit, &str)> = vec![
        (Box::new(|answers| answers[1].round = 7), "it replies to round 7, not"),
        (of_b(|message| message.metrics.clear()), "no metric `num-examples`"),
        (metric(NUM_EXAMPLES, -1.0), "num-examples"),
        (metric(NUM_EXAMPLES, 11.0), "it claims 11 test examples, but registered with 10"),
        (metric("accuracy", 45.0), "accuracy = 45"),
        (metric("loss", f64::INFINITY), "loss = inf"),
    ];
    for (edit, words) in cases {
        let (outcome, events) = meddled(Kind::Evaluate, edit);
        let failures = failures(&events);
        assert_eq!(failures.len(), 2, "before and after the round: {failures:?}");
        for (client, reason, message) in &failures {
            assert_eq!((client.as_str(), *reason), ("b", Reason::Refused), "{message}");
            assert!(message.contains(words), "{message}");
        }
        assert_eq!(outcome.last_round.num_clients, 2);
    }
}

fn permutations(order: &mut [usize; 5], from: usize, visit: &mut impl FnMut(&[usize; 5])) {
    if from == order.len() {
        return visit(order);
    }
    for other in from..order.len() {
        order.swap(from, other);
        permutations(order, from + 1, visit);
        order.swap(from, other);
    }
}

#[test]
fn the_order_of_arrival_does_not_change_a_bit() {
    // Large values that cancel: summed in another order, they would absorb small ones differently.
    let answer_of = |answer: &mut Answer, client: usize| {
        let size = [1e20, 1.0, -1e20, 3.0, 0.1][client];
        let parameters = record([size, 1.5 * size]);
        let message = answer.result.as_mut().unwrap();
        message.records.insert(PARAMETERS.to_owned(), Arc::new(parameters));
        message.metrics.insert("loss".to_owned(), f64::from(size));
    };
    let policy = RoundPolicy { max_update_norm: Some(1e30), ..RoundPolicy::default() };
    let mut order = [0, 1, 2, 3, 4];
    let mut seen = Vec::new();
    permutations(&mut order, 0, &mut |order| {
        let order = *order;
        let clients = (0..5).map(|k| Pull::new(&format!("c{k}"), [1.0; 2], 5).boxed()).collect();
        let change: Change<'_> = Box::new(move |kind, mut answers| {
            if *kind == Kind::Train {
                for (client, answer) in answers.iter_mut().enumerate() {
                    answer_of(answer, client);
                }
            }
            order.map(|client| answers[client].clone()).into()
        });
        let (outcome, mut events) = run(clients, policy, record([0.0, 0.0]), change);
        for event in &mut events {
            if let Event::ClientReplied { seconds, .. }
            | Event::Aggregated { seconds, .. }
            | Event::Evaluated { seconds, .. }
            | Event::PhaseFinished { seconds, .. } = event
            {
                *seconds = 0.0;
            }
        }
        seen.push((outcome.unwrap().last.to_safetensors(), events));
    });
    assert_eq!(seen.len(), 120);
    assert!(seen.iter().all(|result| *result == seen[0]));
}

fn large(clients: &[(&str, f32)], policy: RoundPolicy) -> (Outcome, Vec<Event>) {
    let client = |&(id, target): &(&str, f32)| Pull::new(id, [target, 0.0], 10).boxed();
    let honest: Change<'_> = Box::new(|_, answers| answers);
    let clients = clients.iter().map(client).collect();
    let (outcome, events) = run(clients, policy, record([0.0, 0.0]), honest);
    (outcome.unwrap(), events)
}

#[test]
fn a_bound_on_the_norm_is_kept_to() {
    let policy = RoundPolicy { max_update_norm: Some(0.6), ..RoundPolicy::default() };
    // Updates of 0.3, 0.6 and 0.9.
    let (outcome, events) = large(&[("a", 1.0), ("b", 1.99), ("c", 3.0)], policy);
    let failures = failures(&events);
    assert_eq!(failures.len(), 1);
    let (client, reason, message) = &failures[0];
    assert_eq!((client.as_str(), *reason), ("c", Reason::Refused));
    assert_eq!(
        message,
        "the norm of its update is 9.0000e-1, more than max_update_norm = 6.0000e-1: raise it or, if the client trains in \
         steps, lower the learning rate"
    );
    let [x, _] = w(&outcome.last);
    assert!((x - 0.4485).abs() < 1e-6, "{x}");
}

#[test]
fn without_a_bound_what_is_far_beyond_the_others_is_refused() {
    let policy = RoundPolicy::default();
    let (outcome, events) =
        large(&[("a", 1.0), ("b", 2.0), ("c", 999.0), ("d", 1e6), ("idle", 0.0)], policy);
    let failures = failures(&events);
    assert_eq!(failures.len(), 1, "999 times the smallest may be honest: {failures:?}");
    assert_eq!(failures[0].0, "d");
    assert!(failures[0].2.contains("3.0000e5, more than 6.0000e2"), "{}", failures[0].2);
    assert!(w(&outcome.last)[0] < 100.0);
    // With two updates, none can be called the wrong one, unless it dwarfs the parameters.
    let (_, events) = large(&[("a", 1.0), ("d", 1e3), ("idle", 0.0)], policy);
    assert!(self::failures(&events).is_empty());
    let (_, events) = large(&[("a", 1.0), ("d", 1e6), ("idle", 0.0)], policy);
    let failures = self::failures(&events);
    assert_eq!((failures.len(), failures[0].0.as_str()), (1, "d"));
}

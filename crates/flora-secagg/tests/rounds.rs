//! The protocol in the rounds of a federation.

use std::sync::Arc;

use flora_core::{HostTensor, ParameterRecord};
use flora_federation::{
    Answer, AtRest, Client, ClientError, ClientInfo, ClientStates, Event, FedAvg, FederationError,
    Fleet, FleetError, Kind, Message, Metrics, Outcome, PARAMETERS, Reason, Rounds, RoundsConfig,
    Simulation, Task, Wait,
};
use flora_secagg::{Config, Policy, SECURE, Secure, SecureFacts, SecureFleet};

fn record(values: [f32; 3]) -> ParameterRecord {
    let mut record = ParameterRecord::new();
    record.insert("a", HostTensor::from_f32([2], values[..2].to_vec()).unwrap()).unwrap();
    record.insert("b", HostTensor::from_f32([1], values[2..].to_vec()).unwrap()).unwrap();
    record
}

fn values(record: &ParameterRecord) -> Vec<f32> {
    record.iter().flat_map(|(_, tensor)| tensor.to_f32().into_owned()).collect()
}

/// Goes half the way to its target, and remembers how often.
struct Half {
    id: String,
    target: f32,
    examples: usize,
    steps: u8,
}

impl Client for Half {
    fn info(&self) -> ClientInfo {
        let id = self.id.clone();
        ClientInfo { id, num_examples: self.examples, num_test_examples: 1 }
    }

    fn handle(&mut self, task: &Task) -> Result<Message, ClientError> {
        match task.kind {
            Kind::Train => {
                self.steps += 1;
                let at = values(task.message.expect_parameters(&self.id)?);
                let to = [0, 1, 2].map(|i| at[i] + (self.target * (i + 1) as f32 - at[i]) / 2.0);
                let metrics = Metrics::from([("loss".to_owned(), 0.5)]);
                Ok(Message::trained(record(to), self.examples, metrics))
            }
            _ => Ok(Message::tested(1, Metrics::from([("accuracy".to_owned(), 0.5)]))),
        }
    }

    fn save(&self) -> Result<Option<Vec<u8>>, ClientError> {
        Ok((self.steps > 0).then(|| vec![self.steps]))
    }

    fn restore(&mut self, state: Option<&[u8]>) -> Result<(), ClientError> {
        self.steps = state.map_or(0, |state| state[0]);
        Ok(())
    }
}

fn clients(count: usize) -> impl Iterator<Item = Half> {
    (0..count).map(|at| Half {
        id: format!("client {at}"),
        target: 0.1 * (at as f32 - 1.5),
        examples: 10 + 7 * at,
        steps: 0,
    })
}

/// Loses the messages of a client from a stage on: 0 is the first.
struct Losing<F> {
    inner: F,
    who: Vec<String>,
    from: usize,
    stage: usize,
}

impl<F: Fleet> Fleet for Losing<F> {
    fn clients(&mut self, round: usize) -> Result<Vec<ClientInfo>, FleetError> {
        self.inner.clients(round)
    }

    fn exchange(
        &mut self,
        tasks: Vec<Task>,
        wait: &Wait,
        deliver: &mut dyn FnMut(Answer),
    ) -> Result<(), FleetError> {
        let is_secure = tasks.first().is_some_and(|task| task.message.records.contains_key(SECURE));
        let loses = is_secure && self.stage >= self.from;
        self.stage = if is_secure { (self.stage + 1) % 5 } else { 0 };
        let (lost, kept): (Vec<_>, Vec<_>) =
            tasks.into_iter().partition(|task| loses && self.who.contains(&task.client));
        for task in lost {
            deliver(Answer::failed(&task, Reason::Late, "it is away"));
        }
        self.inner.exchange(kept, wait, deliver)
    }

    fn commit(&mut self) -> Result<Vec<u8>, FleetError> {
        self.inner.commit()
    }

    fn restore(&mut self, committed: &[u8]) -> Result<(), FleetError> {
        self.inner.restore(committed)
    }
}

fn facts(range: f32) -> SecureFacts {
    let config = Config { range, ..Config::default() };
    SecureFacts { config, run: "test".to_owned(), is_answered: Box::new(|_| true) }
}

fn secure(client: Half, config: Config) -> Secure<Half> {
    Secure::new(client, Policy::default(), config)
}

fn secured(count: usize) -> Vec<Box<dyn Client>> {
    let secure = |client| Box::new(secure(client, Config::default())) as Box<dyn Client>;
    clients(count).map(secure).collect()
}

fn run(fleet: &mut dyn Fleet, rounds: usize) -> (Result<Outcome, String>, Vec<Event>) {
    let mut events = Vec::new();
    let config = RoundsConfig { rounds, ..RoundsConfig::default() };
    let mut hear = |event: &Event| events.push(event.clone());
    let outcome = Rounds::new(&config).run(fleet, &mut FedAvg, record([0.0; 3]), &mut hear);
    (outcome.map_err(|error| error.to_string()), events)
}

fn plain(count: usize, without: &[usize]) -> Outcome {
    let all = clients(count).enumerate().filter(|(at, _)| !without.contains(at));
    let clients = all.map(|(_, client)| Box::new(client) as Box<dyn Client>).collect();
    run(&mut Simulation::new(clients, 2).unwrap(), 2).0.unwrap()
}

fn assert_near(left: &ParameterRecord, right: &ParameterRecord) {
    for (left, right) in values(left).into_iter().zip(values(right)) {
        assert!((left - right).abs() < 1e-6, "{left} {right}");
    }
}

#[test]
fn the_mean_is_that_of_plain_rounds() {
    let folder = tempfile::tempdir().unwrap();
    for (count, at_rest) in [(4, AtRest::Memory), (7, AtRest::Disk)] {
        let states = ClientStates::create(folder.path().join(format!("{count}"))).unwrap();
        let simulation = Simulation::new(secured(count), 2).unwrap().with_states(states, at_rest);
        let mut fleet = SecureFleet::new(simulation, facts(1.0));
        let (outcome, events) = run(&mut fleet, 2);
        let outcome = outcome.unwrap();
        assert_near(&outcome.last, &plain(count, &[]).last);
        assert!(outcome.bytes_up > 0 && outcome.bytes_down > outcome.bytes_up / 2);
        // What is told of a client are its examples.
        let told = |event: &Event| match event {
            Event::ClientReplied { metrics, num_examples, .. } => {
                Some(metrics.is_empty() && *num_examples >= 10)
            }
            Event::Aggregated { metrics, .. } => Some(metrics.is_empty()),
            _ => None,
        };
        assert!(events.iter().filter_map(told).all(|is_quiet| is_quiet));
    }
}

#[test]
fn who_drops_out_at_any_stage_is_left_out_or_not_needed() {
    for from in 0..5 {
        let who = vec!["client 2".to_owned()];
        let simulation = Simulation::new(secured(6), 2).unwrap();
        let losing = Losing { inner: simulation, who, from, stage: 0 };
        let (outcome, events) = run(&mut SecureFleet::new(losing, facts(1.0)), 2);
        // Whose lanes have arrived is in the sum, although the shares come from others.
        let without: &[usize] = if from <= 2 { &[2] } else { &[] };
        assert_near(&outcome.unwrap().last, &plain(6, without).last);
        let failed = events.iter().filter(|event| {
            matches!(event, Event::ClientFailed { client, reason, .. }
                if client == "client 2" && *reason == Reason::Late)
        });
        assert_eq!(failed.count(), if from <= 2 { 2 } else { 0 }, "{from}");
    }
}

#[test]
fn below_the_threshold_nobody_learns_anything() {
    for from in 0..5 {
        let who = (0..3).map(|at| format!("client {at}")).collect();
        let simulation = Simulation::new(secured(6), 2).unwrap();
        let losing = Losing { inner: simulation, who, from, stage: 0 };
        let (outcome, events) = run(&mut SecureFleet::new(losing, facts(1.0)), 1);
        let error = outcome.unwrap_err();
        assert!(error.contains("no client trained"), "{error}");
        let too_few = events.iter().any(|event| match event {
            Event::ClientFailed { message, .. } => message.contains("secure_aggregation"),
            _ => false,
        });
        assert!(too_few, "{from}");
        assert!(!events.iter().any(|event| matches!(event, Event::Aggregated { .. })));
    }
}

#[test]
fn what_is_out_of_range_or_asks_for_more_is_refused() {
    let config = Config { range: 0.01, ..Config::default() };
    let narrow = |client| Box::new(secure(client, config.clone())) as Box<dyn Client>;
    let narrow = clients(4).map(narrow).collect();
    let mut fleet = SecureFleet::new(Simulation::new(narrow, 2).unwrap(), facts(0.01));
    let (outcome, events) = run(&mut fleet, 1);
    assert!(outcome.is_err());
    let named = events.iter().any(|event| match event {
        // Neither which number nor how large.
        Event::ClientFailed { message, .. } => {
            message.contains("raise federation.secure.range") && !message.contains("lane ")
        }
        _ => false,
    });
    assert!(named, "{events:?}");
    // A server that would learn of numbers by where they are refused.
    let mut fleet = SecureFleet::new(Simulation::new(secured(4), 2).unwrap(), facts(0.5));
    let (outcome, events) = run(&mut fleet, 1);
    assert!(outcome.is_err() && format!("{events:?}").contains("0.5 instead of 1 of the plan"));
    // A server that asks without masks, and one that asks for everything.
    let mut client = secure(clients(1).next().unwrap(), Config::default());
    let message = Message::parameters(Arc::new(record([0.0; 3])));
    let task = |kind| Task {
        client: "client 0".to_owned(),
        round: 0,
        attempt: 0,
        kind,
        message: message.clone(),
    };
    for kind in [Kind::Train, Kind::Query(PARAMETERS.to_owned())] {
        let refused = client.handle(&task(kind)).unwrap_err();
        assert!(refused.message.contains("replies under masks only"), "{refused}");
    }
    // Two are too few to hide among.
    let (outcome, events) =
        run(&mut SecureFleet::new(Simulation::new(secured(2), 2).unwrap(), facts(1.0)), 1);
    assert!(outcome.is_err() && !events.is_empty());
}

/// Updates of at most 0.6, rotated, in 12 bits, of which 4 clients' sums need 14.
#[test]
fn few_bits_of_rotated_updates_give_nearly_the_mean() {
    let few = |norm, bits| {
        let config = Config { norm, bits, ..Config::default() };
        SecureFacts { config, run: "test".to_owned(), is_answered: Box::new(|_| true) }
    };
    let secured = |norm| {
        let config = Config { norm, bits: Some(12), ..Config::default() };
        let one = |client| Box::new(secure(client, config.clone())) as Box<dyn Client>;
        Simulation::new(clients(4).map(one).collect(), 2).unwrap()
    };
    let run_with = |own: Option<f32>, plan: Option<f32>| {
        let fleet = &mut SecureFleet::new(secured(own), few(plan, Some(12)));
        let (outcome, events) = run(fleet, 2);
        (outcome, format!("{events:?}"))
    };
    let last = values(&run_with(Some(0.6), Some(0.6)).0.unwrap().last);
    for (left, right) in last.iter().zip(values(&plain(4, &[]).last)) {
        assert!((left - right).abs() < 2e-3 && *left != right, "{left} {right}");
    }
    // Rounded at random, and a run that is repeated has the same bits.
    assert_eq!(values(&run_with(Some(0.6), Some(0.6)).0.unwrap().last), last);
    // Too large, and neither how large nor where leaves the client.
    let (outcome, events) = run_with(Some(0.01), Some(0.01));
    assert!(outcome.is_err() && events.contains("raise federation.secure.norm"), "{events}");
    assert!(!events.contains("has a norm of"), "{events}");
    // A server that asks for another norm, for none, or for one that the plan has not.
    for (own, plan, problem) in [
        (Some(0.6), Some(0.5), "norm: 0.5 instead of 0.6 of the plan"),
        (Some(0.6), None, "norm: a range instead of the norm of the plan"),
        (None, Some(0.6), "range: a norm instead of the range of the plan"),
    ] {
        let (outcome, events) = run_with(own, plan);
        assert!(outcome.is_err() && events.contains(problem), "{events}");
    }
}

#[test]
fn a_state_comes_back_whole_or_not_at_all() {
    let mut fleet = SecureFleet::new(Simulation::new(secured(4), 2).unwrap(), facts(1.0));
    run(&mut fleet, 1).0.unwrap();
    let folder = tempfile::tempdir().unwrap();
    let states = ClientStates::create(folder.path().join("states")).unwrap();
    let simulation = Simulation::new(secured(4), 2).unwrap().with_states(states, AtRest::Disk);
    let mut fleet = SecureFleet::new(simulation, facts(1.0));
    let config = RoundsConfig { rounds: 3, save_every: 1, ..RoundsConfig::default() };
    let whole = Rounds::new(&config)
        .run(&mut fleet, &mut FedAvg, record([0.0; 3]), &mut |_: &Event| ())
        .unwrap();
    assert_eq!(whole.history.len(), 4);
    let mut client = secure(clients(1).next().unwrap(), Config::default());
    assert_eq!(client.save().unwrap(), None);
    for damaged in [&[][..], &[2], &[1, 0], &[1, 9, 0, 0, 0, 0, 0, 0, 0, b'{']] {
        assert!(client.restore(Some(damaged)).is_err(), "{damaged:?}");
    }
    client.restore(Some(&[0, 5])).unwrap();
    assert_eq!(client.save().unwrap().as_deref(), Some(&[0, 5][..]));
}

/// Asks the run to stop at a stage of the first round.
struct Stopping<F> {
    inner: F,
    stop: flora_federation::Stop,
    stages_left: usize,
}

impl<F: Fleet> Fleet for Stopping<F> {
    fn clients(&mut self, round: usize) -> Result<Vec<ClientInfo>, FleetError> {
        self.inner.clients(round)
    }

    fn exchange(
        &mut self,
        tasks: Vec<Task>,
        wait: &Wait,
        deliver: &mut dyn FnMut(Answer),
    ) -> Result<(), FleetError> {
        if tasks.first().is_some_and(|task| task.message.records.contains_key(SECURE)) {
            self.stages_left -= 1;
            if self.stages_left == 0 {
                self.stop.raise();
            }
        }
        self.inner.exchange(tasks, wait, deliver)
    }

    fn commit(&mut self) -> Result<Vec<u8>, FleetError> {
        self.inner.commit()
    }

    fn restore(&mut self, committed: &[u8]) -> Result<(), FleetError> {
        self.inner.restore(committed)
    }
}

/// Who trained for a sum would train again from another state, and who opened shares would not take part.
#[test]
fn a_run_that_is_stopped_finishes_the_sum_that_has_begun() {
    for stage in 1..=5 {
        let stop = flora_federation::Stop::default();
        let simulation = Simulation::new(secured(4), 2).unwrap();
        let inner = Stopping { inner: simulation, stop: stop.clone(), stages_left: stage };
        let mut fleet = SecureFleet::new(inner, facts(1.0));
        let config = RoundsConfig { rounds: 2, ..RoundsConfig::default() };
        let rounds = Rounds::new(&config).with_stop(stop);
        let mut aggregated = 0;
        let mut hear = |event: &Event| {
            aggregated += usize::from(matches!(event, Event::Aggregated { replies: 4, .. }));
        };
        let error = rounds.run(&mut fleet, &mut FedAvg, record([0.0; 3]), &mut hear).unwrap_err();
        assert!(matches!(error, FederationError::Stopped { round: 1, .. }), "{stage}: {error}");
        assert_eq!(aggregated, 1, "{stage}");
    }
}

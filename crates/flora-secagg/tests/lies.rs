//! A server that lies to clients of a federation, to read one client's update.

use std::collections::BTreeMap;
use std::sync::Arc;

use flora_core::{HostTensor, ParameterRecord};
use flora_federation::{
    Answer as Reply, Client, ClientError, ClientInfo, Event, FedAvg, Fleet, FleetError, Kind,
    Message, Metrics, Outcome, Rounds, RoundsConfig, Simulation, Task, Value, Wait,
};
use flora_secagg::{
    Answer, Ask, ClientId, Config, Directory, MOST_EXAMPLES, Policy, Request, Response, Rounding,
    SECURE, SecaggError, Secure, SecureFacts, SecureFleet, Server, Session, Setup, Stage,
    system_rng,
};
use sha2::{Digest, Sha256};

const NAMES: [&str; 5] = ["a", "b", "c", "d", "e"];
const LENGTH: usize = 6;

/// Adds its target to every number, unless all numbers are zero, which leave no gradient (as LoRA's A = B = 0 does).
struct Own {
    id: String,
    target: f32,
    examples: usize,
}

impl Client for Own {
    fn info(&self) -> ClientInfo {
        ClientInfo { id: self.id.clone(), num_examples: self.examples, num_test_examples: 1 }
    }

    fn handle(&mut self, task: &Task) -> Result<Message, ClientError> {
        if task.kind == Kind::Evaluate {
            return Ok(Message::tested(1, Metrics::from([("accuracy".to_owned(), 0.5)])));
        }
        let sent = task.message.expect_parameters(&self.id)?;
        let at = sent.get("w").unwrap().to_f32().into_owned();
        let by = if at.iter().all(|x| *x == 0.0) { 0.0 } else { self.target };
        let to = at.iter().map(|x| x + by).collect();
        Ok(Message::trained(record(to), self.examples, Metrics::new()))
    }
}

fn record(values: Vec<f32>) -> ParameterRecord {
    let mut record = ParameterRecord::new();
    record.insert("w", HostTensor::from_f32([values.len()], values).unwrap()).unwrap();
    record
}

fn model(value: f32) -> Message {
    Message::parameters(Arc::new(record(vec![value; LENGTH])))
}

fn own(name: &str) -> Own {
    let at = NAMES.iter().position(|other| *other == name).unwrap();
    Own { id: name.to_owned(), target: 0.01 * (at + 1) as f32, examples: 10 }
}

fn id(name: &str) -> ClientId {
    ClientId(u64::from_be_bytes(Sha256::digest(name)[..8].try_into().unwrap()))
}

fn put(message: &mut Message, request: &Request) {
    let mut record = ParameterRecord::new();
    record.insert(SECURE, HostTensor::from_bytes(request.to_bytes())).unwrap();
    message.records.insert(SECURE.to_owned(), Arc::new(record));
}

fn query() -> Kind {
    Kind::Query(SECURE.to_owned())
}

/// Clients, and a server that sends whatever the test makes of its requests.
struct World {
    clients: BTreeMap<ClientId, (String, Secure<Own>)>,
    setup: Setup,
    server: Server,
}

impl World {
    fn new(
        planned: &Config,
        asked: &Config,
        change: impl Fn(&str, Secure<Own>) -> Secure<Own>,
    ) -> Self {
        let client = |name: &&str| {
            let client = Secure::new(own(name), Policy::default(), planned.clone());
            (id(name), ((*name).to_owned(), change(name, client)))
        };
        let config = Config { max_weight: asked.max_weight.max(10), ..asked.clone() };
        let session = Session { run: "r".into(), round: 0, attempt: 0 };
        let ids = NAMES.iter().map(|name| id(name)).collect();
        let setup = config.setup(session, ids, LENGTH, &mut system_rng().unwrap()).unwrap();
        let server = Server::new(setup.clone(), Directory::FirstUse(BTreeMap::new()));
        Self { clients: NAMES.iter().map(client).collect(), setup, server }
    }

    /// With this client as the first of all.
    fn with(asked: &Config, first: Own) -> Self {
        let mut world = Self::new(&Config::default(), asked, |_, client| client);
        let client = Secure::new(first, Policy::default(), Config::default());
        world.clients.get_mut(&id("a")).unwrap().1 = client;
        world
    }

    fn honest() -> Self {
        Self::new(&Config::default(), &Config::default(), |_, client| client)
    }

    /// A task of round 0.
    fn ask(
        &mut self,
        to: ClientId,
        attempt: usize,
        kind: Kind,
        mut message: Message,
        request: Option<&Request>,
    ) -> Result<Response, String> {
        if let Some(request) = request {
            put(&mut message, request);
        }
        let (name, client) = self.clients.get_mut(&to).unwrap();
        let task = Task { client: name.clone(), round: 0, attempt, kind, message };
        let answer = client.handle(&task).map_err(|error| error.message)?;
        let bytes = answer.records[SECURE].get(SECURE).unwrap().as_bytes().unwrap().to_vec();
        Ok(Response::from_bytes(&bytes).unwrap())
    }

    /// Asks everybody, and ends the stage.
    fn stage(
        &mut self,
        requests: &[(ClientId, Request)],
        task: &dyn Fn(ClientId) -> Message,
    ) -> Vec<(ClientId, Request)> {
        let is_training = self.server.stage() == Stage::Masked;
        for (to, request) in requests {
            let (kind, message) = match is_training {
                true => (Kind::Train, task(*to)),
                false => (query(), Message::default()),
            };
            let answer = self.ask(*to, 0, kind, message, Some(request)).unwrap();
            self.server.receive(*to, answer).unwrap();
        }
        self.server.close().unwrap()
    }

    /// The requests for the masked lanes.
    fn until_masked(&mut self) -> Vec<(ClientId, Request)> {
        let mut requests = self.server.start();
        for _ in 0..2 {
            requests = self.stage(&requests, &|_| Message::default());
        }
        requests
    }
}

fn to(requests: &[(ClientId, Request)], client: ClientId) -> Request {
    requests.iter().find(|(to, _)| *to == client).unwrap().1.clone()
}

/// The server lets a client's training fail, and asks for it in the next attempt with the masks of this one, twice.
#[test]
fn masks_of_one_attempt_are_not_used_in_another() {
    let mut world = World::honest();
    let victim = id("a");
    let request = to(&world.until_masked(), victim);
    let failed = world.ask(victim, 0, Kind::Train, model(1.0), None).unwrap_err();
    assert!(failed.contains("replies under masks only"), "{failed}");
    for value in [1.0, 0.0] {
        let refused = world.ask(victim, 1, Kind::Train, model(value), Some(&request)).unwrap_err();
        assert!(refused.contains("of round 0, attempt 0, and the task of round 0, attempt 1"));
    }
    // In its own attempt it is answered, once.
    world.ask(victim, 0, Kind::Train, model(1.0), Some(&request)).unwrap();
    let twice = world.ask(victim, 0, Kind::Train, model(0.0), Some(&request)).unwrap_err();
    assert!(
        twice.contains("\"masked lanes\" arrived in the stage \"signed survivors\""),
        "{twice}"
    );
}

/// The same with a client that the server has restored to its state after the failure.
#[test]
fn a_saved_state_has_no_masks_that_were_not_used() {
    for forgets in [false, true] {
        let change = |_: &str, client: Secure<Own>| match forgets {
            true => client.forgetting_unused_masks(),
            false => client,
        };
        let mut world = World::new(&Config::default(), &Config::default(), change);
        let victim = id("a");
        let request = to(&world.until_masked(), victim);
        let saved = world.clients[&victim].1.save().unwrap();
        let mut trained = |value| {
            let (_, client) = world.clients.get_mut(&victim).unwrap();
            client.restore(saved.as_deref()).unwrap();
            world.ask(victim, 0, Kind::Train, model(value), Some(&request))
        };
        let (first, second) = (trained(1.0), trained(0.0));
        // A simulation keeps all states between its exchanges, and has no server that lies.
        assert_eq!((first.is_ok(), second.is_ok()), (!forgets, !forgets));
        if forgets {
            let refused = second.unwrap_err();
            assert!(refused.contains("the round began without this client"), "{refused}");
        }
    }
}

/// Sends each client its task, claims that all had the same, and asks all to open shares. An error is that of a client.
fn opened(world: &mut World, task: &dyn Fn(ClientId) -> Message) -> Result<(), String> {
    let requests = world.until_masked();
    let mut claimed = None;
    for (to, request) in &requests {
        let mut answer = world.ask(*to, 0, Kind::Train, task(*to), Some(request)).unwrap();
        let Answer::Masked { task, .. } = &mut answer.body else { panic!("no lanes") };
        // The server lies to itself, too: it adds up everything.
        *task = *claimed.get_or_insert(*task);
        world.server.receive(*to, answer).unwrap();
    }
    let requests = world.server.close().unwrap();
    let mut signatures = BTreeMap::new();
    for (to, request) in &requests {
        let Answer::Signed(signature) =
            world.ask(*to, 0, query(), Message::default(), Some(request)).unwrap().body
        else {
            panic!("no signature")
        };
        signatures.insert(*to, signature);
    }
    for (to, request) in &requests {
        let others = signatures.iter().filter(|(other, _)| *other != to);
        let body = Ask::Signatures(others.map(|(other, it)| (*other, *it)).collect());
        let request = Request { body, ..request.clone() };
        world.ask(*to, 0, query(), Message::default(), Some(&request))?;
    }
    Ok(())
}

#[test]
fn clients_that_trained_on_different_tasks_do_not_open_and_say_so() {
    let with = |value: f32, name: &str, setting: Value| {
        let mut message = model(value);
        message.config.insert(name.to_owned(), setting);
        message
    };
    let victim = id("a");
    let odd: [&dyn Fn(ClientId) -> Message; 4] = [
        &|to| model(if to == victim { 1.0 } else { 0.0 }),
        &|to| with(1.0, "flora.train", Value::Text(if to == victim { "B" } else { "A" }.into())),
        &|to| with(1.0, "proximal-mu", Value::Float(if to == victim { 0.0 } else { 1e9 })),
        &|to| {
            let mut message = model(1.0);
            if to == victim {
                message.records.insert("more".to_owned(), Arc::new(record(vec![1.0])));
            }
            message
        },
    ];
    for task in odd {
        let refused = opened(&mut World::honest(), task).unwrap_err();
        let (client, problem) = refused.split_once(", stage").unwrap();
        assert!(problem.contains("the server sent clients different models"), "{refused}");
        assert!(NAMES.iter().any(|name| client.ends_with(&id(name).to_string())), "{refused}");
    }
    // The same for all, and settings that are the clients' own.
    assert!(
        opened(&mut World::honest(), &|_| with(1.0, "flora.train", Value::Text("A".into())))
            .is_ok()
    );
    let own = |_: &str, client: Secure<Own>| client.with_own_settings(&["own"]);
    let mut world = World::new(&Config::default(), &Config::default(), own);
    let task = |to: ClientId| with(1.0, "own", Value::Int(to.0 as i64));
    assert!(opened(&mut world, &task).is_ok());
    // Another plan, which may make the others' updates small.
    let planned = |name: &str, client: Secure<Own>| match name {
        "a" => client.with_plan(b"learning_rate = 0.001".to_vec()),
        _ => client.with_plan(b"learning_rate = 0.0".to_vec()),
    };
    let mut world = World::new(&Config::default(), &Config::default(), planned);
    assert!(opened(&mut world, &|_| model(1.0)).is_err());
}

/// The server claims that the victim had the model of the others, whose updates it knows to be zero. They open every
/// secret that removes masks, and the victim's update stays hidden: its masks do not cancel.
#[test]
fn the_sum_of_different_models_is_random() {
    let mut world = World::honest();
    let victim = id("a");
    let requests = world.until_masked();
    let mut answers = Vec::new();
    for (to, request) in &requests {
        let task = model(if *to == victim { 1.0 } else { 0.0 });
        answers.push((*to, world.ask(*to, 0, Kind::Train, task, Some(request)).unwrap()));
    }
    let task = answers.iter().find_map(|(client, answer)| match &answer.body {
        Answer::Masked { task, .. } => (*client != victim).then_some(*task),
        _ => None,
    });
    for (client, mut answer) in answers {
        let Answer::Masked { task: told, .. } = &mut answer.body else { panic!("no lanes") };
        *told = task.unwrap();
        world.server.receive(client, answer).unwrap();
    }
    let mut requests = world.server.close().unwrap();
    loop {
        let stage = world.server.stage();
        for (to, request) in requests.iter().filter(|(to, _)| *to != victim) {
            let answer = world.ask(*to, 0, query(), Message::default(), Some(request)).unwrap();
            world.server.receive(*to, answer).unwrap();
        }
        if stage == Stage::Opened {
            break;
        }
        requests = world.server.close().unwrap();
    }
    let error = world.server.finish().unwrap_err();
    assert!(matches!(error, SecaggError::Sum { clients: 5, .. }), "{error}");
}

/// With few shares for a secret, a server that shows each half of the clients other survivors opens both secrets of
/// one.
#[test]
fn thresholds_below_a_majority_or_other_than_planned_are_refused() {
    let few = Config { threshold: Some(2), minimum: Some(3), ..Config::default() };
    let first = |planned: &Config, asked: &Config, policy: Policy| {
        let setup = World::new(planned, asked, |_, client| client).setup;
        let mut client = Secure::new(own("a"), policy, planned.clone());
        let server = Server::new(setup, Directory::FirstUse(BTreeMap::new()));
        let mut message = Message::default();
        put(&mut message, &to(&server.start(), id("a")));
        let task = Task { client: "a".to_owned(), round: 0, attempt: 0, kind: query(), message };
        client.handle(&task).map(drop).map_err(|error| error.message)
    };
    let refused = first(&few, &few, Policy::default()).unwrap_err();
    assert!(refused.contains("2 of 5 holders open a secret"), "{refused}");
    first(&few, &few, Policy { clients: 3, majority: false }).unwrap();
    let plain = Config::default();
    first(&plain, &plain, Policy::default()).unwrap();
    let with = |change: fn(&mut Config)| {
        let mut config = Config::default();
        change(&mut config);
        config
    };
    for (asked, problem) in [
        (with(|it| it.threshold = Some(3)), "threshold: 3 instead of 4 of the plan"),
        (with(|it| it.minimum = Some(3)), "minimum: 3 instead of 4 of the plan"),
        (with(|it| it.neighbours = Some(2)), "neighbours: 2 instead of 4 of the plan"),
        (with(|it| it.bits = Some(8)), "bits: 8 instead of 29 of the plan"),
        (with(|it| it.packed = Some(true)), "packed: true instead of false of the plan"),
        (with(|it| it.rounding = Some(Rounding::Stochastic)), "rounding: Stochastic instead of"),
        (with(|it| it.range = 0.5), "range: 0.5 instead of 1 of the plan"),
    ] {
        let refused = first(&plain, &asked, Policy { clients: 2, majority: false }).unwrap_err();
        assert!(refused.contains(problem), "{refused}");
    }
    let weighty = Config { max_weight: 20, ..Config::default() };
    let refused = first(&weighty, &plain, Policy::default()).unwrap_err();
    assert!(refused.contains("max_weight: 10 instead of 20 of the plan"), "{refused}");
}

/// Whether an update fits does not depend on the largest weight, which the server chooses.
#[test]
fn the_largest_weight_tells_nothing_about_values() {
    for (value, fits) in [(0.999, true), (1.001, false)] {
        for max_weight in [10, 20, 1000, 1 << 20] {
            let asked = Config { max_weight, ..Config::default() };
            let client = Own { target: value, ..own("a") };
            let mut world = World::with(&asked, client);
            let request = to(&world.until_masked(), id("a"));
            let found = world.ask(id("a"), 0, Kind::Train, model(1.0), Some(&request));
            assert_eq!(found.is_ok(), fits, "{value} {max_weight}");
        }
    }
}

/// Changes tasks on their way, as a server does whose clients were sent different models.
struct Changing<F>(F, fn(&mut Task));

impl<F: Fleet> Fleet for Changing<F> {
    fn clients(&mut self, round: usize) -> Result<Vec<ClientInfo>, FleetError> {
        self.0.clients(round)
    }

    fn exchange(
        &mut self,
        mut tasks: Vec<Task>,
        wait: &Wait,
        deliver: &mut dyn FnMut(Reply),
    ) -> Result<(), FleetError> {
        tasks.iter_mut().for_each(self.1);
        self.0.exchange(tasks, wait, deliver)
    }

    fn commit(&mut self) -> Result<Vec<u8>, FleetError> {
        self.0.commit()
    }

    fn restore(&mut self, committed: &[u8]) -> Result<(), FleetError> {
        self.0.restore(committed)
    }
}

fn run(examples: [usize; 5], change: fn(&mut Task)) -> (Result<Outcome, String>, String) {
    let client = |name: &&str| {
        let at = NAMES.iter().position(|other| other == name).unwrap();
        let client = Own { examples: examples[at], ..own(name) };
        Box::new(Secure::new(client, Policy::default(), Config::default())) as Box<dyn Client>
    };
    let simulation = Simulation::new(NAMES.iter().map(client).collect(), 2).unwrap();
    let is_answered = Box::new(|_: &str| true);
    let facts = SecureFacts { config: Config::default(), run: "r".to_owned(), is_answered };
    let mut fleet = SecureFleet::new(Changing(simulation, change), facts);
    let mut said = String::new();
    let mut hear = |event: &Event| said += &format!("{event:?}\n");
    let config = RoundsConfig { rounds: 1, ..RoundsConfig::default() };
    let start = record(vec![1.0; LENGTH]);
    let outcome = Rounds::new(&config).run(&mut fleet, &mut FedAvg, start, &mut hear);
    (outcome.map_err(|error| error.to_string()), said)
}

fn first(outcome: &Outcome) -> f32 {
    outcome.last.get("w").unwrap().to_f32()[0] - 1.0
}

#[test]
fn one_client_with_another_model_is_left_out_by_name() {
    let (outcome, said) = run([10; 5], |task| {
        if task.client == "a" && task.kind == Kind::Train {
            let secure = task.message.records[SECURE].clone();
            task.message = model(0.5);
            task.message.records.insert(SECURE.to_owned(), secure);
        }
    });
    // The mean of 0.02, 0.03, 0.04 and 0.05.
    let found = first(&outcome.unwrap());
    assert!((found - 0.035).abs() < 1e-6, "{found}");
    assert!(said.contains("trained on another model, plan or settings than most"), "{said}");
}

#[test]
fn a_client_that_registers_absurdly_many_examples_is_left_out_alone() {
    for lie in [MOST_EXAMPLES as usize + 1, 1 << 32, 1 << 53] {
        let (outcome, said) = run([lie, 10, 10, 10, 10], |_| ());
        let found = first(&outcome.unwrap());
        assert!((found - 0.035).abs() < 1e-6, "{found}");
        let words = format!("it registered {lie} examples, and in a sum of 5 clients 16777216 are");
        assert!(said.contains(&words), "{said}");
    }
}

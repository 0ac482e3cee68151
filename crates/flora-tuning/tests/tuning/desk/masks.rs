//! Rounds of secure aggregation at the desks of three sites, and servers that lie to them.

use std::collections::BTreeMap;
use std::sync::Arc;

use flora_core::{Dtype, HostTensor, ParameterRecord};
use flora_federation::{Client, Kind, Message};
use flora_secagg::{
    Ask, ClientId, Config, Directory, Request as Masked, Response, SECURE, Server, Session, Setup,
    Stage, Sum, system_rng,
};
use flora_tuning::{Desk, Plan, Policy, Request, Silent};
use sha2::{Digest, Sha256};
use tempfile::TempDir;

use super::{desk, joining, labelled};
use crate::common::Images;
use crate::sites::{domains, open, plan_for};

const TOKEN: &str = "masks-1";
const SECURE_RUN: &str = "federation.secure={}";

fn id(name: &str) -> ClientId {
    ClientId(u64::from_be_bytes(Sha256::digest(name)[..8].try_into().unwrap()))
}

struct World {
    _images: Images,
    desks: BTreeMap<ClientId, Desk>,
    names: Vec<String>,
    initial: ParameterRecord,
    server: Server,
    _folders: Vec<TempDir>,
}

impl World {
    /// Three sites that have joined; `set` are the settings of a site's plan.
    fn new(set: impl Fn(&str) -> Vec<&'static str>, policy: &Policy) -> Self {
        let images = Images::new(3, 1);
        let (mut desks, mut names, mut folders) = (BTreeMap::new(), Vec::new(), Vec::new());
        let mut initial = None;
        for place in domains(&images) {
            let folder = tempfile::tempdir().unwrap();
            let mut desk = desk(&images, &place, folder.path(), policy.clone());
            let plan = plan(&images, &set(&place.name), &place.name);
            initial.get_or_insert_with(|| {
                let site = open(&place, &crate::common::tiny_clip(), &images.cache());
                let client = site.client(&plan, &mut Silent).unwrap();
                assert_eq!(client.info().num_examples, 12);
                client.initial().clone()
            });
            let message = joining(TOKEN, &plan);
            let kind = Kind::Query(flora_federation::protocol::JOIN.to_owned());
            let request = Request { run: "flower-1".to_owned(), kind: &kind, message: &message };
            desk.handle(&request).unwrap();
            desks.insert(id(&place.name), desk);
            names.push(place.name);
            folders.push(folder);
        }
        let initial = initial.unwrap();
        let setup =
            setup(&Config::default(), names.iter().map(|name| id(name)).collect(), &initial);
        let server = Server::new(setup, Directory::FirstUse(BTreeMap::new()));
        Self { _images: images, desks, names, initial, server, _folders: folders }
    }

    fn honest() -> Self {
        Self::new(|_| vec![SECURE_RUN], &Policy::default())
    }

    /// A message of round 0.
    fn ask(
        &mut self,
        to: ClientId,
        attempt: usize,
        kind: &Kind,
        mut message: Message,
        request: Option<&Masked>,
    ) -> Result<Response, String> {
        if let Some(request) = request {
            let mut record = ParameterRecord::new();
            record.insert(SECURE, HostTensor::from_bytes(request.to_bytes())).unwrap();
            message.records.insert(SECURE.to_owned(), Arc::new(record));
        }
        let message = labelled(TOKEN, 0, attempt, message);
        let request = Request { run: "flower-1".to_owned(), kind, message: &message };
        let answer = self.desks.get_mut(&to).unwrap().handle(&request)?;
        let bytes = answer.records[SECURE].get(SECURE).unwrap().as_bytes().unwrap().to_vec();
        Ok(Response::from_bytes(&bytes).unwrap())
    }

    fn model(&self) -> Message {
        Message::parameters(Arc::new(self.initial.clone()))
    }

    /// Everybody answers, in the first attempt.
    fn stage(&mut self, requests: &[(ClientId, Masked)]) -> Result<(), String> {
        for (to, request) in requests {
            let answer = match self.server.stage() {
                Stage::Masked => self.ask(*to, 0, &Kind::Train, self.model(), Some(request)),
                _ => self.ask(*to, 0, &query(), Message::default(), Some(request)),
            };
            self.server.receive(*to, answer?).map_err(|error| error.to_string())?;
        }
        Ok(())
    }

    fn until(&mut self, stage: Stage) -> Vec<(ClientId, Masked)> {
        let mut requests = self.server.start();
        while self.server.stage() != stage {
            self.stage(&requests).unwrap();
            requests = self.server.close().unwrap();
        }
        requests
    }

    fn sum(&mut self) -> Sum {
        let requests = self.until(Stage::Opened);
        self.stage(&requests).unwrap();
        self.server.finish().unwrap()
    }
}

fn plan(images: &Images, set: &[&str], name: &str) -> Plan {
    plan_for(&images.experiment(set), &images.dataset(), name)
}

fn setup(config: &Config, clients: Vec<ClientId>, initial: &ParameterRecord) -> Setup {
    let config = Config { max_weight: 12, ..config.clone() };
    let session = Session { run: "noise".to_owned(), round: 0, attempt: 0 };
    let tensors = initial.iter().filter(|(_, tensor)| tensor.dtype() == Dtype::F32);
    let length = tensors.map(|(_, tensor)| tensor.len()).sum();
    config.setup(session, clients, length, &mut system_rng().unwrap()).unwrap()
}

fn query() -> Kind {
    Kind::Query(SECURE.to_owned())
}

fn to(requests: &[(ClientId, Masked)], client: ClientId) -> Masked {
    requests.iter().find(|(to, _)| *to == client).unwrap().1.clone()
}

#[test]
fn three_sites_give_a_sum() {
    let sum = World::honest().sum();
    assert_eq!((sum.clients().len(), sum.weight()), (3, 36));
    assert!(sum.mean().unwrap().iter().any(|value| *value != 0.0));
}

/// A site's own count of its replies is no part of the task: after a failure, it is higher than that of others.
#[test]
fn sites_that_have_replied_unequally_often_give_a_sum() {
    let private = "federation.privacy={ kind = \"local\", clip = 0.001, noise = 1.0 }";
    let set = |_: &str| vec![SECURE_RUN, private, "training.rounds=5"];
    let mut world = World::new(set, &Policy::default());
    // Another model, because the same task again is no further reply.
    let still = Message::parameters(Arc::new(world.initial.zeros_like()));
    let failed = world.ask(id("alpha"), 0, &Kind::Train, still, None).unwrap_err();
    assert!(failed.contains("replies under masks only"), "{failed}");
    assert_eq!(world.sum().clients().len(), 3);
}

/// A training that fails is followed by two in the next attempt, with the masks of this one: their difference would be
/// that of two updates, and of one if the second model has no gradient.
#[test]
fn a_server_gets_no_two_updates_under_the_same_masks() {
    let mut world = World::honest();
    let victim = id("alpha");
    let request = to(&world.until(Stage::Masked), victim);
    let failed = world.ask(victim, 0, &Kind::Train, world.model(), None).unwrap_err();
    assert!(failed.contains("replies under masks only"), "{failed}");
    let still = Message::parameters(Arc::new(world.initial.zeros_like()));
    let other = "the request is of round 0, attempt 0, and the task of round 0, attempt 1";
    // After that failure, the site returns to a state without masks.
    let gone = "the round began without this client";
    for (attempt, message, words) in
        [(1, world.model(), other), (1, still, gone), (0, world.model(), gone)]
    {
        let refused =
            world.ask(victim, attempt, &Kind::Train, message, Some(&request)).unwrap_err();
        assert!(refused.contains(words), "{refused}");
    }
    // Nor after an answer: the state that the client returns to has no masks.
    let mut world = World::honest();
    let request = to(&world.until(Stage::Masked), victim);
    world.ask(victim, 0, &Kind::Train, world.model(), Some(&request)).unwrap();
    let again = world.ask(victim, 0, &Kind::Train, world.model(), Some(&request)).unwrap_err();
    assert!(again.contains("the round began without this client"), "{again}");
}

/// A server whose plan for the others makes their updates small would read that of one.
#[test]
fn sites_with_different_plans_give_no_sum() {
    let set = |name: &str| match name {
        "alpha" => vec![SECURE_RUN],
        _ => vec![SECURE_RUN, "training.learning_rate=1e-9"],
    };
    let mut world = World::new(set, &Policy::default());
    let requests = world.until(Stage::Masked);
    let mut tasks = Vec::new();
    for (to, request) in &requests {
        let answer = world.ask(*to, 0, &Kind::Train, world.model(), Some(request)).unwrap();
        let flora_secagg::Answer::Masked { task, .. } = answer.body else { panic!("no lanes") };
        tasks.push(task);
    }
    tasks.sort_unstable();
    tasks.dedup();
    assert_eq!(tasks.len(), 2);
}

#[test]
fn thresholds_below_a_majority_need_the_sites_permission() {
    let few = "federation.secure={ threshold = 2, minimum = 3 }";
    for (allow_minority, is_answered) in [(false, false), (true, true)] {
        let policy = Policy { allow_minority, ..Policy::default() };
        let mut world = World::new(|_| vec![few], &policy);
        let config = Config { threshold: Some(2), minimum: Some(3), ..Config::default() };
        let others = ["delta", "epsilon", "zeta"].map(id);
        let clients = world.names.iter().map(|name| id(name)).chain(others).collect();
        let setup = setup(&config, clients, &world.initial);
        let server = Server::new(setup, Directory::FirstUse(BTreeMap::new()));
        let request = to(&server.start(), id("alpha"));
        assert!(matches!(request.body, Ask::Setup(_)));
        let answer = world.ask(id("alpha"), 0, &query(), Message::default(), Some(&request));
        assert_eq!(answer.is_ok(), is_answered, "{answer:?}");
        if let Err(refused) = answer {
            assert!(refused.contains("2 of 6 holders open a secret"), "{refused}");
        }
    }
}

//! Clients and a server, stage by stage, so that a test can meddle with what travels.
#![allow(dead_code)]

use std::collections::BTreeMap;

use flora_secagg::{
    Client, ClientId, Config, Directory, Plan, Policy, Request, Response, Result, SecaggError,
    Server, Session, Setup, SigningKey, Stage, Sum, Update,
    rand_core::{Rng, SeedableRng},
};
use rand_chacha::ChaCha20Rng;

pub(crate) type Requests = Vec<(ClientId, Request)>;

/// The task of all clients.
pub(crate) const TASK: [u8; 32] = [9; 32];

pub(crate) fn rng(seed: u64) -> ChaCha20Rng {
    ChaCha20Rng::seed_from_u64(seed)
}

pub(crate) fn session(round: u64) -> Session {
    Session { run: "test".into(), round, attempt: 0 }
}

/// Numbers of clients are not their positions.
pub(crate) fn ids(count: usize) -> Vec<ClientId> {
    (0..count as u64).map(|i| ClientId(1000 + 7 * i)).collect()
}

pub(crate) fn setup(count: usize, length: usize, plan: Option<Plan>, seed: u64) -> Setup {
    let config = Config {
        range: 1.0,
        max_weight: 500,
        neighbours: plan.map(|plan| plan.degree),
        threshold: plan.map(|plan| plan.threshold),
        ..Config::default()
    };
    config.setup(session(seed), ids(count), length, &mut rng(seed)).unwrap()
}

/// Random updates within [-1, 1] and weights up to 500.
pub(crate) fn updates(count: usize, length: usize, seed: u64) -> Vec<(Vec<f32>, u64)> {
    let mut rng = rng(seed);
    let mut value = || (f64::from(rng.next_u32()) / f64::from(u32::MAX) * 2.0 - 1.0) as f32;
    let mut one = || ((0..length).map(|_| value()).collect(), (value().abs() * 500.0) as u64);
    (0..count).map(|_| one()).collect()
}

/// The lanes of one update, by the documented formula.
pub(crate) fn lanes(setup: &Setup, update: &(Vec<f32>, u64)) -> Vec<u64> {
    let half = f64::from((1_u32 << (setup.bits() - 1)) - 1);
    let of =
        |value: &f32| (half + (update.1 as f64 / 500.0 * f64::from(*value) * half).round()) as u64;
    update.0.iter().map(of).chain([update.1]).collect()
}

/// The integer sum of those who are in the sum, and who they are.
pub(crate) fn expected(
    setup: &Setup,
    updates: &[(Vec<f32>, u64)],
    inside: impl Fn(ClientId) -> bool,
) -> (Vec<ClientId>, Vec<u64>) {
    let mut sum = vec![0; setup.length() + 1];
    let mut clients = Vec::new();
    for (client, update) in
        setup.clients().iter().zip(updates).filter(|(client, _)| inside(**client))
    {
        clients.push(*client);
        sum.iter_mut().zip(lanes(setup, update)).for_each(|(sum, lane)| *sum += lane);
    }
    (clients, sum)
}

pub(crate) struct World {
    pub(crate) server: Server,
    pub(crate) clients: BTreeMap<ClientId, Client>,
    pub(crate) identities: BTreeMap<ClientId, SigningKey>,
    pub(crate) updates: Vec<(Vec<f32>, u64)>,
    pub(crate) rng: ChaCha20Rng,
}

impl World {
    pub(crate) fn new(count: usize, seed: u64) -> Self {
        Self::with(setup(count, 8, None, seed), seed)
    }

    pub(crate) fn with(setup: Setup, seed: u64) -> Self {
        let mut rng = rng(seed);
        let identities: BTreeMap<ClientId, SigningKey> =
            setup.clients().iter().map(|id| (*id, SigningKey::generate(&mut rng))).collect();
        let directory = Directory::Known(
            identities.iter().map(|(id, key)| (*id, key.verifying_key())).collect(),
        );
        let client = |id: &ClientId| {
            Client::new(
                setup.clone(),
                *id,
                identities[id].clone(),
                directory.clone(),
                &Policy::default(),
            )
            .unwrap()
        };
        let clients = setup.clients().iter().map(|id| (*id, client(id))).collect();
        let updates = updates(setup.clients().len(), setup.length(), seed);
        Self { server: Server::new(setup, directory), clients, identities, updates, rng }
    }

    pub(crate) fn id(&self, position: usize) -> ClientId {
        self.server.setup().clients()[position]
    }

    pub(crate) fn answer(&mut self, request: &Request) -> Result<Response> {
        let id = request.to;
        let position = self.server.setup().clients().binary_search(&id).unwrap();
        let (values, weight) = &self.updates[position];
        let update = Update { values, weight: *weight, task: TASK };
        self.clients.get_mut(&id).unwrap().answer(request, Some(update), &mut self.rng)
    }

    /// Everybody who is asked answers, but those in `silent`.
    pub(crate) fn stage(&mut self, requests: &Requests, silent: &[ClientId]) -> Result<()> {
        for (id, request) in requests {
            if !silent.contains(id) {
                let response = self.answer(request)?;
                self.server.receive(*id, response)?;
            }
        }
        Ok(())
    }

    /// Everybody answers until the requests of `stage` are there.
    pub(crate) fn until(&mut self, stage: Stage) -> Requests {
        let mut requests = self.server.start();
        while self.server.stage() != stage {
            self.stage(&requests, &[]).unwrap();
            requests = self.server.close().unwrap();
        }
        requests
    }

    /// Everybody answers to the end.
    pub(crate) fn rest(&mut self, mut requests: Requests) -> Result<Sum> {
        loop {
            self.stage(&requests, &[])?;
            if self.server.stage() == Stage::Opened {
                return self.server.finish();
            }
            requests = self.server.close()?;
        }
    }
}

/// The request for a client.
pub(crate) fn to(requests: &Requests, id: ClientId) -> Request {
    requests.iter().find(|(to, _)| *to == id).unwrap().1.clone()
}

pub(crate) fn fault(error: &SecaggError) -> (ClientId, flora_secagg::Fault) {
    match error {
        SecaggError::Peer { client, fault, .. } => (*client, fault.clone()),
        other => panic!("not about a client: {other}"),
    }
}

/// What the client at a position answers in `stage`, when all answered in the stages before.
pub(crate) fn answer(world: &mut World, stage: Stage, position: usize) -> (ClientId, Response) {
    let requests = world.until(stage);
    let id = world.id(position);
    let response = world.answer(&to(&requests, id)).unwrap();
    (id, response)
}

/// A change that a liar makes.
pub(crate) type Change<T> = fn(&mut T);

//! The whole protocol in one process: every message is encoded to bytes and decoded, and clients drop out as planned.
//! For tests and measurements: the simulated clients accept every setup, whatever it reveals.

use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};

use ed25519_dalek::SigningKey;
use rand_chacha::rand_core::CryptoRng;

use crate::{
    Ask, Client, ClientId, Directory, Policy, Request, Response, Result, SecaggError, Server,
    Setup, Stage, Sum, Update,
};

/// The cost of a stage.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StageCost {
    /// The stage.
    pub stage: Stage,
    /// Clients that were asked.
    pub asked: usize,
    /// Clients that answered.
    pub answered: usize,
    /// Bytes of the longest request to a client.
    pub request: usize,
    /// Bytes of the longest response.
    pub response: usize,
}

/// The result of a simulated attempt.
#[derive(Debug, Clone)]
pub struct Outcome {
    /// The sum.
    pub sum: Sum,
    /// Each stage, in order.
    pub stages: Vec<StageCost>,
    /// The time that each client took, in the order of their numbers, including the encoding of messages.
    pub clients: Vec<Duration>,
    /// The time of the server.
    pub server: Duration,
}

/// Runs an attempt. `updates` has one entry for each client of the setup, in order; `dropouts` names the stage from
/// which a client no longer answers. All identities are drawn from `rng` and known to all.
///
/// **For tests and measurements only.** The clients' [`Policy`] allows sums of two, from which each learns the other's
/// update, and thresholds below a majority. Real clients take a policy of their own.
///
/// # Errors
///
/// The first error of a client or the server; also if the number of updates differs from the number of clients.
pub fn run(
    setup: &Setup,
    updates: &[Update<'_>],
    dropouts: &BTreeMap<ClientId, Stage>,
    rng: &mut impl CryptoRng,
) -> Result<Outcome> {
    if updates.len() != setup.clients().len() {
        let problem = format!("{} for {} clients", updates.len(), setup.clients().len());
        return Err(SecaggError::setting("updates", problem));
    }
    let identities: BTreeMap<ClientId, SigningKey> =
        setup.clients().iter().map(|client| (*client, SigningKey::generate(rng))).collect();
    let known = identities.iter().map(|(client, key)| (*client, key.verifying_key())).collect();
    let directory = Directory::Known(known);
    let mut clients: BTreeMap<ClientId, (Client, Duration)> = BTreeMap::new();
    let mut server = Server::new(setup.clone(), directory.clone());
    let (mut stages, mut server_time) = (Vec::new(), Duration::ZERO);
    let mut requests = server.start();
    loop {
        let stage = server.stage();
        let mut cost =
            StageCost { stage, asked: requests.len(), answered: 0, request: 0, response: 0 };
        for (id, request) in requests {
            let bytes = request.to_bytes();
            cost.request = cost.request.max(bytes.len());
            if dropouts.get(&id).is_some_and(|at| *at <= stage) {
                continue;
            }
            let begin = Instant::now();
            let request = Request::from_bytes(&bytes)?;
            if let Ask::Setup(setup) = &request.body {
                let identity = identities[&id].clone();
                let policy = Policy { clients: 2, majority: false };
                let client = Client::new(setup.clone(), id, identity, directory.clone(), &policy)?;
                clients.insert(id, (client, Duration::ZERO));
            }
            let (client, time) = clients.get_mut(&id).expect("asked for keys first");
            let update = setup.clients().binary_search(&id).ok().map(|i| updates[i]);
            let bytes = client.answer(&request, update, rng)?.to_bytes();
            *time += begin.elapsed();
            cost.response = cost.response.max(bytes.len());
            cost.answered += 1;
            let begin = Instant::now();
            server.receive(id, Response::from_bytes(&bytes)?)?;
            server_time += begin.elapsed();
        }
        stages.push(cost);
        let begin = Instant::now();
        if stage == Stage::Opened {
            let sum = server.finish()?;
            server_time += begin.elapsed();
            let clients = clients.values().map(|(_, time)| *time).collect();
            return Ok(Outcome { sum, stages, clients, server: server_time });
        }
        requests = server.close()?;
        server_time += begin.elapsed();
    }
}

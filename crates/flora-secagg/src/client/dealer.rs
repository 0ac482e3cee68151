//! Dealers that seal wrong shares, which cannot be constructed outside this crate.

use std::collections::BTreeMap;

use curve25519_dalek::Scalar;
use ed25519_dalek::SigningKey;
use rand_chacha::{ChaCha20Rng, rand_core::SeedableRng};
use zeroize::Zeroizing;

use super::{Client, State, Update};
use crate::{
    Answer, Ask, ClientId, Config, Directory, Fault, Policy, Request, Response, Result,
    SecaggError, Server, Session, Stage, crypto,
    secrets::{self, End},
};

const LIAR: ClientId = ClientId(1);

/// Runs an attempt of five clients. `before` changes the liar's state before it deals, `after` its shares. With
/// `drops_out`, the liar does not send its masked lanes.
fn run(
    before: impl Fn(&mut Client),
    after: impl Fn(&mut Response, &Client),
    drops_out: bool,
) -> Result<(), (ClientId, SecaggError)> {
    let mut rng = ChaCha20Rng::seed_from_u64(1);
    let session = Session { run: "r".into(), round: 1, attempt: 0 };
    let setup =
        Config::default().setup(session, (0..5).map(ClientId).collect(), 3, &mut rng).unwrap();
    let mut clients: BTreeMap<ClientId, Client> = BTreeMap::new();
    for id in setup.clients() {
        let directory = Directory::FirstUse(BTreeMap::new());
        let identity = SigningKey::generate(&mut rng);
        clients.insert(
            *id,
            Client::new(setup.clone(), *id, identity, directory, &Policy::default()).unwrap(),
        );
    }
    let mut server = Server::new(setup, Directory::FirstUse(BTreeMap::new()));
    let mut requests = server.start();
    loop {
        for (id, request) in &requests {
            let client = clients.get_mut(id).unwrap();
            if *id == LIAR && server.stage() == Stage::Shares {
                before(client);
            }
            if *id == LIAR && server.stage() == Stage::Masked && drops_out {
                continue;
            }
            let update = Update { values: &[0.5; 3], weight: 1, task: [0; 32] };
            let sealing = match (&client.state, *id) {
                (State::Advertised { .. }, LIAR) => Some(client.save()),
                _ => None,
            };
            let mut response =
                client.answer(request, Some(update), &mut rng).map_err(|error| (*id, error))?;
            if let Some(saved) = sealing {
                let (identity, directory) = (client.identity.clone(), client.directory.clone());
                let old = Client::restore(&saved, identity, directory, &Policy::default()).unwrap();
                after_with(&mut response, &old, request, &after);
            }
            server.receive(*id, response).map_err(|error| (*id, error))?;
        }
        if server.stage() == Stage::Opened {
            return server.finish().map(drop).map_err(|error| (LIAR, error));
        }
        requests = server.close().unwrap();
    }
}

/// Seals the first bundle anew after `after` has changed the commitments in it.
fn after_with(
    response: &mut Response,
    old: &Client,
    request: &Request,
    after: &impl Fn(&mut Response, &Client),
) {
    let State::Advertised { secrets, keys: own } = &old.state else { unreachable!() };
    let (Ask::Keys(all), digest) = (&request.body, old.setup.digest()) else { unreachable!() };
    let to = &all[0];
    let ends = [End(old.id, &own.sealing), End(to.client, &to.sealing)];
    let [outgoing, _] = secrets::sealing_keys(&secrets.sealing, ends[0], ends[1], digest).unwrap();
    let plain = {
        let Answer::Shares(shares) = &response.body else { unreachable!() };
        let bundle = &shares.bundles[0];
        let bound = secrets::bound(digest, old.id, to.client, [&bundle.seed, &bundle.key]);
        crypto::open(&outgoing, &bundle.nonce, &bound, &bundle.sealed).unwrap()
    };
    after(response, old);
    let Answer::Shares(shares) = &mut response.body else { unreachable!() };
    let bundle = &mut shares.bundles[0];
    let bound = secrets::bound(digest, old.id, to.client, [&bundle.seed, &bundle.key]);
    bundle.sealed = crypto::seal(&outgoing, &bundle.nonce, &bound, &plain).try_into().unwrap();
}

fn nothing(_: &mut Response, _: &Client) {}

#[test]
fn honest_dealers_get_their_sum() {
    for drops_out in [false, true] {
        run(|_| {}, nothing, drops_out).unwrap();
    }
}

#[test]
fn a_share_that_was_not_committed_to_is_found_by_its_receiver() {
    let changes: [fn(&mut Response, &Client); 2] = [
        |response, _| {
            let Answer::Shares(shares) = &mut response.body else { unreachable!() };
            shares.bundles[0].seed[0] ^= 1;
        },
        |response, _| {
            let Answer::Shares(shares) = &mut response.body else { unreachable!() };
            shares.bundles[0].key[0] ^= 1;
        },
    ];
    for change in changes {
        let (finder, error) = run(|_| {}, change, false).unwrap_err();
        assert_eq!(finder, ClientId(0));
        assert_eq!(error, SecaggError::peer(LIAR, Stage::Masked, Fault::Share { dealer: LIAR }));
    }
}

#[test]
fn shares_of_another_secret_are_found_when_it_is_put_together() {
    // It deals shares of another mask key than it advertised.
    let other_key = |client: &mut Client| {
        let State::Advertised { secrets, .. } = &mut client.state else { unreachable!() };
        secrets.mask = Zeroizing::new(*secrets.mask + Scalar::ONE);
    };
    let (_, error) = run(other_key, nothing, true).unwrap_err();
    assert_eq!(error, SecaggError::peer(LIAR, Stage::Shares, Fault::Dealt));
}

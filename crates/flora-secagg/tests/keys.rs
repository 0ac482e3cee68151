//! Keys that are not what they seem: refused by the server and by the neighbours, by name.

mod common;

use common::{Change, World, answer, fault, ids, rng, to};
use flora_secagg::{
    Answer, Ask, Client, ClientId, Directory, Fault, Policy, PublicKeys, Response, SecaggError,
    Server, SigningKey, Stage,
};

fn keys(response: &mut Response) -> &mut PublicKeys {
    let Answer::Keys(keys) = &mut response.body else { panic!("no keys") };
    keys
}

#[test]
fn forged_keys_are_refused_by_the_server_and_by_the_neighbours() {
    let changes: [(Change<PublicKeys>, Fault); 4] = [
        (|keys| keys.mask[0] ^= 1, Fault::Signature),
        (|keys| keys.sealing[31] ^= 64, Fault::Signature),
        (|keys| keys.signature[40] ^= 1, Fault::Signature),
        (
            |keys| keys.identity = SigningKey::from_bytes(&[5; 32]).verifying_key().to_bytes(),
            Fault::Identity,
        ),
    ];
    for (change, expected) in changes {
        let mut world = World::new(5, 1);
        let (id, mut response) = answer(&mut world, Stage::Keys, 2);
        change(keys(&mut response));
        assert_eq!(fault(&world.server.receive(id, response).unwrap_err()), (id, expected.clone()));

        let mut world = World::new(5, 1);
        let requests = world.until(Stage::Shares);
        let mut request = to(&requests, world.id(0));
        let Ask::Keys(all) = &mut request.body else { panic!("no keys") };
        change(&mut all[1]);
        assert_eq!(fault(&world.answer(&request).unwrap_err()), (id, expected));
        // The true keys are taken afterwards.
        assert!(world.rest(requests).is_ok());
    }
}

#[test]
fn keys_of_another_client_are_refused_under_any_name() {
    let mut world = World::new(5, 1);
    let requests = world.server.start();
    let (first, second) = (world.id(0), world.id(1));
    let one = world.answer(&to(&requests, first)).unwrap();
    let mut stolen = world.answer(&to(&requests, second)).unwrap();
    stolen.body = one.body.clone();
    assert_eq!(
        fault(&world.server.receive(second, stolen.clone()).unwrap_err()),
        (second, Fault::Sender(first))
    );
    keys(&mut stolen).client = second;
    assert_eq!(
        fault(&world.server.receive(second, stolen).unwrap_err()),
        (second, Fault::Identity)
    );
}

#[test]
fn a_public_key_that_two_clients_have_is_refused() {
    // Both draw the same numbers, and so have the same sealing key.
    let mut world = World::new(5, 1);
    let requests = world.server.start();
    let (first, second) = (world.id(0), world.id(1));
    world.rng = rng(9);
    let one = world.answer(&to(&requests, first)).unwrap();
    world.rng = rng(9);
    let two = world.answer(&to(&requests, second)).unwrap();
    let other = world.answer(&to(&requests, world.id(2))).unwrap();
    let rest: Vec<_> = [3, 4].map(|i| world.answer(&to(&requests, world.id(i))).unwrap()).into();
    world.server.receive(first, one.clone()).unwrap();
    let error = world.server.receive(second, two.clone()).unwrap_err();
    assert_eq!(fault(&error), (second, Fault::SharedKey(first)));
    // A server that passes it on all the same.
    let list = |all: &[&Response]| {
        Ask::Keys(all.iter().map(|each| keys(&mut (*each).clone()).clone()).collect())
    };
    let mut request = to(&requests, world.id(2));
    request.body = list(&[&one, &two, &rest[0], &rest[1]]);
    assert_eq!(fault(&world.answer(&request).unwrap_err()), (second, Fault::SharedKey(first)));
    // One client twice, one that is nobody's neighbour, too few, and itself.
    request.body = list(&[&one, &one, &rest[0], &rest[1]]);
    assert_eq!(fault(&world.answer(&request).unwrap_err()), (first, Fault::Twice));
    request.body = list(&[&one, &other, &rest[0], &rest[1]]);
    assert_eq!(
        fault(&world.answer(&request).unwrap_err()),
        (world.id(2), Fault::Stranger(world.id(2)))
    );
    request.body = list(&[&rest[0], &rest[1]]);
    let error = world.answer(&request).unwrap_err();
    assert!(matches!(&error, SecaggError::TooFew { found: 3, needed: 4, .. }), "{error}");
    request.body = list(&[&one, &rest[0], &rest[1]]);
    world.answer(&request).unwrap();
}

#[test]
fn clients_that_no_directory_knows_are_refused() {
    let mut world = World::new(5, 1);
    let known =
        world.identities.iter().skip(1).map(|(id, key)| (*id, key.verifying_key())).collect();
    let first = world.id(0);
    let (id, response) = answer(&mut world, Stage::Keys, 0);
    let mut server = Server::new(world.server.setup().clone(), Directory::Known(known));
    assert_eq!(fault(&server.receive(id, response.clone()).unwrap_err()), (first, Fault::Unknown));
    // Trust on first use takes it, remembers it, and refuses another.
    let mut server =
        Server::new(world.server.setup().clone(), Directory::FirstUse(Default::default()));
    server.receive(id, response).unwrap();
    let pinned = server.directory().clone();
    let mut next = World::new(5, 2);
    let (id, response) = answer(&mut next, Stage::Keys, 0);
    let mut server = Server::new(next.server.setup().clone(), pinned);
    assert_eq!(fault(&server.receive(id, response).unwrap_err()), (first, Fault::Identity));
}

#[test]
fn clients_pin_their_neighbours_at_first_use() {
    let mut world = World::new(4, 1);
    for (id, identity) in &world.identities {
        let (setup, own) = (world.server.setup().clone(), identity.clone());
        let client = Client::new(
            setup,
            *id,
            own,
            Directory::FirstUse(Default::default()),
            &Policy::default(),
        );
        world.clients.insert(*id, client.unwrap());
    }
    world.until(Stage::Masked);
    let first = &world.clients[&world.id(0)];
    let others: Vec<ClientId> = first.directory().keys().keys().copied().collect();
    assert_eq!(others, ids(4)[1..]);
    assert!(
        others
            .iter()
            .all(|id| first.directory().keys()[id] == world.identities[id].verifying_key())
    );
}

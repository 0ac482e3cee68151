//! What a lying server does to a client: refused.

mod common;

use common::{TASK, World, fault, ids, rng, session, setup, to};
use flora_secagg::{
    Ask, Bundle, Client, ClientId, Config, Directory, Fault, Plan, Policy, Request, SecaggError,
    SigningKey, Stage, Survivors, Update,
};

fn server_fault(error: &SecaggError) -> Fault {
    match error {
        SecaggError::Server { fault, .. } => fault.clone(),
        other => panic!("not about the server: {other}"),
    }
}

#[test]
fn requests_for_others_or_of_other_rounds_are_refused() {
    for stage in Stage::ALL {
        let mut world = World::new(5, 1);
        let requests = world.until(stage);
        let (id, other) = (world.id(1), world.id(2));
        let client = world.clients.get_mut(&id).unwrap();
        let update = Some(Update { values: &[0.0; 8], weight: 1, task: TASK });
        let misled = to(&requests, other);
        assert_eq!(
            server_fault(&client.answer(&misled, update, &mut rng(1)).unwrap_err()),
            Fault::Receiver(other)
        );
        let old = to(&World::new(5, 2).until(stage), id);
        let error = client.answer(&old, update, &mut rng(1)).unwrap_err();
        assert!(matches!(server_fault(&error), Fault::Session { .. }), "{error}");
        // Another stage's request, and the right one, twice.
        let request = to(&requests, id);
        let elsewhere = if stage == Stage::Keys { Stage::Shares } else { Stage::Keys };
        let early = to(&World::new(5, 1).until(elsewhere), id);
        assert!(matches!(
            client.answer(&early, update, &mut rng(1)),
            Err(SecaggError::Stage { .. })
        ));
        let first = client.answer(&request, update, &mut rng(1)).unwrap();
        match stage {
            Stage::Opened => {
                assert_eq!(client.answer(&request, update, &mut rng(1)).unwrap(), first)
            }
            _ => assert!(matches!(
                client.answer(&request, update, &mut rng(1)),
                Err(SecaggError::Stage { .. })
            )),
        }
    }
}

#[test]
fn bundles_that_were_touched_or_belong_elsewhere_name_their_dealer() {
    let mut world = World::new(5, 1);
    let requests = world.until(Stage::Masked);
    let id = world.id(0);
    let request = to(&requests, id);
    let Ask::Bundles(bundles) = &request.body else { panic!("no bundles") };
    let refused = |bundles: Vec<Bundle>, world: &mut World| {
        fault(
            &world.answer(&Request { body: Ask::Bundles(bundles), ..request.clone() }).unwrap_err(),
        )
    };
    let dealer = bundles[2].peer;
    let changes: [fn(&mut Bundle); 5] = [
        |bundle| bundle.sealed[0] ^= 1,
        |bundle| bundle.sealed[111] ^= 128,
        |bundle| bundle.nonce[5] ^= 1,
        |bundle| bundle.seed[0] ^= 1,
        |bundle| bundle.key[0] ^= 1,
    ];
    for change in changes {
        let mut wrong = bundles.clone();
        change(&mut wrong[2]);
        assert_eq!(refused(wrong, &mut world), (dealer, Fault::Sealed(id)));
    }
    // One for another client, of the same dealer; one of another round; one of another dealer.
    let Ask::Bundles(others) = to(&requests, world.id(1)).body else { panic!("no bundles") };
    let Ask::Bundles(old) = to(&World::new(5, 2).until(Stage::Masked), id).body else {
        panic!("no bundles")
    };
    assert_eq!([others[2].peer, old[2].peer], [dealer; 2]);
    let swapped = Bundle { peer: dealer, ..bundles[1].clone() };
    for wrong in [others[2].clone(), old[2].clone(), swapped] {
        let mut all = bundles.clone();
        all[2] = wrong;
        assert_eq!(refused(all, &mut world), (dealer, Fault::Sealed(id)));
    }
    let twice = [&bundles[..3], &bundles[2..]].concat();
    assert_eq!(refused(twice, &mut world), (dealer, Fault::Twice));
    let few = Request { body: Ask::Bundles(bundles[..2].to_vec()), ..request.clone() };
    assert!(matches!(world.answer(&few), Err(SecaggError::TooFew { found: 3, needed: 4, .. })));
    // Nothing of that has changed the client.
    world.rest(requests).unwrap();
}

#[test]
fn values_out_of_range_are_errors_and_the_client_may_try_again() {
    let mut world = World::new(4, 1);
    let requests = world.until(Stage::Masked);
    let request = to(&requests, world.id(0));
    let id = world.id(0);
    let client = world.clients.get_mut(&id).unwrap();
    let mut try_with = |values: &[f32], weight| {
        client.answer(&request, Some(Update { values, weight, task: TASK }), &mut rng(1))
    };
    for value in [1.001, -1.001, f32::NAN, f32::NEG_INFINITY] {
        let mut values = [0.5; 8];
        values[6] = value;
        let error = try_with(&values, 500).unwrap_err();
        assert!(matches!(error, SecaggError::Range { lane: 6, .. }), "{error}");
    }
    assert_eq!(try_with(&[0.0; 7], 1), Err(SecaggError::Length { expected: 8, found: 7 }));
    assert_eq!(try_with(&[0.0; 8], 501), Err(SecaggError::Weight { weight: 501, most: 500 }));
    try_with(&[1.0; 8], 500).unwrap();
}

#[test]
fn sets_of_survivors_that_hide_too_little_are_not_signed() {
    let plan = Plan { degree: 4, threshold: 4 };
    let mut world = World::with(setup(9, 8, Some(plan), 1), 1);
    let requests = world.until(Stage::Shares);
    // One deals no shares.
    let gone = world.id(8);
    world.stage(&requests, &[gone]).unwrap();
    let requests = world.server.close().unwrap();
    world.stage(&requests, &[]).unwrap();
    let requests = world.server.close().unwrap();
    let neighbour = world.server.setup().neighbours(gone)[0];
    let request = to(&requests, neighbour);
    let Ask::Survivors(Survivors(true_set)) = &request.body else { panic!("no survivors") };
    assert_eq!(true_set, &[0xff, 0]);
    let own = world.server.setup().clients().binary_search(&neighbour).unwrap();
    let mut refused = |bits: [u8; 2], length: usize| {
        let body = Ask::Survivors(Survivors(bits[..length].to_vec()));
        world.answer(&Request { body, ..request.clone() }).unwrap_err()
    };
    assert!(matches!(server_fault(&refused([0xff, 0], 1)), Fault::Form(_)));
    assert!(matches!(server_fault(&refused([0xff, 2], 2)), Fault::Form(_)));
    // Without itself; with one whose bundle never came; with fewer than the minimum of 5.
    assert!(matches!(server_fault(&refused([!(1 << own), 0], 2)), Fault::Clients(_)));
    assert!(matches!(server_fault(&refused([0xff, 1], 2)), Fault::Clients(_)));
    assert!(matches!(
        refused([1 << own, 0], 2),
        SecaggError::TooFew { found: 1, needed: 5, about: None, .. }
    ));
    world.answer(&request).unwrap();
    // Another set, later.
    let other = Request { body: Ask::Survivors(Survivors(vec![0x7f, 0])), ..request.clone() };
    assert!(matches!(world.answer(&other), Err(SecaggError::Stage { .. })));
}

#[test]
fn shares_are_opened_once_and_for_signed_sets_only() {
    let mut world = World::new(5, 1);
    let requests = world.until(Stage::Opened);
    let id = world.id(0);
    let request = to(&requests, id);
    let Ask::Signatures(signatures) = &request.body else { panic!("no signatures") };
    assert_eq!(signatures.len(), 3);
    let with = |list: Vec<(ClientId, [u8; 64])>| Request {
        body: Ask::Signatures(list),
        ..request.clone()
    };
    let few = world.answer(&with(signatures[..2].to_vec())).unwrap_err();
    assert!(matches!(few, SecaggError::TooFew { found: 3, needed: 4, .. }), "{few}");
    let mut forged = signatures.clone();
    forged[1].1[0] ^= 1;
    assert_eq!(fault(&world.answer(&with(forged)).unwrap_err()), (signatures[1].0, Fault::Task));
    let mut swapped = signatures.clone();
    swapped[1].1 = signatures[0].1;
    assert_eq!(fault(&world.answer(&with(swapped)).unwrap_err()), (signatures[1].0, Fault::Task));
    let twice = [&signatures[..2], &signatures[1..]].concat();
    assert_eq!(fault(&world.answer(&with(twice)).unwrap_err()), (signatures[1].0, Fault::Twice));

    let first = world.answer(&request).unwrap();
    assert_eq!(world.answer(&request).unwrap(), first);
    // Any other request, right or wrong.
    let replay = world.answer(&with(signatures[..2].to_vec())).unwrap_err();
    assert_eq!(server_fault(&replay), Fault::Replay);
}

#[test]
fn setups_against_the_policy_are_refused() {
    let new = |setup, policy: Policy| {
        let identity = SigningKey::from_bytes(&[1; 32]);
        Client::new(setup, ids(9)[0], identity, Directory::FirstUse(Default::default()), &policy)
            .err()
    };
    let with = |minimum, threshold| {
        let config = Config {
            minimum: Some(minimum),
            neighbours: Some(4),
            threshold: Some(threshold),
            ..Config::default()
        };
        config.setup(session(1), ids(9), 8, &mut rng(1)).unwrap()
    };
    let strict = Policy { clients: 5, majority: true };
    assert_eq!(new(with(5, 3), strict), None);
    assert!(matches!(new(with(4, 3), strict), Some(SecaggError::Policy(_))));
    assert!(matches!(new(with(5, 2), strict), Some(SecaggError::Policy(_))));
    assert!(matches!(new(with(2, 3), Policy::default()), Some(SecaggError::Policy(_))));
    assert!(matches!(new(with(3, 2), Policy::default()), Some(SecaggError::Policy(_))));
    assert_eq!(new(with(3, 2), Policy { clients: 3, majority: false }), None);
    // A client that the setup does not name, and an identity that is not its own.
    let identity = SigningKey::from_bytes(&[1; 32]);
    let known =
        Directory::Known([(ids(9)[0], SigningKey::from_bytes(&[2; 32]).verifying_key())].into());
    for (id, expected) in [(ClientId(1), Fault::Unknown), (ids(9)[0], Fault::Identity)] {
        let error =
            Client::new(with(5, 3), id, identity.clone(), known.clone(), &strict).err().unwrap();
        assert_eq!(fault(&error), (id, expected));
    }
}

#[test]
fn settings_that_do_not_work_are_named() {
    let fine = Config { max_weight: 10, ..Config::default() };
    let check = |config: Config, count, length| match config.setup(
        session(1),
        ids(count),
        length,
        &mut rng(1),
    ) {
        Err(SecaggError::Setting { field, .. }) => field,
        Err(other) => panic!("{other}"),
        Ok(_) => "",
    };
    assert_eq!(check(fine.clone(), 10, 5), "");
    assert_eq!(check(fine.clone(), 1, 5), "clients");
    assert_eq!(check(fine.clone(), 10, 0), "length");
    assert_eq!(check(Config { range: 0.0, ..fine.clone() }, 10, 5), "range");
    assert_eq!(check(Config { range: f32::NAN, ..fine.clone() }, 10, 5), "range");
    assert_eq!(check(Config { bits: Some(29), ..fine.clone() }, 10, 5), "bits");
    assert_eq!(check(Config { bits: Some(28), ..fine.clone() }, 10, 5), "");
    assert_eq!(check(Config { bits: Some(1), ..fine.clone() }, 10, 5), "bits");
    assert_eq!(check(Config { max_weight: 1 << 29, ..fine.clone() }, 10, 5), "max_weight");
    assert_eq!(check(Config { max_weight: 0, ..fine.clone() }, 10, 5), "max_weight");
    assert_eq!(check(Config { neighbours: Some(5), ..fine.clone() }, 10, 5), "neighbours");
    assert_eq!(check(Config { neighbours: Some(10), ..fine.clone() }, 10, 5), "neighbours");
    assert_eq!(check(Config { threshold: Some(11), ..fine.clone() }, 10, 5), "threshold");
    assert_eq!(check(Config { threshold: Some(1), ..fine.clone() }, 10, 5), "threshold");
    assert_eq!(check(Config { minimum: Some(11), ..fine.clone() }, 10, 5), "minimum");
    let twice = fine.setup(session(1), vec![ClientId(1), ClientId(2), ClientId(1)], 5, &mut rng(1));
    assert!(matches!(twice, Err(SecaggError::Setting { field: "clients", .. })));
}

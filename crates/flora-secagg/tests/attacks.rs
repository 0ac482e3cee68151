//! What a lying client does after its keys, and what others do in its name: refused, by name.

mod common;

use common::{Change, TASK, World, answer, expected, fault, setup, to};
use flora_secagg::{Answer, Bundle, ClientId, Fault, Opening, Plan, Response, SecaggError, Stage};

#[test]
fn answers_under_another_name_or_of_another_round_are_refused() {
    for stage in Stage::ALL {
        let mut world = World::new(5, 1);
        let (id, response) = answer(&mut world, stage, 2);
        let other = world.id(3);
        assert_eq!(
            fault(&world.server.receive(other, response.clone()).unwrap_err()),
            (other, Fault::Sender(id))
        );
        let stranger = ClientId(77);
        let renamed = Response { from: stranger, ..response.clone() };
        assert_eq!(
            fault(&world.server.receive(stranger, renamed).unwrap_err()),
            (stranger, Fault::Unknown)
        );

        let (_, old) = answer(&mut World::new(5, 2), stage, 2);
        let error = world.server.receive(id, old.clone()).unwrap_err();
        assert!(
            matches!(fault(&error), (client, Fault::Session { .. }) if client == id),
            "{error}"
        );
        // With the label of this round it is still of the other one.
        let relabelled = Response { tag: response.tag.clone(), ..old };
        match stage {
            // Lanes are random numbers: nothing tells whose.
            Stage::Masked | Stage::Shares => {}
            _ => assert_eq!(fault(&world.server.receive(id, relabelled).unwrap_err()).0, id),
        }
        world.server.receive(id, response.clone()).unwrap();
        assert_eq!(fault(&world.server.receive(id, response).unwrap_err()), (id, Fault::Twice));
    }
}

#[test]
fn shares_for_others_than_the_neighbours_are_refused() {
    let mut world = World::new(5, 1);
    let (id, response) = answer(&mut world, Stage::Shares, 1);
    let change = |change: Change<Vec<Bundle>>| {
        let mut response = response.clone();
        let Answer::Shares(shares) = &mut response.body else { panic!("no shares") };
        change(&mut shares.bundles);
        response
    };
    for wrong in [
        change(|bundles| bundles.truncate(3)),
        change(|bundles| bundles.swap(0, 1)),
        change(|bundles| bundles.push(bundles[0].clone())),
        change(|bundles| bundles[0].peer = ClientId(5)),
    ] {
        let error = world.server.receive(id, wrong).unwrap_err();
        assert!(matches!(fault(&error), (client, Fault::Clients(_)) if client == id), "{error}");
    }
}

#[test]
fn masked_lanes_of_another_length_are_refused_and_wrong_ones_show_in_the_sum() {
    let mut world = World::new(5, 1);
    let requests = world.until(Stage::Masked);
    let id = world.id(1);
    let response = world.answer(&to(&requests, id)).unwrap();
    let Answer::Masked { lanes, .. } = &response.body else { panic!("no lanes") };
    let short = Response {
        body: Answer::Masked { task: TASK, lanes: lanes[1..].to_vec() },
        ..response.clone()
    };
    assert!(matches!(fault(&world.server.receive(id, short).unwrap_err()), (_, Fault::Form(_))));
    let wrong = Response {
        body: Answer::Masked {
            task: TASK,
            lanes: lanes.iter().map(|lane| lane ^ (1 << 31)).collect(),
        },
        ..response
    };
    world.server.receive(id, wrong).unwrap();
    world.stage(&requests, &[id]).unwrap();
    let requests = world.server.close().unwrap();
    let error = world.rest(requests).unwrap_err();
    assert!(matches!(error, SecaggError::Sum { clients: 5, .. }), "{error}");
}

#[test]
fn a_tampered_opening_names_holder_and_dealer_and_the_others_are_enough() {
    let mut world = World::with(setup(5, 8, Some(Plan { degree: 4, threshold: 4 }), 1), 1);
    let requests = world.until(Stage::Masked);
    let gone = world.id(4);
    world.stage(&requests, &[gone]).unwrap();
    let requests = world.server.close().unwrap();
    world.stage(&requests, &[]).unwrap();
    let requests = world.server.close().unwrap();
    let id = world.id(1);
    let response = world.answer(&to(&requests, id)).unwrap();
    let Answer::Opened(openings) = &response.body else { panic!("no openings") };
    assert_eq!(openings.len(), 5);
    for i in 0..5 {
        let changes: [Change<Opening>; 3] =
            [|one| one.share[3] ^= 1, |one| one.blind[0] ^= 1, |one| one.share = [0xff; 32]];
        for change in changes {
            let mut wrong = openings.clone();
            change(&mut wrong[i]);
            let wrong = Response { body: Answer::Opened(wrong), ..response.clone() };
            let expected = Fault::Share { dealer: openings[i].dealer };
            assert_eq!(fault(&world.server.receive(id, wrong).unwrap_err()), (id, expected));
        }
    }
    // A share of one dealer under the name of another, and one that is left out.
    let mut swapped = openings.clone();
    let first = swapped[0].share;
    swapped[0].share = swapped[1].share;
    swapped[1].share = first;
    let few = openings[1..].to_vec();
    for wrong in [swapped, few] {
        let wrong = Response { body: Answer::Opened(wrong), ..response.clone() };
        assert_eq!(fault(&world.server.receive(id, wrong).unwrap_err()).0, id);
    }
    // Client 4 dropped out, so that all four others are needed for its key.
    world.stage(&requests, &[id]).unwrap();
    assert_eq!(world.server.waiting(), [id]);
    world.server.receive(id, response).unwrap();
    let sum = world.server.finish().unwrap();
    let (clients, lanes) = expected(world.server.setup(), &world.updates, |client| client != gone);
    assert_eq!(sum.clients(), clients);
    assert!(sum.lanes().iter().map(|lane| u64::from(*lane)).eq(lanes));
}

#[test]
fn wrong_signatures_of_survivors_are_the_senders_fault() {
    let mut world = World::new(5, 1);
    let (id, mut response) = answer(&mut world, Stage::Signed, 1);
    let Answer::Signed(signature) = &mut response.body else { panic!("no signature") };
    signature[7] ^= 1;
    assert_eq!(fault(&world.server.receive(id, response).unwrap_err()), (id, Fault::Signature));
}

#[test]
fn a_commitment_to_another_seed_is_the_dealers_fault() {
    let mut world = World::new(5, 1);
    let requests = world.until(Stage::Shares);
    let id = world.id(1);
    let mut response = world.answer(&to(&requests, id)).unwrap();
    let Answer::Shares(shares) = &mut response.body else { panic!("no shares") };
    shares.seed[0] ^= 1;
    world.server.receive(id, response).unwrap();
    world.stage(&requests, &[id]).unwrap();
    let requests = world.server.close().unwrap();
    assert_eq!(fault(&world.rest(requests).unwrap_err()), (id, Fault::Dealt));
}

#[test]
fn answers_that_come_late_are_refused() {
    let mut world = World::new(10, 1);
    let requests = world.until(Stage::Masked);
    let late = world.id(3);
    let response = world.answer(&to(&requests, late)).unwrap();
    world.stage(&requests, &[late]).unwrap();
    let requests = world.server.close().unwrap();
    assert_eq!(world.server.dropped(late), Some(Stage::Masked));
    let error = world.server.receive(late, response.clone()).unwrap_err();
    assert_eq!(error, SecaggError::Stage { expected: Stage::Signed, found: Stage::Masked });
    assert!(requests.iter().all(|(id, _)| *id != late));
    let signed = Response { body: Answer::Signed([0; 64]), ..response };
    assert_eq!(fault(&world.server.receive(late, signed).unwrap_err()), (late, Fault::Unasked));
}

//! Bytes of messages and saved states: read as written, and refused when damaged.

mod common;

use common::{TASK, World, rng, to};
use flora_secagg::{
    Client, Directory, Policy, Request, Response, SecaggError, Stage, Update, rand_core::Rng,
};

#[test]
fn clients_may_be_saved_and_restored_between_all_stages() {
    let mut world = World::new(5, 1);
    let mut plain = World::new(5, 1);
    let mut requests = world.server.start();
    loop {
        for (id, request) in &requests {
            let client = &world.clients[id];
            let (saved, directory) = (client.save(), client.directory().clone());
            let restored = Client::restore(
                &saved,
                world.identities[id].clone(),
                directory,
                &Policy::default(),
            )
            .unwrap();
            assert_eq!((restored.id(), restored.stage()), (*id, client.stage()));
            assert_eq!(*restored.save(), *saved);
            world.clients.insert(*id, restored);
            // As one that was not.
            let response = world.answer(request).unwrap();
            assert_eq!(plain.answer(request).unwrap(), response);
            world.server.receive(*id, response).unwrap();
        }
        if world.server.stage() == Stage::Opened {
            break;
        }
        requests = world.server.close().unwrap();
    }
    world.server.finish().unwrap();
    // The answer of a client that is done is kept, and no other one is given.
    let id = world.id(0);
    let (saved, identity) = (world.clients[&id].save(), world.identities[&id].clone());
    let mut restored = Client::restore(
        &saved,
        identity,
        Directory::FirstUse(Default::default()),
        &Policy::default(),
    )
    .unwrap();
    assert_eq!(restored.stage(), Stage::Over);
    assert_eq!(
        restored.answer(&to(&requests, id), None, &mut rng(1)),
        world.answer(&to(&requests, id))
    );
}

#[test]
fn damaged_states_are_refused() {
    for stage in Stage::ALL {
        let mut world = World::new(4, 1);
        world.until(stage);
        let id = world.id(0);
        let saved = world.clients[&id].save();
        let restore = |bytes: &[u8]| {
            let directory = Directory::FirstUse(Default::default());
            Client::restore(bytes, world.identities[&id].clone(), directory, &Policy::default())
        };
        restore(&saved).unwrap();
        for cut in [0, 1, 31, 32, 33, saved.len() / 2, saved.len() - 1] {
            assert!(matches!(restore(&saved[..cut]), Err(SecaggError::Bytes { .. })));
        }
        for place in (0..saved.len()).step_by(7) {
            let mut wrong = saved.to_vec();
            wrong[place] ^= 1;
            assert!(matches!(restore(&wrong), Err(SecaggError::Bytes { .. })));
        }
    }
}

/// All requests and responses of an attempt.
fn messages() -> (Vec<Request>, Vec<Response>) {
    let mut world = World::new(4, 1);
    let mut requests = world.server.start();
    let (mut asked, mut answered) = (Vec::new(), Vec::new());
    loop {
        for (id, request) in &requests {
            let response = world.answer(request).unwrap();
            asked.push(request.clone());
            answered.push(response.clone());
            world.server.receive(*id, response).unwrap();
        }
        if world.server.stage() == Stage::Opened {
            return (asked, answered);
        }
        requests = world.server.close().unwrap();
    }
}

#[test]
fn messages_are_read_as_written() {
    let (requests, responses) = messages();
    for request in requests {
        let bytes = request.to_bytes();
        assert_eq!(Request::from_bytes(&bytes).unwrap(), request);
        assert_eq!(
            serde_json::from_slice::<Request>(&serde_json::to_vec(&request).unwrap()).unwrap(),
            request
        );
        for cut in 0..bytes.len() {
            assert!(Request::from_bytes(&bytes[..cut]).is_err());
        }
        assert!(Request::from_bytes(&[&bytes[..], &[0]].concat()).is_err());
        assert!(
            Request::from_bytes(&[&[1], &bytes[1..]].concat())
                .unwrap_err()
                .to_string()
                .contains("version 1")
        );
        assert!(Request::from_bytes(&[&[2, 5], &bytes[2..]].concat()).is_err());
    }
    for response in responses {
        let bytes = response.to_bytes();
        assert_eq!(Response::from_bytes(&bytes).unwrap(), response);
        assert_eq!(
            serde_json::from_slice::<Response>(&serde_json::to_vec(&response).unwrap()).unwrap(),
            response
        );
        for cut in 0..bytes.len() {
            assert!(Response::from_bytes(&bytes[..cut]).is_err());
        }
        assert!(Response::from_bytes(&[&bytes[..], &[0]].concat()).is_err());
    }
}

#[test]
fn damaged_messages_cause_no_panic_and_no_other_sum() {
    let mut random = rng(3);
    let (requests, responses) = messages();
    for round in 0..400 {
        let (request, response) =
            (&requests[round % requests.len()], &responses[round % responses.len()]);
        let mut damage = |bytes: Vec<u8>| {
            let mut bytes = bytes;
            for _ in 0..1 + random.next_u32() % 3 {
                let place = random.next_u32() as usize % bytes.len();
                bytes[place] ^= 1 << (random.next_u32() % 8);
            }
            bytes
        };
        let (request_bytes, response_bytes) =
            (damage(request.to_bytes()), damage(response.to_bytes()));
        let mut world = World::new(4, 1);
        let stage = request.body.stage();
        world.until(stage);
        if let Ok(wrong) = Request::from_bytes(&request_bytes) {
            assert_eq!(wrong.to_bytes(), request_bytes);
            let client = world.clients.get_mut(&request.to).unwrap();
            let _ = client.answer(
                &wrong,
                Some(Update { values: &[0.0; 8], weight: 1, task: TASK }),
                &mut rng(1),
            );
        }
        if let Ok(wrong) = Response::from_bytes(&response_bytes) {
            assert_eq!(wrong.to_bytes(), response_bytes);
            // Lanes say nothing of themselves, nor do commitments and sealed shares before they are opened.
            let silent = matches!(response.body.stage(), Stage::Masked | Stage::Shares);
            assert!(
                world.server.receive(response.from, wrong.clone()).is_err()
                    || silent
                    || wrong == *response
            );
        }
    }
}

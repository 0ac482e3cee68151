//! Participants: all clients, some, or all data in one place; and the benefit of pretraining.

use flora_federation::Event;

use crate::common::{Images, bits, outcome, refusal, run};

#[test]
fn those_who_do_not_take_part_are_tested_all_the_same() {
    let images = Images::new(3, 2);
    let (finished, listener) = run(images.experiment(&["federation.participants=[\"beta\"]"]));
    assert_eq!(finished.outcome.unwrap().last_round.num_clients, 3);
    let selected: Vec<_> = listener
        .events
        .iter()
        .filter_map(|event| match event {
            Event::RoundStarted { selected, .. } => Some(selected.clone()),
            _ => None,
        })
        .collect();
    assert_eq!(selected, [["beta"], ["beta"]]);
}

/// A client with the same images as the central one takes the same steps except for the order, which depends on the
/// client's name; so the first and only batch of a round is the same set of images.
#[test]
fn the_central_client_trains_on_everything() {
    let images = Images::new(3, 2);
    let set = |more: &'static str| {
        images.experiment(&[more, "training.batch_size=36", "training.rounds=1"])
    };
    let central = outcome(set("federation.participants=central"));
    let alone = outcome(set("partition={ kind = \"iid\", clients = 1 }"));
    assert_eq!(central.last_round.num_clients, 3);
    for (name, tensor) in central.last.iter() {
        let (a, b) = (tensor.to_f32(), alone.last.get(name).unwrap().to_f32());
        let close = a.iter().zip(b.iter()).all(|(a, b)| (a - b).abs() < 1e-5);
        assert!(close, "{name}: {a:?} {b:?}");
    }
}

#[test]
fn a_client_that_there_is_not_is_named() {
    let message = refusal(Images::new(2, 1).experiment(&["federation.participants=[\"delta\"]"]));
    let parts = ["federation.participants", "delta", "alpha, beta, gamma"];
    assert!(parts.iter().all(|part| message.contains(part)), "{message}");
}

#[test]
fn random_weights_are_drawn_by_the_seed_and_never_come_from_the_cache() {
    let images = Images::new(3, 2);
    let pretrained = outcome(images.experiment(&["training.rounds=1"]));
    let random = |seed: &'static str| {
        outcome(images.experiment(&["model.random_weights=true", "training.rounds=1", seed]))
    };
    let (one, again, other) = (random("seed=3"), random("seed=3"), random("seed=4"));
    assert_eq!(bits(&one.last), bits(&again.last));
    assert_ne!(bits(&one.last), bits(&other.last));
    assert_ne!(one.initial.loss, pretrained.initial.loss);
    assert_eq!(outcome(images.experiment(&["training.rounds=1"])).last, pretrained.last);
}

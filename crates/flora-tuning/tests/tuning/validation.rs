//! A share of the training images is held out to evaluate rounds.

use flora_data::Split;
use flora_federation::{Event, RunStatus};
use flora_tuning::partition;

use crate::common::{Images, bits, outcome, refusal, run};
use crate::resume::NO_BETTER;

#[test]
fn rounds_are_scored_on_the_validation_images() {
    let images = Images::new(5, 3);
    for kind in [
        "partition={ kind = \"natural\" }",
        "partition={ kind = \"iid\", clients = 2 }",
        "partition={ kind = \"few-shot\", shots = 2, of = { kind = \"natural\" } }",
        "partition={ kind = \"base-to-novel\", of = { kind = \"natural\" } }",
    ] {
        let set = [kind, "data.validation=0.2", "training.rounds=1", "method.loss=class-ce"];
        let experiment = images.experiment(&set);
        let (dataset, dealt) = partition(&experiment).unwrap();
        assert_eq!(dataset.indices(Split::Validation).len(), 12);
        assert_eq!(dataset.indices(Split::Test).len(), 36);
        let (finished, listener) = run(experiment);
        assert!(finished.failure.is_none());
        let expected = |id: &str| {
            dealt.clients.iter().find(|client| client.id == id).unwrap().validation.len()
        };
        let mut evaluations = 0;
        for event in &listener.events {
            match event {
                Event::RunStarted { clients, .. } => {
                    let held = clients.iter().all(|it| it.num_test_examples == expected(&it.id));
                    assert!(held, "{kind}");
                }
                Event::Evaluated { clients, .. } => {
                    evaluations += 1;
                    let held = clients.iter().all(|it| it.num_examples == expected(&it.client));
                    assert!(held && !clients.is_empty(), "{kind}");
                }
                _ => {}
            }
        }
        // Before and after the round, and the clients' own.
        assert_eq!(evaluations, 3, "{kind}");
    }
}

/// The trained parameters are the same, whatever the test images.
#[test]
fn test_images_change_nothing_that_a_run_tells() {
    let set = ["data.validation=0.2", "training.rounds=2"];
    let [few, many] = [1, 4].map(|test| outcome(Images::new(5, test).experiment(&set)));
    assert_eq!(bits(&few.last), bits(&many.last));
    assert_eq!(few.last_round.accuracy, many.last_round.accuracy);
    assert_eq!(few.last_round.loss, many.last_round.loss);
}

#[test]
fn a_run_without_patience_left_is_finished() {
    let (finished, listener) = run(Images::new(4, 1).experiment(&NO_BETTER));
    assert_eq!(finished.status(), RunStatus::Finished);
    let outcome = finished.outcome.unwrap();
    assert!(outcome.stopped_early);
    assert_eq!((outcome.last_round.round, outcome.best_round.round), (2, 0));
    let told = |event: &Event| matches!(event, Event::StoppedEarly { round: 2, best_round: 0 });
    assert_eq!(listener.events.iter().filter(|event| told(event)).count(), 1);
}

/// Images of one group are in one split, whichever clients hold them.
#[test]
fn groups_are_held_out_over_all_clients() {
    let images = Images::new(10, 1);
    let path = images.path().join("dataset.toml");
    let text = std::fs::read_to_string(&path).unwrap();
    // The files are named by number, in every class of every domain.
    std::fs::write(&path, format!("group = \"file-stem\"\n{text}")).unwrap();
    let (dataset, dealt) = partition(&images.experiment(&["data.validation=0.2"])).unwrap();
    let names = |images: &[usize]| -> std::collections::BTreeSet<_> {
        images.iter().map(|&image| dataset.group(image).unwrap().to_owned()).collect()
    };
    let held = names(&dataset.indices(Split::Validation));
    assert_eq!(held.len(), 2);
    for client in &dealt.clients {
        assert_eq!(names(&client.validation), held);
        assert!(names(&client.train).is_disjoint(&held));
    }
}

#[test]
fn a_partition_without_validation_images_is_refused() {
    let images = Images::new(3, 2);
    let path = images.path().join("own.json");
    let (dataset, _) = partition(&images.experiment(&["data.validation=0.2"])).unwrap();
    let train = dataset.indices(Split::Train);
    let json = format!("{{\"clients\":[{{\"id\":\"a\",\"train\":{train:?},\"test\":[]}}]}}");
    std::fs::write(&path, json).unwrap();
    let file = format!("partition={{ kind = \"file\", path = {path:?} }}");
    let message = refusal(images.experiment(&[&file, "data.validation=0.2"]));
    assert!(message.contains("data.validation") && message.contains("no client"), "{message}");
}

#[test]
fn domains_that_are_in_no_mean_are_told() {
    let images = Images::new(3, 1);
    let told = |set: &[&str]| {
        let (_, listener) = run(images.experiment(set));
        listener.warnings().join("\n")
    };
    let set = ["training.rounds=1", "method.loss=class-ce"];
    assert_eq!(told(&set), "");
    for class in ["cat", "house", "sunflower seeds", "big red truck"] {
        let place = format!("images/beta/test/{class}/0.png");
        std::fs::remove_file(images.path().join(place)).unwrap();
    }
    let warning = told(&set);
    assert!(warning.starts_with("beta has no test image"), "{warning}");
    assert!(warning.contains("stratified-80-20"), "{warning}");
    let stratified =
        ["training.rounds=1", "method.loss=class-ce", "data.protocol=stratified-80-20"];
    assert_eq!(told(&stratified), "");
}

//! Full fine-tuning: every weight is trained, sent and averaged.

use burn::tensor::Device;
use flora_clip::Checkpoint;
use flora_tuning::prepare;

use crate::common::{Images, Listener, bits, outcome, run, save, tiny_clip};

const FEDFFT: [&str; 2] = ["method.name=fedfft", "training.learning_rate=3e-4"];

#[test]
fn every_weight_travels_and_the_loss_falls() {
    let images = Images::new(3, 2);
    let experiment = images.experiment(&FEDFFT);
    let mut listener = Listener::default();
    let prepared = prepare(experiment, &Device::flex(), &mut listener).unwrap();
    assert_eq!(prepared.trainable_parameters, prepared.total_parameters - 1, "the temperature");
    let (finished, listener) = run(images
        .experiment(&[&FEDFFT[..], &["training.rounds=4", "training.weight_decay=0"]].concat()));
    let losses = listener.losses();
    assert!(losses[3] < losses[0], "{losses:?}");
    let outcome = finished.outcome.unwrap();
    assert!(outcome.last.get("vision_model.embeddings.patch_embedding.weight").is_some());
}

#[test]
fn threads_change_nothing() {
    let images = Images::new(3, 2);
    let run = |threads: &'static str| {
        outcome(images.experiment(&[&FEDFFT[..], &[threads]].concat())).last
    };
    assert_eq!(bits(&run("federation.threads=1")), bits(&run("federation.threads=3")));
}

#[test]
fn what_was_trained_is_saved_as_a_checkpoint() {
    let images = Images::new(3, 2);
    let experiment = images.experiment(&FEDFFT);
    let trained = outcome(experiment.clone());
    let folder = tempfile::tempdir().unwrap();
    save(&experiment, &trained.last, folder.path()).unwrap();
    let model = folder.path().join("model");
    assert!(Checkpoint::open(&model).unwrap().digest().unwrap().len() > 10);

    // Its zero-shot accuracy and loss are the final ones of the run.
    let path = format!("model.path={}", model.display());
    let again = outcome(images.experiment(&["training.rounds=0", &path]));
    assert_eq!(again.initial.accuracy, trained.last_round.accuracy);
    let (a, b) = (again.initial.loss.unwrap(), trained.last_round.loss.unwrap());
    assert!((a - b).abs() < 1e-4, "{a} {b}");
    let base = Checkpoint::open(&tiny_clip()).unwrap().digest().unwrap();
    assert_ne!(Checkpoint::open(&model).unwrap().digest().unwrap(), base);

    let flora = images.experiment(&[]);
    assert!(save(&flora, &trained.last, folder.path()).is_err());
}

//! Runs whose frozen vision tower is in bf16.

use burn::tensor::Device;
use flora_clip::Precision;
use flora_core::ParameterRecord;
use flora_tuning::{Silent, TrainedModel, prepare};

use crate::common::{Images, bits, outcome, refusal, run, save};

const BF16: &str = "model.precision=bf16";
/// An adapter in the last of the two blocks of the vision tower.
const LAST: [&str; 2] = [
    "method.lora.towers=vision",
    "method.lora.target_modules=[\"vision_model.encoder.layers.1.self_attn.v_proj\"]",
];

fn most(left: &ParameterRecord, right: &ParameterRecord) -> f32 {
    left.check_matches(right).unwrap();
    let pairs = left.iter().flat_map(|(name, tensor)| {
        let other = right.get(name).unwrap().to_f32().into_owned();
        tensor.to_f32().into_owned().into_iter().zip(other)
    });
    pairs.fold(0.0, |most, (a, b)| most.max((a - b).abs()))
}

#[test]
fn training_from_rounded_features_and_states_is_near_that_from_f32() {
    for adapters in [&[][..], &LAST] {
        let images = Images::new(3, 2);
        let plain = outcome(images.experiment(adapters));
        let set = [adapters, &[BF16]].concat();
        let (finished, told) = run(images.experiment(&set));
        assert!(finished.failure.is_none());
        let rounded = finished.outcome.unwrap();
        let losses = told.losses();
        assert!(losses.len() == 2 && losses.iter().all(|loss| loss.is_finite()), "{losses:?}");
        // Adam's steps of 1e-3, of which rounding changes the direction of few.
        let difference = most(&plain.last, &rounded.last);
        assert!(difference > 0.0 && difference < 5e-3, "{adapters:?}: {difference:e}");
        // Another run finds the cached features of this one.
        let (again, told) = run(images.experiment(&set));
        assert!(told.progress.is_empty(), "nothing is computed");
        assert_eq!(bits(&again.outcome.unwrap().last), bits(&rounded.last));
        // And f32 finds its own.
        assert_eq!(bits(&outcome(images.experiment(adapters)).last), bits(&plain.last));
    }
}

#[test]
fn a_run_says_its_precision_and_its_model_has_it() {
    let images = Images::new(2, 1);
    let inputs = |set: &[&str]| {
        prepare(images.experiment(set), &Device::flex(), &mut Silent).unwrap().inputs
    };
    let (plain, mut rounded) = (inputs(&[]), inputs(&[BF16]));
    assert!(rounded.remove("precision of the frozen vision tower").is_some());
    assert_eq!(plain, rounded, "runs in f32 have the inputs that they always had");

    for (set, precision) in [(&[][..], Precision::F32), (&[BF16], Precision::Bf16)] {
        let experiment = images.experiment(set);
        let (finished, _) = run(experiment.clone());
        let folder = tempfile::tempdir().unwrap();
        save(&experiment, &finished.outcome.unwrap().last, folder.path()).unwrap();
        let trained = TrainedModel::open(&experiment, folder.path(), &Device::flex()).unwrap();
        let trained = trained.unwrap();
        assert_eq!(trained.provenance.precision, precision);
        assert_eq!(trained.model.precision(), precision);
    }
}

#[test]
fn nothing_but_frozen_work_is_rounded() {
    let images = Images::new(2, 1);
    for set in [
        &["method.implementation=naive"][..],
        &["method.name=fedfft"],
        &["method.lora.towers=vision"],
        &["model.random_weights=true", LAST[0], LAST[1]],
    ] {
        let message = refusal(images.experiment(&[set, &[BF16]].concat()));
        assert!(message.contains("model.precision: bf16 only applies to"), "{set:?}: {message}");
    }
}

#[test]
fn sums_of_another_precision_are_not_added_to() {
    let images = Images::new(2, 1);
    let folder = tempfile::tempdir().unwrap();
    let lda = ["method.name=lda", BF16, "federation.participants=[\"alpha\"]"];
    let experiment = images.experiment(&lda);
    let (finished, _) = run(experiment.clone());
    save(&experiment, &finished.outcome.unwrap().last, folder.path()).unwrap();
    let start = format!("method.closed_form.start={}", folder.path().display());
    let late = ["method.name=lda", "federation.participants=[\"beta\"]", &start];
    let message = refusal(images.experiment(&late));
    let words = "method.closed_form.start: its sums are of features in bf16, but this run's would be in f32";
    assert!(message.contains(words), "{message}");
}

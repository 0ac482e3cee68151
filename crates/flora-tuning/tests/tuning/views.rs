//! Augmented views of training images, computed once like the images themselves.

use std::sync::Arc;

use burn::tensor::Device;
use flora_core::ParameterRecord;
use flora_data::{Dataset, Features, Split, View};
use flora_lora::LoraConfig;
use flora_tuning::{
    ImageInput, Implementation, LossKind, TrainingConfig, TuningClient, Views, prepare,
};

use crate::common::{
    Images, Listener, Setup, bits, checkpoint, features, fit, max_difference, outcome, refusal, run,
};

#[test]
fn runs_with_views_are_repeatable_and_others() {
    let images = Images::new(2, 1);
    let plain = outcome(images.experiment(&[]));
    let (first, told) = run(images.experiment(&["data.views=2"]));
    // The images are cached by the run without views; 3 domains x 4 classes x 2 training images have two views each.
    let done: Vec<_> = told.progress.iter().filter(|(_, done, total)| done == total).collect();
    assert_eq!(done.len(), 2, "{done:?}");
    assert!(done.iter().all(|(_, _, total)| *total == 24));
    let first = first.outcome.unwrap();
    assert_ne!(bits(&first.last), bits(&plain.last));
    assert_eq!(first.initial, plain.initial, "round 0 sees the images as they are");

    let (again, told) = run(images.experiment(&["data.views=2"]));
    assert!(told.progress.is_empty(), "nothing is computed");
    assert_eq!(bits(&again.outcome.unwrap().last), bits(&first.last));
    // A third view does not change the first two.
    let (_, told) = run(images.experiment(&["data.views=3"]));
    assert_eq!(told.progress.iter().filter(|(_, done, total)| done == total).count(), 1);
    // Another data seed draws other views; another training seed does not.
    let (_, told) = run(images.experiment(&["data.views=2", "data.seed=5"]));
    assert!(!told.progress.is_empty());
    let (_, told) = run(images.experiment(&["data.views=2", "seed=5"]));
    assert!(told.progress.is_empty());
}

#[test]
fn cached_views_are_those_that_the_naive_path_looks_at() {
    let images = Images::new(2, 1);
    let vision =
        ["method.lora.towers=vision", "method.lora.target_modules=[\"layers.1.self_attn.q_proj\"]"];
    for more in [&[][..], &vision] {
        let set = |path| [&["data.views=3", "training.local_epochs=2", path], more].concat();
        let fast = outcome(images.experiment(&set("method.implementation=fast")));
        let naive = outcome(images.experiment(&set("method.implementation=naive")));
        let difference = max_difference(&fast.last, &naive.last);
        assert!(difference < 1e-4, "{more:?}: {difference:e}");
        let accuracy = |round: usize| (fast.history[round].accuracy, naive.history[round].accuracy);
        assert!((0..3).all(|round| accuracy(round).0 == accuracy(round).1));
    }
}

/// A client's result of a round with this many epochs, of the images `seen` alone.
fn trained(
    images: &Images,
    seen: &[&Dataset],
    round: usize,
    local_epochs: usize,
) -> ParameterRecord {
    let setup = Setup::new(images, &LoraConfig::default(), LossKind::ClassCe, Implementation::Fast);
    let dataset = images.dataset();
    let rows = |dataset: &&Dataset| -> Features { features(&checkpoint(), dataset) };
    let each = seen.iter().map(|it| ImageInput::Features(Arc::new(rows(it).into()))).collect();
    let mut setup = setup;
    setup.objective.views = Some(Views::new(each, &dataset.indices(Split::Train), dataset.len()));
    let training = TrainingConfig { batch_size: 5, local_epochs, ..TrainingConfig::default() };
    let cohort = Arc::new(setup.cohort(training));
    let initial = cohort.initial().as_ref().clone();
    let partition = images.experiment(&[]).partition.apply(&dataset, 0).unwrap();
    let mut client = TuningClient::new(partition.clients[1].clone(), cohort);
    fit(&mut client, round, &initial)
}

#[test]
fn epochs_see_one_view_after_the_other() {
    let images = Images::new(3, 1);
    let train = images.dataset().as_ref().clone().only(Split::Train);
    let view = |number| train.clone().seen_as(View { seed: 0, number });
    let [zero, one] = [view(0), view(1)];
    for round in 0..4 {
        let both = trained(&images, &[&zero, &one], round, 1);
        let turns = [&zero, &one][round % 2];
        assert_eq!(bits(&both), bits(&trained(&images, &[turns], round, 1)), "round {round}");
        let other = [&zero, &one][(round + 1) % 2];
        assert_ne!(bits(&both), bits(&trained(&images, &[other], round, 1)), "round {round}");
    }
}

#[test]
fn epochs_are_counted_whatever_round_a_server_says() {
    let images = Images::new(3, 1);
    let train = images.dataset().as_ref().clone().only(Split::Train);
    let [zero, one, two] = [0, 1, 2].map(|number| train.clone().seen_as(View { seed: 0, number }));
    // Of 64 bits: its epochs are number 2^65 - 2 and 2^65 - 1, which leave 0 and 1 when divided by 3.
    let round = usize::MAX;
    let of_three = trained(&images, &[&zero, &one, &two], round, 2);
    assert_eq!(bits(&of_three), bits(&trained(&images, &[&zero, &one], round, 2)));
    assert_ne!(bits(&of_three), bits(&trained(&images, &[&one, &two], round, 2)));
}

#[test]
fn validation_and_test_images_have_no_views() {
    let images = Images::new(5, 1);
    let set = ["data.views=1", "data.validation=0.2"];
    let mut told = Listener::default();
    let prepared = prepare(images.experiment(&set), &Device::flex(), &mut told).unwrap();
    let count = |split| prepared.dataset.indices(split).len();
    assert!(count(Split::Validation) > 0);
    let totals: Vec<usize> =
        told.progress.iter().filter(|(_, done, total)| done == total).map(|it| it.2).collect();
    assert_eq!(totals, [prepared.dataset.len(), count(Split::Train)]);
}

#[test]
fn views_that_make_no_sense_are_refused() {
    let images = Images::new(1, 1);
    for name in ["ridge", "zero-shot"] {
        let message = images.try_experiment(&["data.views=2", &format!("method.name={name}")]);
        let message = message.map_or_else(|error| error, refusal);
        assert!(message.contains("data.views") && message.contains(name), "{message}");
    }
    let message = images.try_experiment(&["data.views=101"]).map_or_else(|error| error, refusal);
    assert!(message.contains("data.views: 101; choose at most 100"), "{message}");
}

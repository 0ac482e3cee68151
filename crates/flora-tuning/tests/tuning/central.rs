//! A federation of one client equals central training.

use burn::module::Module;
use burn::optim::decay::WeightDecayConfig;
use burn::optim::{AdamConfig, GradientsParams, ModuleOptimizer};
use burn::tensor::{Int, Tensor, TensorData};
use flora_clip::{Padding, Tokens, loss, normalize};
use flora_core::ParameterRecord;
use flora_data::Split;
use flora_lora::{LoraConfig, adapter_record, attach};
use flora_tuning::TuningModel;
use rand::seq::SliceRandom;

use crate::common::{Images, autodiff, bits, checkpoint, features, outcome, single_threaded};

const SEED: u64 = 3;
const ROUNDS: usize = 3;
const EPOCHS: usize = 2;
const BATCH: usize = 5;

fn adam() -> ModuleOptimizer {
    let decay = Some(WeightDecayConfig::new(0.2));
    AdamConfig::new()
        .with_beta_1(0.9)
        .with_beta_2(0.98)
        .with_epsilon(1e-6)
        .with_weight_decay(decay)
        .init()
}

/// Adam over the same batches, with burn and the model alone: no clients, records or rounds, except for the labels of
/// the shuffles. `forgetful` starts a new optimizer where a round would begin.
fn central(images: &Images, forgetful: bool) -> ParameterRecord {
    let (checkpoint, dataset) = (checkpoint(), images.dataset());
    let device = autodiff();
    let clip = checkpoint.load(&device).unwrap();
    let factor = clip.temperature_factor();
    let features = features(&checkpoint, &dataset);
    let sentences: Vec<String> =
        dataset.classes().iter().map(|class| format!("a {class}.")).collect();
    let prompts = checkpoint.tokenizer.encode_all(&sentences).unwrap();

    let clip = TuningModel::new(clip, false);
    let mut model = attach(clip, &LoraConfig::default(), SEED).unwrap();
    let tokens = Tokens::new(&prompts, Padding::Longest, &checkpoint.config.text_config).unwrap();
    let prefix = model.valid().text_prefix(&tokens);
    let mut optimizer = adam();
    for round in 0..ROUNDS {
        if forgetful {
            optimizer = adam();
        }
        for epoch in 0..EPOCHS {
            let mut order = dataset.indices(Split::Train);
            let label = format!("client client-00 round {round} epoch {epoch}");
            order.shuffle(&mut flora_core::seed::stream(SEED, &label));
            for batch in order.chunks(BATCH) {
                let rows: Vec<f32> = batch.iter().flat_map(|&i| features.row(i)).copied().collect();
                let rows = TensorData::new(rows, [batch.len(), features.dim]);
                let seen = normalize(Tensor::<2>::from_data(rows, &device));

                let classes: std::collections::BTreeSet<usize> =
                    batch.iter().map(|&i| dataset.label(i)).collect();
                let distinct: Vec<usize> = classes.iter().copied().collect();
                let place = |&i: &usize| {
                    classes.iter().position(|&class| class == dataset.label(i)).unwrap() as i32
                };
                let places: Vec<i32> = batch.iter().map(place).collect();
                let places = TensorData::new(places, [batch.len()]);
                let places = Tensor::<1, Int>::from_data(places, &device);
                let read = normalize(model.text_features_from(&prefix, &distinct));

                let logits = seen.matmul(read.transpose()).mul_scalar(factor).select(1, places);
                let gradients = loss::contrastive(logits).backward();
                let gradients = GradientsParams::from_grads(gradients, &model);
                model = optimizer.step(1e-3, model, gradients);
            }
        }
    }
    adapter_record(&model).unwrap()
}

#[test]
fn one_client_with_all_the_data_is_central_training_to_the_bit() {
    // 24 training images: batches of 5, 5, 5, 5 and 4.
    let images = Images::new(2, 1);
    let experiment = images.experiment(&[
        "partition={ kind = 'iid', clients = 1 }",
        &format!("training.rounds={ROUNDS}"),
        &format!("training.local_epochs={EPOCHS}"),
    ]);
    assert_eq!((experiment.seed, experiment.training.batch_size), (SEED, BATCH));
    let federated = outcome(experiment).last;

    let expected = single_threaded(|| central(&images, false));
    assert_eq!(bits(&federated), bits(&expected));
    // The comparison is sensitive: the optimizer state kept across rounds matters.
    assert_ne!(bits(&federated), bits(&single_threaded(|| central(&images, true))));
}

//! The fast path gives the same results as the naive path.

use std::sync::Arc;

use flora_core::ParameterRecord;
use flora_lora::{LoraConfig, Towers};
use flora_tuning::{ImageInput, Implementation, LossKind};

use crate::common::{Images, Setup, checkpoint, features};

/// Relative to the loss, and to the largest gradient of each tensor.
const TOLERANCE: f32 = 1e-5;

const LOSSES: [LossKind; 2] = [LossKind::Infonce, LossKind::ClassCe];

fn both(images: &Images, lora: &LoraConfig, loss: LossKind) -> [Setup; 2] {
    [Implementation::Fast, Implementation::Naive]
        .map(|path| Setup::new(images, lora, loss, path).trained())
}

/// The largest difference of the losses and of any gradient, each relative to its scale.
fn difference(left: &(f32, ParameterRecord), right: &(f32, ParameterRecord)) -> f32 {
    let mut most = (left.0 - right.0).abs() / right.0.abs();
    for (name, expected) in right.1.iter() {
        let (actual, expected) = (left.1.get(name).unwrap().to_f32(), expected.to_f32());
        let scale = expected.iter().fold(0f32, |most, x| most.max(x.abs()));
        assert!(scale > 1e-6, "{name} has no gradient that could be compared");
        for (a, b) in actual.iter().zip(expected.iter()) {
            let relative = (a - b).abs() / scale;
            assert!(!relative.is_nan(), "{name}");
            most = most.max(relative);
        }
    }
    most
}

/// Every class occurs, some more than once and out of order; then a last, smaller batch; then one whose longest prompt
/// is short. (Not a single class: there the gradients cancel to rounding errors.)
fn batches(images: &Images) -> [Vec<usize>; 3] {
    let dataset = images.dataset();
    let of = |class: usize| (0..dataset.len()).filter(move |&i| images.dataset().label(i) == class);
    let some: Vec<usize> = [3, 0, 1, 0, 2, 3, 3]
        .iter()
        .enumerate()
        .map(|(nth, &class)| of(class).nth(nth).unwrap())
        .collect();
    [
        some,
        of(2).take(2).chain(of(1).take(1)).collect(),
        of(0).take(1).chain(of(1).take(2)).collect(),
    ]
}

#[test]
fn fast_and_naive_agree_in_loss_and_every_gradient() {
    let images = Images::new(2, 1);
    let everywhere = ["q_proj", "out_proj", "fc2", "text_projection", "visual_projection"];
    let everywhere =
        LoraConfig { target_modules: everywhere.into(), lora_alpha: 4.0, ..LoraConfig::default() };
    // The states below the first adapter are computed once: the cut is before, within and after blocks.
    let above = |pattern: &str| LoraConfig {
        target_modules: [pattern].into(),
        lora_alpha: 4.0,
        ..LoraConfig::default()
    };
    let seen = |pattern: &str, towers| LoraConfig { towers, ..above(pattern) };
    for lora in [
        LoraConfig::default(),
        above("text_model.encoder.layers.0.mlp.fc1"),
        above("text_model.encoder.layers.1.self_attn.v_proj"),
        above("text_model.encoder.layers.1.self_attn.out_proj"),
        above("text_model.encoder.layers.1.mlp.fc2"),
        above("text_projection"),
        LoraConfig { towers: Towers::Vision, ..LoraConfig::default() },
        // The same for images: the cut is before, within and after blocks.
        seen("vision_model.encoder.layers.0.mlp.fc2", Towers::Vision),
        seen("vision_model.encoder.layers.1.self_attn.k_proj", Towers::Vision),
        seen("layers.1.self_attn.out_proj", Towers::Both),
        seen("layers.1.mlp.fc1", Towers::Both),
        seen("visual_projection", Towers::Vision),
        seen("visual_projection", Towers::Both),
        LoraConfig { towers: Towers::Both, ..everywhere.clone() },
        everywhere,
    ] {
        for loss in LOSSES {
            let [fast, naive] = both(&images, &lora, loss);
            for batch in batches(&images) {
                let (fast, naive) =
                    (fast.loss_and_gradients(&batch), naive.loss_and_gradients(&batch));
                let difference = difference(&fast, &naive);
                let what = format!("{:?} {loss:?} {batch:?}", lora.towers);
                assert!(difference < TOLERANCE, "{what}: {difference:e}");
            }
        }
    }
}

#[test]
fn a_batch_of_one_contrasts_nothing_but_has_a_class() {
    let images = Images::new(1, 1);
    let [fast, naive] = both(&images, &LoraConfig::default(), LossKind::ClassCe);
    let difference = difference(&fast.loss_and_gradients(&[7]), &naive.loss_and_gradients(&[7]));
    assert!(difference < TOLERANCE, "{difference:e}");
    for setup in both(&images, &LoraConfig::default(), LossKind::Infonce) {
        let (loss, gradients) = setup.loss_and_gradients(&[7]);
        assert_eq!(loss, 0.0);
        assert!(gradients.iter().all(|(_, tensor)| tensor.to_f32().iter().all(|&x| x == 0.0)));
    }
}

/// The comparison would detect a path with other results.
#[test]
fn a_difference_would_be_noticed() {
    let images = Images::new(2, 1);
    let batch = &batches(&images)[0];
    for loss in LOSSES {
        let [mut fast, naive] = both(&images, &LoraConfig::default(), loss);
        let expected = naive.loss_and_gradients(batch);

        let mut moved = features(&checkpoint(), &images.dataset());
        moved.values[batch[2] * moved.dim + 5] += 1e-3;
        let moved = ImageInput::Features(Arc::new(moved.into()));
        let exact = std::mem::replace(&mut fast.objective.images, moved);
        let moved = difference(&fast.loss_and_gradients(batch), &expected);
        assert!(moved > 2.0 * TOLERANCE, "one feature of one image: {moved:e}");

        fast.objective.images = exact;
        let mut labels = (*fast.objective.labels).clone();
        labels[batch[2]] = labels[batch[0]];
        fast.objective.labels = Arc::new(labels);
        let mislabelled = difference(&fast.loss_and_gradients(batch), &expected);
        assert!(mislabelled > 1e-2, "one image with another prompt: {mislabelled:e}");
    }
}

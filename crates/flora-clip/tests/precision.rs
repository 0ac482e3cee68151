//! A vision tower in bf16: near the one in f32, below adapters only, and never where gradients are wanted.

mod common;

use burn::module::Module;
use burn::tensor::{Device, Tensor};
use common::{Expected, bits, fixture, values};
use flora_clip::{Checkpoint, Clip, Precision, Readout, normalize};
use flora_lora::{LoraConfig, Towers, attach};

fn clip(device: &Device) -> Clip {
    Checkpoint::open(&fixture("tiny-clip")).unwrap().load(device).unwrap()
}

fn images(device: &Device) -> Tensor<4> {
    Expected::read("tiny-clip/expected.safetensors").tensor("pixel_values", device)
}

/// The least cosine of two rows that belong together.
fn cosine(left: Tensor<2>, right: Tensor<2>) -> f32 {
    let products = (normalize(left) * normalize(right)).sum_dim(1);
    values(products).into_iter().fold(1.0, f32::min)
}

#[test]
fn features_in_bf16_are_near_those_in_f32() {
    let device = Device::flex();
    let (plain, images) = (clip(&device), images(&device));
    let rounded = plain.clone().in_precision(Precision::Bf16).unwrap();
    let near = |of: &dyn Fn(&Clip) -> Tensor<2>| {
        let (plain, rounded) = (of(&plain), of(&rounded));
        assert_ne!(values(plain.clone()), values(rounded.clone()));
        let cosine = cosine(plain, rounded);
        assert!(cosine > 0.9999, "{cosine}");
    };
    near(&|clip| clip.image_features(images.clone()));
    let readout = Readout { class: vec![2], patches: vec![1, 2], shifts: true };
    near(&|clip| clip.image_rows(images.clone(), &readout));

    // As it was.
    let same = rounded.clone().in_precision(Precision::F32).unwrap();
    let features = |clip: &Clip| bits(clip.image_features(images.clone()));
    assert_eq!(features(&same), features(&plain));
}

#[test]
fn gradients_are_those_of_f32() {
    let device = Device::flex().autodiff();
    let (plain, images) = (clip(&device).no_grad(), images(&device));
    let rounded = plain.clone().in_precision(Precision::Bf16).unwrap();
    let gradient = |clip: &Clip| {
        let images = images.clone().require_grad();
        let gradients = clip.image_features(images.clone()).sum().backward();
        bits(images.grad(&gradients).unwrap())
    };
    assert_eq!(gradient(&rounded), gradient(&plain));
    // It is rounded once autodiff is gone.
    let features = |clip: Clip| values(clip.valid().image_features(images.clone().inner()));
    assert_ne!(features(rounded), features(plain));
}

/// Layers of the last block, with an adapter in each in turn: what is above it, and its own layer, is in f32.
#[test]
fn rounded_is_what_lies_below_the_first_adapter() {
    let device = Device::flex();
    let images = images(&device);
    let names =
        ["self_attn.q_proj", "self_attn.v_proj", "self_attn.out_proj", "mlp.fc1", "mlp.fc2"];
    for name in names {
        let config = LoraConfig {
            target_modules: [format!("encoder.layers.1.{name}").as_str()].into(),
            towers: Towers::Vision,
            ..LoraConfig::default()
        };
        let plain = attach(clip(&device), &config, 5).unwrap().vision_model;
        let rounded = plain.clone().in_precision(Precision::Bf16).unwrap();
        let cut = plain.cut();
        assert!(!cut.is_above_all_blocks());
        let below = rounded.prefix(images.clone(), cut);
        assert_ne!(values(below.clone()), values(plain.prefix(images.clone(), cut)), "{name}");
        let (one, other) =
            (rounded.forward_from(below.clone(), cut), plain.forward_from(below, cut));
        assert_eq!(bits(one), bits(other), "{name}");
    }
}

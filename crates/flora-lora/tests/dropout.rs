//! Dropout on the adapters' inputs: in training only, and repeatable.

mod common;

use burn::module::{Module, Param};
use burn::tensor::{Device, Tensor};
use common::{Two, bits, config, inputs, trained, values};
use flora_lora::{LoraConfig, LoraLinear, attach, load_adapter_record, reseed_dropout};

fn model(dropout: f64, seed: u64, device: &Device) -> Two {
    let config = LoraConfig { lora_dropout: dropout, lora_alpha: 2.0, ..config() };
    load_adapter_record(attach(Two::new(device), &config, seed).unwrap(), &trained()).unwrap()
}

fn run(model: &Two, times: usize) -> Vec<Vec<u32>> {
    let device = Device::flex().autodiff();
    (0..times).map(|_| bits(model.forward(inputs(&device)))).collect()
}

#[test]
fn inference_drops_nothing() {
    let (plain, autodiff) = (Device::flex(), Device::flex().autodiff());
    let expected = bits(model(0.0, 0, &plain).forward(inputs(&plain)));
    let dropped = model(0.5, 0, &autodiff);
    assert_eq!(bits(dropped.valid().forward(inputs(&plain))), expected);
    assert_eq!(bits(model(0.5, 0, &plain).forward(inputs(&plain))), expected);
    assert_ne!(run(&dropped, 1)[0], expected, "training must drop");
}

#[test]
fn masks_follow_the_seed() {
    let device = Device::flex().autodiff();
    let first = run(&model(0.5, 1, &device), 3);
    assert!(first[0] != first[1] && first[1] != first[2], "every step has a mask of its own");
    assert_eq!(run(&model(0.5, 1, &device), 3), first);
    assert_ne!(run(&model(0.5, 2, &device), 3), first);
}

#[test]
fn copies_do_not_disturb_each_other() {
    let device = Device::flex().autodiff();
    let original = model(0.5, 1, &device);
    let undisturbed = run(&original.clone(), 3);
    let copy = original.clone();
    run(&original.clone(), 5);
    assert_eq!(run(&copy, 3), undisturbed);
    // A copy continues where the original is.
    assert_eq!(run(&original, 1)[0], undisturbed[0]);
    assert_eq!(run(&original.clone(), 2), undisturbed[1..]);
}

#[test]
fn copies_can_be_told_apart() {
    let device = Device::flex().autodiff();
    let original = model(0.5, 1, &device);
    let seeded = |seed| run(&reseed_dropout(original.clone(), seed), 2);
    assert_ne!(seeded(7), run(&original.clone(), 2));
    assert_ne!(seeded(7), seeded(8));
    assert_eq!(seeded(7), seeded(7));
    let without = model(0.0, 1, &device);
    assert_eq!(run(&reseed_dropout(without.clone(), 7), 1), run(&without, 1));
}

#[test]
fn training_one_matrix_is_training() {
    // FFA-LoRA freezes A, RoLoRA takes turns.
    let device = Device::flex().autodiff();
    for freeze in [
        |layer: &mut LoraLinear| freeze(&mut layer.lora.as_mut().unwrap().lora_a),
        |layer: &mut LoraLinear| freeze(&mut layer.lora.as_mut().unwrap().lora_b),
    ] {
        let mut model = model(0.5, 1, &device);
        freeze(&mut model.first);
        freeze(&mut model.second);
        let outputs = run(&model, 2);
        assert_ne!(outputs[0], outputs[1]);
    }
}

fn freeze(param: &mut Param<Tensor<2>>) {
    *param = param.clone().no_grad();
}

#[test]
fn what_is_kept_is_scaled_up() {
    // All ones through A and B of ones: the output counts the inputs that were kept.
    let device = Device::flex().autodiff();
    let width = 4000;
    let zeros = burn::module::Initializer::Zeros;
    let layer = |input, output| LoraLinear::new(input, output, false, &zeros, &device);
    let model = Two { first: layer(width, 2), second: layer(2, 2) };
    let config = LoraConfig { r: 1, lora_alpha: 1.0, lora_dropout: 0.2, ..config() };
    let mut layer = attach(model, &config, 0).unwrap().first;
    let lora = layer.lora.as_mut().unwrap();
    lora.lora_a = lora.lora_a.clone().map(|a| a.ones_like().require_grad());
    lora.lora_b = lora.lora_b.clone().map(|b| b.ones_like().require_grad());
    let output = values(layer.forward(Tensor::<2>::ones([1, width], &device)));
    let kept = f64::from(output[0]) / 1.25;
    assert!((kept - kept.round()).abs() < 1e-2, "{kept} is not a number of inputs");
    // Binomial with a standard deviation of 25.3.
    assert!((kept - 0.8 * width as f64).abs() < 130.0, "{kept} of {width} kept");
}

//! Adapters: PEFT's outputs, their gradients, a training step, and files for other tools.

use burn::module::Module;
use burn::optim::{GradientsParams, SgdConfig};
use burn::tensor::Device;
use flora::clip::{Checkpoint, Clip, SaveOptions, loss};
use flora::core::{Dtype, HostTensor, ParameterRecord};
use flora::lora::{
    LoraConfig, Towers, adapter_record, attach, attach_peft, load_adapter_record, load_peft, merge,
    save_peft,
};

use super::{
    BACKWARD, Case, Expected, FORWARD, assert_near, assert_records_near, device, fixture, values,
};

/// One of each kind from the fixtures: a tower, projections, layers by pattern, DoRA, biases, whole modules.
const ADAPTERS: [&str; 6] =
    ["text-model", "vision-with-projection", "layers-pattern", "dora", "lora-bias", "whole"];

#[test]
fn adapters_give_the_features_of_peft_attached_merged_and_exported() {
    let mut case = Case::open("tiny-clip", &device());
    let expected = Expected::read("peft/expected.safetensors");
    for name in ADAPTERS {
        let adapter = load_peft(&fixture("peft").join(name)).unwrap();
        let adapter = adapter.fitted(&mut case.clip).unwrap();
        let clip = attach_peft(case.clip.clone(), &adapter).unwrap();
        let prefix = format!("{name}/");
        case.assert_features(&clip, &expected, &prefix, &format!("{name} attached"));
        let merged = merge(clip);
        case.assert_features(&merged, &expected, &prefix, &format!("{name} merged"));

        let folder = tempfile::tempdir().unwrap();
        let Checkpoint { config, tokenizer, preprocessor, .. } = &case.checkpoint;
        let options = SaveOptions::from(Dtype::F32);
        Checkpoint::save(folder.path(), &merged, config, tokenizer, preprocessor, options).unwrap();
        let read = Checkpoint::open(folder.path()).unwrap().load(&device()).unwrap();
        case.assert_features(&read, &expected, &prefix, &format!("{name} exported"));
    }
}

/// LoRA in both towers, with non-zero weights only.
fn adapted(device: &Device) -> (Case, Clip) {
    let case = Case::open("tiny-clip", device);
    let targets = ["q_proj", "out_proj", "fc2", "text_projection", "visual_projection"];
    let config = LoraConfig {
        target_modules: targets.into(),
        towers: Towers::Both,
        ..LoraConfig::default()
    };
    let model = attach(case.clip.clone(), &config, 0).unwrap();
    let mut record = ParameterRecord::new();
    for (salt, (name, tensor)) in adapter_record(&model).unwrap().iter().enumerate() {
        let number = |index: usize| 0.05 * ((index * 37 + salt * 101 + 11) as f32 * 0.618).sin();
        let values = (0..tensor.to_f32().len()).map(number).collect();
        record.insert(name, HostTensor::from_f32(tensor.shape(), values).unwrap()).unwrap();
    }
    let model = load_adapter_record(model, &record).unwrap();
    (case, model)
}

fn gradients(case: &Case, model: &Clip) -> (f32, GradientsParams) {
    let rows = case.images.dims()[0];
    let logits = model.logits_per_image(case.images.clone(), &case.tokens);
    let loss = loss::contrastive(logits.slice([0..rows, 0..rows]));
    let gradients = GradientsParams::from_grads(loss.backward(), model);
    (values(loss)[0], gradients)
}

/// The adapters after plain gradient descent, which reveals the gradients.
fn descended(device: &Device) -> (f32, ParameterRecord) {
    let (case, model) = adapted(&device.clone().autodiff());
    let before = adapter_record(&model).unwrap();
    let (loss, gradients) = gradients(&case, &model);
    let model = SgdConfig::new().init().step(1.0, model, gradients);
    let after = adapter_record(&model).unwrap();
    let mut moved = ParameterRecord::new();
    for (name, tensor) in after.iter() {
        let before = before.get(name).unwrap().to_f32();
        let by = tensor.to_f32().iter().zip(before.iter()).map(|(a, b)| a - b).collect();
        moved.insert(name, HostTensor::from_f32(tensor.shape(), by).unwrap()).unwrap();
    }
    (loss, moved)
}

#[test]
fn loss_and_gradients_of_adapters_are_those_of_flex() {
    let (loss, moved) = descended(&device());
    let (expected, expected_moved) = descended(&Device::flex());
    assert_near(&[loss], &[expected], FORWARD, "loss");
    assert!(moved.iter().count() >= 20);
    assert_records_near(&moved, &expected_moved, BACKWARD, "gradients");
}

#[test]
fn an_adapter_that_is_saved_for_peft_and_read_again_computes_the_same() {
    let (case, model) = adapted(&device());
    let folder = tempfile::tempdir().unwrap();
    let targets = ["q_proj", "out_proj", "fc2", "text_projection", "visual_projection"];
    let config = LoraConfig {
        target_modules: targets.into(),
        towers: Towers::Both,
        ..LoraConfig::default()
    };
    save_peft(folder.path(), &adapter_record(&model).unwrap(), &config, "tiny-clip").unwrap();
    let read = load_peft(folder.path()).unwrap();
    let mut clip = case.clip.clone();
    let read = attach_peft(case.clip.clone(), &read.fitted(&mut clip).unwrap()).unwrap();
    let logits = |clip: &Clip| values(clip.logits_per_image(case.images.clone(), &case.tokens));
    assert_near(&logits(&read), &logits(&model), FORWARD, "an adapter read again");
    assert_near(&logits(&merge(model.valid())), &logits(&model), FORWARD, "merged");
    let base = logits(&case.clip);
    assert!(super::difference(&logits(&read), &base) > 1e-2, "the adapter does nothing");
}

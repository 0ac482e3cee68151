//! Texts with a common beginning, which is computed once.

mod common;

use burn::module::Module;
use burn::tensor::{Device, Tensor, TensorData};
use common::fixture;
use flora_clip::{Checkpoint, Clip, Padding, Tokens};
use flora_core::{HostTensor, ParameterRecord};
use flora_lora::{LoraConfig, adapter_record, attach, load_adapter_record};

fn max_difference(one: Tensor<2>, other: Tensor<2>) -> f32 {
    (one - other).abs().max().into_scalar::<f32>()
}

/// Prompts of these lengths before the end token, with words of their own after the first `common`.
fn prompts(model: &Checkpoint, lengths: [usize; 5], common: usize) -> Tokens {
    let config = &model.config.text_config;
    let end = config.vocab_size as u32 - 1;
    let text = |(index, length): (usize, usize)| -> Vec<u32> {
        let word = |at: usize| if at < common { 3 + at } else { 20 + 7 * index + at } as u32;
        std::iter::once(end - 1).chain((1..length).map(word)).chain([end]).collect()
    };
    let texts: Vec<_> = lengths.into_iter().enumerate().map(text).collect();
    Tokens::new(&texts, Padding::Longest, config).unwrap()
}

/// Adapters without zero matrices.
fn adapted(clip: Clip, config: &LoraConfig) -> Clip {
    let model = attach(clip, config, 5).unwrap();
    let mut record = ParameterRecord::new();
    for (seed, (name, tensor)) in adapter_record(&model).unwrap().iter().enumerate() {
        let number = |index: usize| ((index * 37 + seed * 11) % 19) as f32 / 19.0 - 0.5;
        let values = (0..tensor.to_f32().len()).map(number).collect::<Vec<_>>();
        let tensor = HostTensor::from_f32(tensor.shape().to_vec(), values).unwrap();
        record.insert(name, tensor).unwrap();
    }
    load_adapter_record(model, &record).unwrap()
}

/// Features of some texts, and the gradients of all adapters, from a prefix and from the tokens.
#[test]
fn features_and_gradients_are_those_of_whole_texts() {
    let device = Device::flex().autodiff();
    let checkpoint = Checkpoint::open(&fixture("tiny-clip")).unwrap();
    for target in ["out_proj", "q_proj", "fc1"] {
        let config = LoraConfig { target_modules: [target].into(), ..LoraConfig::default() };
        let model = adapted(checkpoint.load(&device).unwrap(), &config);
        let (all, mixed) = (vec![0, 1, 2, 3, 4], [6, 8, 6, 9, 7]);
        let cases = [
            (1, mixed, all.clone()),
            (4, mixed, all.clone()),
            (5, mixed, vec![3, 1]),
            (5, mixed, vec![2]),
            (5, mixed, vec![1, 4, 1]),
            // End tokens within what others have in common; the same text five times.
            (7, [3, 8, 6, 9, 3], all.clone()),
            (9, [6, 6, 6, 6, 6], all.clone()),
        ];
        for (common, lengths, texts) in cases {
            let tokens = prompts(&checkpoint, lengths, common);
            let prefix = model.valid().text_model.prefix(&tokens);
            let all = model.text_model.forward(&tokens);
            let places =
                TensorData::from(&texts.iter().map(|&text| text as i32).collect::<Vec<_>>()[..]);
            let whole = all.select(0, Tensor::from_data(places, &device));
            let shared = model.text_model.forward_from(&prefix, &texts);
            let plain = model.valid().text_model.forward_from(&prefix, &texts);
            assert!(max_difference(shared.clone(), whole.clone()) < 1e-5, "{target} {common}");
            assert!(max_difference(shared.clone().inner(), plain) < 1e-5, "{target} {common}");

            let width = shared.dims()[1];
            let weights = Tensor::<1>::from_floats(
                &(0..width).map(|index| (index % 5) as f32 - 2.0).collect::<Vec<_>>()[..],
                &device,
            );
            let gradients = |features: Tensor<2>| {
                let gradients =
                    (features.clone() * features * weights.clone().unsqueeze()).sum().backward();
                let layers = &model.text_model.encoder.layers;
                let adapters = layers.iter().map(|layer| match target {
                    "out_proj" => &layer.self_attn.out_proj,
                    "q_proj" => &layer.self_attn.q_proj,
                    _ => &layer.mlp.fc1,
                });
                let matrices = adapters.flat_map(|layer| {
                    let lora = layer.lora.as_ref().unwrap();
                    [lora.lora_a.val(), lora.lora_b.val()]
                });
                matrices.map(|matrix| matrix.grad(&gradients).unwrap()).collect::<Vec<_>>()
            };
            for (one, other) in gradients(shared).into_iter().zip(gradients(whole)) {
                let size = other.clone().abs().max().into_scalar::<f32>();
                assert!(size > 0.0);
                let difference = max_difference(one, other);
                assert!(difference < 1e-5 * size, "{target} {common}: {difference:e} of {size}");
            }
        }
    }
}

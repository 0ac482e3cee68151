//! A vision tower in two parts computes what it computes as a whole.

mod common;

use burn::module::Module;
use burn::tensor::{Device, Tensor, TensorData};
use common::{Expected, bits, fixture, max_difference, values};
use flora_clip::{Checkpoint, Clip};
use flora_core::{HostTensor, ParameterRecord};
use flora_lora::{
    AdaptableModule, LoraConfig, Towers, adapter_record, attach, load_adapter_record,
};

/// Tokens and width of the tiny CLIP's vision tower: 4 x 4 patches and the class token.
fn tokens_and_width(clip: &Clip) -> [usize; 2] {
    clip.vision_model.embeddings.position_embedding.weight.dims()
}

/// Adapters of which nothing is zero.
fn adapted(clip: Clip, layers: &[&str]) -> Clip {
    let config = LoraConfig {
        target_modules: layers.iter().map(|&name| name.to_owned()).collect::<Vec<_>>().into(),
        towers: Towers::Vision,
        lora_alpha: 4.0,
        ..LoraConfig::default()
    };
    let model = attach(clip, &config, 5).unwrap();
    let mut record = ParameterRecord::new();
    for (seed, (name, tensor)) in adapter_record(&model).unwrap().iter().enumerate() {
        let number = |index: usize| ((index * 37 + seed * 11) % 19) as f32 / 19.0 - 0.5;
        let values = (0..tensor.len()).map(number).collect::<Vec<_>>();
        record.insert(name, HostTensor::from_f32(tensor.shape(), values).unwrap()).unwrap();
    }
    load_adapter_record(model, &record).unwrap()
}

/// The gradients of all adapters, for a weighted sum of squares.
fn gradients(model: &mut Clip, features: Tensor<2>) -> Vec<Vec<f32>> {
    let [_, width] = features.dims();
    let weights = (0..width).map(|index| (index % 5) as f32 - 2.0).collect::<Vec<_>>();
    let weights = Tensor::<2>::from_data(TensorData::new(weights, [1, width]), &features.device());
    let gradients = (features.clone() * features * weights).sum().backward();
    let adapters =
        model.adaptable_layers().into_iter().filter_map(|(_, layer)| layer.lora.as_ref());
    let matrices = adapters.flat_map(|lora| [lora.lora_a.val(), lora.lora_b.val()]);
    matrices.map(|matrix| values(matrix.grad(&gradients).unwrap())).collect()
}

/// Every layer of the tower that can carry an adapter, alone and with one above it.
#[test]
fn features_and_gradients_are_those_of_the_whole_wherever_the_first_adapter_is() {
    let device = Device::flex().autodiff();
    let mut clip = Checkpoint::open(&fixture("tiny-clip")).unwrap().load(&device).unwrap();
    let images: Tensor<4> =
        Expected::read("tiny-clip/expected.safetensors").tensor("pixel_values", &device);
    let [tokens, width] = tokens_and_width(&clip);
    let blocks = clip.vision_model.encoder.layers.len();
    let layers: Vec<String> = clip
        .adaptable_layers()
        .into_iter()
        .map(|(name, _)| name)
        .filter(|name| Towers::Vision.contain(name))
        .collect();
    assert_eq!(layers.len(), 6 * blocks + 1);
    for layer in &layers {
        for with in [vec![layer.as_str()], vec![layer, "visual_projection"]] {
            let mut model = adapted(clip.clone(), &with);
            let cut = model.vision_model.cut();
            let is_last = layer.contains(&format!(".layers.{}.", blocks - 1));
            let attends = ["q_proj", "k_proj", "v_proj"].iter().any(|name| layer.ends_with(name));
            let states = match layer.as_str() {
                "visual_projection" => 1,
                _ if !is_last || attends => tokens,
                layer if layer.ends_with("out_proj") => 2,
                _ => 1,
            };
            assert_eq!(cut.shape(), [states, width], "{layer}");
            assert_eq!(cut.is_worth_keeping(), !layer.contains(".layers.0."), "{layer}: {cut}");

            let below = model.valid().vision_model.prefix(images.clone().inner(), cut);
            assert_eq!(below.dims(), [images.dims()[0], cut.numbers()]);
            // It comes from a file, and not from a graph.
            let below = Tensor::<2>::from_data(below.into_data(), &device);
            let whole = model.image_features(images.clone());
            let parts =
                model.visual_projection.forward(model.vision_model.forward_from(below, cut));
            let difference = max_difference(&values(parts.clone()), &values(whole.clone()));
            assert!(difference < 5e-6, "{layer}: {difference:e}");
            let (parts, whole) = (gradients(&mut model, parts), gradients(&mut model, whole));
            for (parts, whole) in parts.iter().zip(&whole) {
                let size = whole.iter().fold(0f32, |most, x| most.max(x.abs()));
                let difference = max_difference(parts, whole);
                assert!(
                    size > 0.0 && difference < 1e-5 * size,
                    "{layer}: {difference:e} of {size:e}"
                );
            }
        }
    }
}

/// Fresh adapters change nothing, so that both parts together are what `transformers` computed.
#[test]
fn both_parts_are_what_transformers_computes() {
    let device = Device::flex();
    let expected = Expected::read("tiny-clip/expected.safetensors");
    let clip = Checkpoint::open(&fixture("tiny-clip")).unwrap().load(&device).unwrap();
    for layer in [
        "layers.0.mlp.fc1",
        "layers.1.self_attn.q_proj",
        "layers.1.self_attn.out_proj",
        "layers.1.mlp.fc2",
        "visual_projection",
    ] {
        let config = LoraConfig {
            target_modules: [layer].into(),
            towers: Towers::Vision,
            ..LoraConfig::default()
        };
        let model = attach(clip.clone(), &config, 0).unwrap();
        let tower = &model.vision_model;
        let images: Tensor<4> = expected.tensor("pixel_values", &device);
        let below = tower.prefix(images, tower.cut());
        let features = model.visual_projection.forward(tower.forward_from(below, tower.cut()));
        let difference = max_difference(&values(features), &expected.f32("image_features").1);
        assert!(difference < 1e-5, "{layer}: {difference:e}");
    }
}

/// An image's states do not depend on which images are beside it, so that batches of any size can be made of them.
#[test]
fn states_are_those_of_each_image_by_itself() {
    let device = Device::flex();
    let clip = Checkpoint::open(&fixture("tiny-clip")).unwrap().load(&device).unwrap();
    let model = adapted(clip, &["layers.1.self_attn.q_proj"]);
    let images: Tensor<4> =
        Expected::read("tiny-clip/expected.safetensors").tensor("pixel_values", &device);
    let cut = model.vision_model.cut();
    let all = model.vision_model.prefix(images.clone(), cut);
    let two = model.vision_model.prefix(images.narrow(0, 1, 2), cut);
    assert_eq!(bits(all.narrow(0, 1, 2)), bits(two));
}

//! Random weights, for pretraining and for tests.

use burn::tensor::Device;
use flora_lora::named;
use rand_distr::{Distribution, Normal};

use crate::{Clip, ClipConfig};

impl Clip {
    /// A model with random weights, drawn as in OpenAI's CLIP; biases are zero. Unlike there, the class token and its
    /// position are zero, too: otherwise they dominate the image features of an untrained model (mean cosine of two
    /// images of clip-nano 0.95; without them 0.70), and a short training spends its first thousand steps on unlearning
    /// them.
    ///
    /// Every parameter has its own random stream from `seed`, so that the same seed gives the same weights on every
    /// backend.
    pub fn random(config: &ClipConfig, seed: u64, device: &Device) -> Self {
        named::map(Self::skeleton(config, device), |place, parameter| {
            let Some(deviation) = deviation(config, place.name) else { return };
            let shape = parameter.shape();
            let mut random = flora_core::seed::stream(seed, &format!("init {}", place.name));
            let normal = Normal::new(0.0, deviation as f32).expect("a positive deviation");
            let mut values: Vec<f32> =
                normal.sample_iter(&mut random).take(shape.iter().product()).collect();
            if place.name == "vision_model.embeddings.position_embedding.weight" {
                values[..shape[1]].fill(0.0);
            }
            parameter.set_values(values);
        })
    }
}

/// The standard deviation of the parameter with this name, as in
/// <https://github.com/openai/CLIP/blob/main/clip/model.py> (`initialize_parameters`) and the constructor of its
/// `VisionTransformer`. `None` keeps the skeleton's zeros and ones.
fn deviation(config: &ClipConfig, name: &str) -> Option<f64> {
    let (text, vision) = (&config.text_config, &config.vision_config);
    let (width, layers) = if name.starts_with("text_") {
        (text.hidden_size as f64, text.num_hidden_layers as f64)
    } else {
        (vision.hidden_size as f64, vision.num_hidden_layers as f64)
    };
    let ends = |suffix: &str| name.ends_with(suffix);
    if ends("token_embedding.weight") {
        Some(0.02)
    } else if name == "text_model.embeddings.position_embedding.weight" {
        Some(0.01)
    } else if ends("position_embedding.weight") {
        Some(width.powf(-0.5))
    } else if ends("patch_embedding.weight") {
        let inputs = 3 * vision.patch_size * vision.patch_size;
        Some((inputs as f64).powf(-0.5))
    } else if ends("q_proj.weight") || ends("k_proj.weight") || ends("v_proj.weight") {
        Some(width.powf(-0.5))
    } else if ends("out_proj.weight") || ends("fc2.weight") {
        Some(width.powf(-0.5) * (2.0 * layers).powf(-0.5))
    } else if ends("fc1.weight") {
        Some((2.0 * width).powf(-0.5))
    } else if ends("_projection.weight") {
        Some(width.powf(-0.5))
    } else {
        None
    }
}

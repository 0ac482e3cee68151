use burn::module::Param;
use burn::tensor::{Device, Tensor, TensorData};
use flora_clip::{ClipTokenizer, TextConfig};
use flora_data::Template;
use rand_distr::{Distribution, Normal};
use serde::{Deserialize, Serialize};

use super::{Method, MethodName, Start};
use crate::{LossKind, Prompts, Trainable, TuningError, TuningModel};

/// Learned context vectors before the class names: CoOp ([arXiv 2109.01134](https://arxiv.org/abs/2109.01134)) in a
/// federation, as in PromptFL ([arXiv 2208.11625](https://arxiv.org/abs/2208.11625)). All classes share one context.
/// Trained and sent: `length * width` numbers; 8,192 for 16 vectors in ViT-B/32.
#[derive(Debug, Clone)]
pub struct FedPrompt(pub PromptConfig);

/// Settings of the context vectors of [`FedPrompt`].
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct PromptConfig {
    /// Number of vectors, drawn from `N(0, 0.02^2)`, that replace the template's words before the class name. 16 in
    /// CoOp. With 0, the default, the vectors start as those words, and the model as the zero-shot one.
    pub length: usize,
}

/// The standard deviation in CoOp, and of CLIP's token embeddings.
const DEVIATION: f32 = 0.02;

impl Method for FedPrompt {
    fn name(&self) -> &str {
        MethodName::FedPrompt.as_str()
    }

    fn usual_loss(&self) -> LossKind {
        LossKind::ClassCe
    }

    fn trainable(&self) -> Trainable {
        Trainable::Parts(&["context"])
    }

    fn trains_text(&self) -> bool {
        true
    }

    fn prompts(
        &self,
        tokenizer: &ClipTokenizer,
        config: &TextConfig,
        template: &Template,
        classes: &[String],
    ) -> Result<Prompts, TuningError> {
        Prompts::with_context(tokenizer, config, template, classes, self.0.length)
    }

    fn attach(&self, base: TuningModel, start: &Start<'_>) -> Result<TuningModel, TuningError> {
        let context = match self.0.length {
            0 => base.embed(start.prompts().context()),
            length => draw(length, base.text_width(), start.seed, start.device),
        };
        Ok(base.with_context(Param::from_tensor(context)))
    }
}

fn draw(length: usize, width: usize, seed: u64, device: &Device) -> Tensor<2> {
    let normal = Normal::new(0.0, DEVIATION).expect("a positive deviation");
    let random = flora_core::seed::stream(seed, "context");
    let values: Vec<f32> = normal.sample_iter(random).take(length * width).collect();
    Tensor::from_data(TensorData::new(values, [length, width]), device)
}

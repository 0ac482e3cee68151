mod cut;
mod readout;

use burn::module::{Initializer, Module, Param};
use burn::nn::{Embedding, EmbeddingConfig};
use burn::tensor::{Device, Int, Tensor};
use flora_kernels::{Half, HalfWeight, patches};
use flora_lora::LoraLinear;

pub use self::cut::VisionCut;
pub use self::readout::Readout;
use crate::encoder::{Encoder, EncoderSizes, indices};
use crate::{LayerNorm, VisionConfig};

/// The vision tower without its projection (`CLIPVisionModel`).
#[derive(Module, Debug)]
pub struct VisionModel {
    /// Patch, class and position embeddings.
    pub embeddings: VisionEmbeddings,
    /// Norm before the first block, with its name from OpenAI's checkpoints.
    pub pre_layrnorm: LayerNorm,
    /// The blocks.
    pub encoder: Encoder,
    /// Norm of the class token after the last block.
    pub post_layernorm: LayerNorm,
}

/// Patch, class and position embeddings.
#[derive(Module, Debug)]
pub struct VisionEmbeddings {
    /// The token in front of the patches whose final state represents the image, `[hidden_size]`.
    pub class_embedding: Param<Tensor<1>>,
    /// The projection of the patches.
    pub patch_embedding: PatchEmbedding,
    /// One row for the class token and one for each patch.
    pub position_embedding: Embedding,
}

/// A convolution whose stride is its kernel: a matrix product over flattened patches.
#[derive(Module, Debug)]
pub struct PatchEmbedding {
    /// Kernel of shape `[hidden_size, channels, patch_size, patch_size]`.
    pub weight: Param<Tensor<4>>,
    /// The same in 16 bits, for images without autodiff.
    #[module(skip)]
    rounded: Option<HalfWeight>,
}

impl VisionModel {
    pub(crate) fn new(config: &VisionConfig, device: &Device) -> Self {
        let (width, patch) = (config.hidden_size, config.patch_size);
        let positions = config.grid() * config.grid() + 1;
        let sizes = EncoderSizes {
            width,
            intermediate: config.intermediate_size,
            layers: config.num_hidden_layers,
            heads: config.num_attention_heads,
            activation: config.hidden_act,
            epsilon: config.layer_norm_eps,
        };
        Self {
            embeddings: VisionEmbeddings {
                class_embedding: Initializer::Zeros.init([width], device),
                patch_embedding: PatchEmbedding {
                    weight: Initializer::Zeros
                        .init([width, config.num_channels, patch, patch], device),
                    rounded: None,
                },
                position_embedding: EmbeddingConfig::new(positions, width)
                    .with_initializer(Initializer::Zeros)
                    .init(device),
            },
            pre_layrnorm: LayerNorm::new(width, config.layer_norm_eps, device),
            encoder: Encoder::new(sizes, device),
            post_layernorm: LayerNorm::new(width, config.layer_norm_eps, device),
        }
    }

    /// The normalised final state of the class token.
    ///
    /// # Shapes
    ///
    /// - images: `[batch, channels, image_size, image_size]`, normalised
    /// - output: `[batch, hidden_size]`
    ///
    /// # Panics
    ///
    /// If the images have another size.
    pub fn forward(&self, images: Tensor<4>) -> Tensor<2> {
        self.encode(self.embeddings.forward(images))
    }

    /// [`VisionModel::forward`] from a subset of each image's patches, for training: PatchDropout ([arXiv
    /// 2208.07220](https://arxiv.org/abs/2208.07220)), as used by FLIP ([arXiv
    /// 2212.00794](https://arxiv.org/abs/2212.00794)).
    ///
    /// # Shapes
    ///
    /// - images: `[batch, channels, image_size, image_size]`, normalised
    /// - kept: the patches of each image that are seen, counted row by row, the same number for each
    /// - output: `[batch, hidden_size]`
    ///
    /// # Panics
    ///
    /// If the images have another size, or `kept` is not one list per image, all of the same length and with valid
    /// indices.
    pub fn forward_patches(&self, images: Tensor<4>, kept: &[Vec<usize>]) -> Tensor<2> {
        self.encode(self.embeddings.forward_patches(images, kept))
    }

    fn encode(&self, embedded: Tensor<3>) -> Tensor<2> {
        let x = self.pre_layrnorm.forward(embedded);
        let [batch, length, _] = x.dims();
        let classes = class_tokens(batch, length, &x.device());
        self.post_layernorm.forward(self.encoder.forward(x, false, classes))
    }

    /// The layers that can carry adapters, with their full names in a CLIP.
    pub fn adaptable_layers(&mut self) -> Vec<(String, &mut LoraLinear)> {
        self.encoder.adaptable_layers("vision_model.encoder")
    }
}

/// The indices of the class tokens among all states of a batch.
fn class_tokens(batch: usize, length: usize, device: &Device) -> Tensor<1, Int> {
    indices((0..batch).map(|item| item * length), device)
}

impl VisionEmbeddings {
    /// `[batch, channels, size, size]` to `[batch, 1 + patches, hidden_size]`.
    fn forward(&self, images: Tensor<4>) -> Tensor<3> {
        let [batch, ..] = images.dims();
        let patches = self.patch_embedding.forward(images);
        let [_, _, width] = patches.dims();
        let class = self.class_embedding.val().reshape([1, 1, width]).expand([batch, 1, width]);
        let positions = self.position_embedding.weight.val().unsqueeze();
        Tensor::cat(vec![class, patches], 1) + positions
    }

    /// `[batch, channels, size, size]` to `[batch, 1 + kept, hidden_size]`.
    fn forward_patches(&self, images: Tensor<4>, kept: &[Vec<usize>]) -> Tensor<3> {
        let [batch, ..] = images.dims();
        let device = images.device();
        let patches = self.patch_embedding.forward(images);
        let [_, all, width] = patches.dims();
        let count = kept.first().map_or(0, Vec::len);
        let fits = |list: &Vec<usize>| list.len() == count && list.iter().all(|&at| at < all);
        assert!(kept.len() == batch && kept.iter().all(fits), "lists of equally many patches");

        let rows = kept
            .iter()
            .enumerate()
            .flat_map(|(item, list)| list.iter().map(move |at| item * all + at));
        let patches = patches.reshape([batch * all, width]).select(0, indices(rows, &device));
        let table = self.position_embedding.weight.val();
        // Row 0 belongs to the class token.
        let places = indices(kept.iter().flatten().map(|at| 1 + at), &device);
        let patches: Tensor<3> =
            (patches + table.clone().select(0, places)).reshape([batch, count, width]);
        let class = self.class_embedding.val().reshape([1, width]) + table.slice(0..1);
        let class = class.reshape([1, 1, width]).expand([batch, 1, width]);
        Tensor::cat(vec![class, patches], 1)
    }
}

impl PatchEmbedding {
    /// `[batch, channels, size, size]` to `[batch, patches, hidden_size]`, row by row.
    fn forward(&self, images: Tensor<4>) -> Tensor<3> {
        let [batch, _, size, _] = images.dims();
        let [width, _, patch, _] = self.weight.val().dims();
        let grid = size / patch;
        let patches = patches(images, patch);
        let products = match self.rounded.as_ref().and_then(|it| it.linear(&patches, None, None)) {
            Some(products) => products,
            None => patches.matmul(self.kernel()),
        };
        products.reshape([batch, grid * grid, width])
    }

    /// `[channels * patch * patch, hidden_size]`
    fn kernel(&self) -> Tensor<2> {
        let weight = self.weight.val();
        let [width, channels, height, across] = weight.dims();
        weight.reshape([width, channels * height * across]).transpose()
    }

    /// Sets the precision of products for images without autodiff, if it is not f32 and the device supports it.
    pub(crate) fn set_half(&mut self, half: Option<Half>) {
        self.rounded = half.and_then(|half| HalfWeight::new(&self.kernel(), half));
    }
}

use burn::module::{Initializer, Module};
use burn::nn::{Embedding, EmbeddingConfig};
use burn::tensor::{Device, Int, Tensor, TensorData, s};
use flora_lora::LoraLinear;

use crate::encoder::{Encoder, EncoderSizes, Prefix, Sequences, indices};
use crate::{LayerNorm, TextConfig, Tokens};

/// The text tower without its projection (`CLIPTextModel`).
#[derive(Module, Debug)]
pub struct TextModel {
    /// Token and position embeddings.
    pub embeddings: TextEmbeddings,
    /// The blocks.
    pub encoder: Encoder,
    /// Norm after the last block.
    pub final_layer_norm: LayerNorm,
}

/// Token and position embeddings.
#[derive(Module, Debug)]
pub struct TextEmbeddings {
    /// One row a token id.
    pub token_embedding: Embedding,
    /// One row a position.
    pub position_embedding: Embedding,
}

/// The states of texts below the first adapter of a text tower: see [`TextModel::prefix`].
#[derive(Debug, Clone)]
pub struct TextPrefix {
    states: Prefix,
    /// The position of each text's end token.
    ends: Vec<usize>,
    /// The number of initial tokens shared by all texts, before any of their end tokens.
    beginning: usize,
}

impl TextEmbeddings {
    /// The vectors of these token ids, without positions: `[ids.len(), hidden_size]`.
    pub fn embed(&self, ids: &[u32]) -> Tensor<2> {
        let table = self.token_embedding.weight.val();
        let ids = indices(ids.iter().map(|&id| id as usize), &table.device());
        table.select(0, ids)
    }

    /// `[rows, length, hidden_size]`.
    fn tokens(&self, tokens: &Tokens) -> Tensor<3> {
        let (rows, length) = (tokens.rows(), tokens.length());
        let ids: Vec<i32> = tokens.ids().iter().map(|&id| id as i32).collect();
        let device = self.token_embedding.weight.device();
        let ids = Tensor::<2, Int>::from_data(TensorData::new(ids, [rows, length]), &device);
        self.token_embedding.forward(ids)
    }
}

/// The number of initial tokens shared by all texts.
fn common_beginning(tokens: &Tokens) -> usize {
    let mut texts = tokens.ids().chunks_exact(tokens.length());
    let Some(first) = texts.next() else { return 0 };
    let alike =
        |text: &[u32]| first.iter().zip(text).take_while(|(one, other)| one == other).count();
    texts.map(alike).min().unwrap_or(first.len())
}

impl TextModel {
    pub(crate) fn new(config: &TextConfig, device: &Device) -> Self {
        let width = config.hidden_size;
        let embedding = |rows| {
            EmbeddingConfig::new(rows, width).with_initializer(Initializer::Zeros).init(device)
        };
        let sizes = EncoderSizes {
            width,
            intermediate: config.intermediate_size,
            layers: config.num_hidden_layers,
            heads: config.num_attention_heads,
            activation: config.hidden_act,
            epsilon: config.layer_norm_eps,
        };
        Self {
            embeddings: TextEmbeddings {
                token_embedding: embedding(config.vocab_size),
                position_embedding: embedding(config.max_position_embeddings),
            },
            encoder: Encoder::new(sizes, device),
            final_layer_norm: LayerNorm::new(width, config.layer_norm_eps, device),
        }
    }

    /// The normalised hidden state at each text's end token.
    ///
    /// # Shapes
    ///
    /// - output: `[tokens.rows(), hidden_size]`
    ///
    /// # Panics
    ///
    /// If the tokens are longer than `max_position_embeddings`.
    pub fn forward(&self, tokens: &Tokens) -> Tensor<2> {
        self.encode(self.embeddings.tokens(tokens), tokens)
    }

    /// The part of [`TextModel::forward`] below the first adapter. Compute it once for texts that are used repeatedly
    /// while only the current adapters change. The states are detached from any graph.
    ///
    /// # Panics
    ///
    /// As [`TextModel::forward`].
    pub fn prefix(&self, tokens: &Tokens) -> TextPrefix {
        let x = self.positioned(self.embeddings.tokens(tokens), tokens);
        let ends = tokens.ends().to_vec();
        let beginning = common_beginning(tokens).min(ends.iter().copied().min().unwrap_or(0));
        TextPrefix { states: self.encoder.prefix(x, true), ends, beginning }
    }

    /// Continues [`TextModel::forward`] from a prefix, for some of its texts. The length is that of the longest of
    /// them. As the tower is causal, the states of the words with which all texts begin, for example those of a
    /// template, are computed once for all of them; but not in training with dropout, whose masks differ.
    ///
    /// # Shapes
    ///
    /// - output: `[texts.len(), hidden_size]`
    ///
    /// # Panics
    ///
    /// If `texts` is empty or has an index out of range.
    pub fn forward_from(&self, prefix: &TextPrefix, texts: &[usize]) -> Tensor<2> {
        let device = self.embeddings.token_embedding.weight.device();
        let ends: Vec<usize> = texts.iter().map(|&text| prefix.ends[text]).collect();
        let length = 1 + ends.iter().max().expect("at least one text");
        let dropped = device.is_autodiff() && self.encoder.has_dropout();
        let beginning = if dropped { 0 } else { prefix.beginning };
        let sequences = Sequences::beginning_alike(texts.len(), length, beginning, &device);
        let rows = indices(texts.iter().copied(), &device.clone().inner());
        let states = prefix.states.take(rows, length, &sequences, &device);
        self.finish(states, &sequences, &ends, length, &device)
    }

    /// [`TextModel::forward`] with learned vectors in place of as many tokens after the first, in every text: the
    /// learned context of CoOp ([arXiv 2109.01134](https://arxiv.org/abs/2109.01134)).
    ///
    /// # Shapes
    ///
    /// - context: `[length, hidden_size]`
    /// - output: `[tokens.rows(), hidden_size]`
    ///
    /// # Panics
    ///
    /// As [`TextModel::forward`], and if the texts are shorter than the context.
    pub fn forward_with_context(&self, tokens: &Tokens, context: Tensor<2>) -> Tensor<2> {
        let x = self.embeddings.tokens(tokens);
        let ([rows, _, width], [length, _]) = (x.dims(), context.dims());
        let context: Tensor<3> = context.unsqueeze::<3>().expand([rows, length, width]);
        let (first, rest) = (x.clone().slice(s![.., 0..1]), x.slice(s![.., 1 + length..]));
        self.encode(Tensor::cat(vec![first, context, rest], 1), tokens)
    }

    /// Encodes token embeddings, `[rows, length, hidden_size]`.
    fn encode(&self, x: Tensor<3>, tokens: &Tokens) -> Tensor<2> {
        let device = x.device();
        let states = Prefix::start(self.positioned(x, tokens));
        let sequences = Sequences::apart(true);
        self.finish(states, &sequences, tokens.ends(), tokens.length(), &device)
    }

    fn positioned(&self, x: Tensor<3>, tokens: &Tokens) -> Tensor<3> {
        let positions = self.embeddings.position_embedding.weight.val();
        x + positions.slice(0..tokens.length()).unsqueeze()
    }

    fn finish(
        &self,
        states: Prefix,
        sequences: &Sequences,
        ends: &[usize],
        length: usize,
        device: &Device,
    ) -> Tensor<2> {
        let ends = sequences.places(ends, length).into_iter();
        let states = self.encoder.resume(states, sequences, indices(ends, device));
        self.final_layer_norm.forward(states)
    }

    /// The layers that can carry adapters, with their full names in a CLIP.
    pub fn adaptable_layers(&mut self) -> Vec<(String, &mut LoraLinear)> {
        self.encoder.adaptable_layers("text_model.encoder")
    }
}

use std::path::Path;

use burn::module::Module;
use burn::tensor::{Device, Tensor};
use image::DynamicImage;

use crate::{
    Checkpoint, Clip, ClipError, ClipTokenizer, Padding, Preprocessor, TextConfig, Tokens,
    ZeroShot, check_distinct,
};

/// Texts per batch: enough for large products, few enough for caches.
const TEXT_BATCH: usize = 64;

/// A CLIP ready for use: its weights on a device, with tokenizer and preprocessing. See the example of [the
/// crate](crate).
#[derive(Debug, Clone)]
pub struct Embedder {
    /// The weights.
    pub clip: Clip,
    /// The tokenizer.
    pub tokenizer: ClipTokenizer,
    /// The preprocessing of images.
    pub preprocessor: Preprocessor,
    text_config: TextConfig,
    device: Device,
}

impl Embedder {
    /// Opens a checkpoint with [`Checkpoint::open`], and loads its weights.
    ///
    /// # Errors
    ///
    /// Those of [`Checkpoint::open`] and [`Checkpoint::load`].
    pub fn open(path: &Path, device: &Device) -> Result<Self, ClipError> {
        let checkpoint = Checkpoint::open(path)?;
        let clip = checkpoint.load(device)?;
        Ok(Self::new(&checkpoint, clip))
    }

    /// Combines the tokenizer and the preprocessing of `checkpoint` with a model of its shape, for example one with
    /// adapters.
    pub fn new(checkpoint: &Checkpoint, clip: Clip) -> Self {
        Self {
            device: clip.logit_scale.lazy_device(),
            tokenizer: checkpoint.tokenizer.clone(),
            preprocessor: checkpoint.preprocessor.clone(),
            text_config: checkpoint.config.text_config.clone(),
            clip: clip.no_grad(),
        }
    }

    /// Text features that are not normalised, `[texts, projection_dim]`; [`normalize`](crate::normalize) gives
    /// embeddings. Texts are cut to the model's context.
    ///
    /// # Errors
    ///
    /// No texts, or one that cannot be tokenised.
    pub fn texts<S: AsRef<str>>(&self, texts: &[S]) -> Result<Tensor<2>, ClipError> {
        self.texts_of(&self.tokenizer.encode_all(texts)?)
    }

    fn texts_of(&self, ids: &[Vec<u32>]) -> Result<Tensor<2>, ClipError> {
        // Texts of equal length share a batch, to reduce padding.
        let mut order: Vec<usize> = (0..ids.len()).collect();
        order.sort_by_key(|&index| ids[index].len());
        let mut parts = Vec::new();
        for batch in order.chunks(TEXT_BATCH) {
            let batch: Vec<_> = batch.iter().map(|&index| ids[index].clone()).collect();
            let tokens = Tokens::new(&batch, Padding::Longest, &self.text_config)?;
            parts.push(self.clip.text_features(&tokens));
        }
        if parts.is_empty() {
            return Err(ClipError::Classes("no text at all; give at least one".into()));
        }
        let mut back = vec![0i32; order.len()];
        for (place, &index) in order.iter().enumerate() {
            back[index] = place as i32;
        }
        Ok(Tensor::cat(parts, 0).select(0, Tensor::from_data(back.as_slice(), &self.device)))
    }

    /// Image features that are not normalised, `[images, projection_dim]`.
    ///
    /// # Errors
    ///
    /// No images, or an error of [`Preprocessor::crop`].
    pub fn images(&self, images: &[DynamicImage]) -> Result<Tensor<2>, ClipError> {
        Ok(self.clip.image_features(self.preprocessor.batch(images, &self.device)?))
    }

    /// A classifier with one class for each list of sentences (a class name filled into one or more templates); see
    /// [`ZeroShot::ensemble`].
    ///
    /// # Errors
    ///
    /// No classes, a class without sentences, a sentence that cannot be tokenised, or two classes with the same tokens.
    pub fn classifier(&self, classes: &[Vec<String>]) -> Result<ZeroShot, ClipError> {
        if let Some(empty) = classes.iter().position(Vec::is_empty) {
            return Err(ClipError::Classes(format!("number {} has no sentence", empty + 1)));
        }
        let sentences: Vec<&String> = classes.iter().flatten().collect();
        if sentences.is_empty() {
            return Err(ClipError::Classes("there are none; name at least one".into()));
        }
        let counts: Vec<usize> = classes.iter().map(Vec::len).collect();
        let ids = self.tokenizer.encode_all(&sentences)?;
        check_distinct(&ids, &counts, &sentences)?;
        Ok(ZeroShot::ensemble(self.texts_of(&ids)?, &counts, self.clip.temperature_factor()))
    }

    /// The device of the weights.
    pub fn device(&self) -> &Device {
        &self.device
    }
}

use burn::tensor::{Tensor, activation};

use crate::{
    Clip, ClipError, ClipTokenizer, Padding, TextConfig, Tokens, check_distinct, normalize,
};

/// A classifier made of sentences: an image belongs to the one it is most similar to.
#[derive(Debug, Clone)]
pub struct ZeroShot {
    texts: Tensor<2>,
    factor: f32,
}

impl ZeroShot {
    /// A class for each sentence (a class name filled into its template).
    ///
    /// # Errors
    ///
    /// No sentence at all, one that cannot be tokenised, and two that are the same to the model.
    pub fn new<S: AsRef<str>>(
        model: &Clip,
        tokenizer: &ClipTokenizer,
        config: &TextConfig,
        sentences: &[S],
    ) -> Result<Self, ClipError> {
        if sentences.is_empty() {
            return Err(ClipError::Classes("there are none; name at least one".into()));
        }
        let ids = tokenizer.encode_all(sentences)?;
        check_distinct(&ids, &vec![1; ids.len()], sentences)?;
        let tokens = Tokens::new(&ids, Padding::Longest, config)?;
        Ok(Self::from_features(model.text_features(&tokens), model.temperature_factor()))
    }

    /// A class for each row of `texts`, features of any length: `[classes, projection_dim]`.
    /// `factor` is that on cosine similarities, `exp(logit_scale)`.
    pub fn from_features(texts: Tensor<2>, factor: f32) -> Self {
        Self { texts: normalize(texts), factor }
    }

    /// A class for each of `counts`, made of that many rows of `texts`, one after the other: the mean
    /// of the rows' directions, as in the prompt ensembles of the
    /// [CLIP paper](https://arxiv.org/abs/2103.00020), section 3.1.4.
    ///
    /// # Panics
    ///
    /// Panics if `counts` are not the rows of `texts`, or one of them is 0.
    pub fn ensemble(texts: Tensor<2>, counts: &[usize], factor: f32) -> Self {
        let [rows, _] = texts.dims();
        assert_eq!(counts.iter().sum::<usize>(), rows, "every row belongs to one class");
        let texts = normalize(texts);
        let mut start = 0;
        let mean = |&count: &usize| {
            start += count;
            texts.clone().slice(start - count..start).mean_dim(0)
        };
        Self::from_features(Tensor::cat(counts.iter().map(mean).collect(), 0), factor)
    }

    /// Scaled cosine similarities.
    ///
    /// # Shapes
    ///
    /// - images: features of any length, `[batch, projection_dim]`
    /// - output: `[batch, classes]`
    pub fn logits(&self, images: Tensor<2>) -> Tensor<2> {
        normalize(images).matmul(self.texts.clone().transpose()).mul_scalar(self.factor)
    }

    /// Softmax of [`ZeroShot::logits`]: each row sums to one.
    pub fn probabilities(&self, images: Tensor<2>) -> Tensor<2> {
        activation::softmax(self.logits(images), 1)
    }
}

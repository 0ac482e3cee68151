use burn::tensor::{Tensor, activation};

use crate::{
    Clip, ClipError, ClipTokenizer, Padding, TextConfig, Tokens, check_distinct, normalize,
};

/// A classifier made of sentences: an image is assigned to the sentence it is most similar to.
#[derive(Debug, Clone)]
pub struct ZeroShot {
    texts: Tensor<2>,
    logit_scale: f32,
}

impl ZeroShot {
    /// A classifier with one class per sentence (a class name filled into a template).
    ///
    /// # Errors
    ///
    /// No sentences, one that cannot be tokenised, or two with the same tokens.
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

    /// A classifier with one class per row of `texts`, features that need not be normalised: `[classes,
    /// projection_dim]`. `logit_scale` multiplies cosine similarities: the exponential of the checkpoint's number.
    pub fn from_features(texts: Tensor<2>, logit_scale: f32) -> Self {
        Self { texts: normalize(texts), logit_scale }
    }

    /// A classifier with one class for each of `counts`, made of that many consecutive rows of `texts`: the mean of the
    /// normalised rows, as in the prompt ensembles of the [CLIP paper](https://arxiv.org/abs/2103.00020), section
    /// 3.1.4.
    ///
    /// # Panics
    ///
    /// If the sum of `counts` is not the number of rows of `texts`, or one of them is 0.
    pub fn ensemble(texts: Tensor<2>, counts: &[usize], logit_scale: f32) -> Self {
        let [rows, _] = texts.dims();
        assert_eq!(counts.iter().sum::<usize>(), rows, "every row belongs to one class");
        let texts = normalize(texts);
        let mut start = 0;
        let mean = |&count: &usize| {
            start += count;
            texts.clone().slice(start - count..start).mean_dim(0)
        };
        Self::from_features(Tensor::cat(counts.iter().map(mean).collect(), 0), logit_scale)
    }

    /// Scaled cosine similarities.
    ///
    /// # Shapes
    ///
    /// - images: features, not necessarily normalised, `[batch, projection_dim]`
    /// - output: `[batch, classes]`
    pub fn logits(&self, images: Tensor<2>) -> Tensor<2> {
        normalize(images).matmul(self.texts.clone().transpose()).mul_scalar(self.logit_scale)
    }

    /// Softmax of [`ZeroShot::logits`]: each row sums to one.
    pub fn probabilities(&self, images: Tensor<2>) -> Tensor<2> {
        activation::softmax(self.logits(images), 1)
    }
}

use flora_clip::{ClipTokenizer, Padding, TextConfig, Tokens};
use flora_data::Template;

use crate::TuningError;

/// The prompt of every class, tokenised once.
#[derive(Debug, Clone)]
pub struct Prompts {
    ids: Vec<Vec<u32>>,
    config: TextConfig,
}

impl Prompts {
    /// `template` filled with each of `classes`.
    ///
    /// # Errors
    ///
    /// A prompt that cannot be tokenised, and a tokenizer that does not belong to the model.
    pub fn new(
        tokenizer: &ClipTokenizer,
        config: &TextConfig,
        template: &Template,
        classes: &[String],
    ) -> Result<Self, TuningError> {
        let texts: Vec<String> = classes.iter().map(|class| template.fill(class)).collect();
        let ids = tokenizer.encode_all(&texts)?;
        // A tokenizer with another end token than the model's would only be noticed here.
        Tokens::new(&ids, Padding::Longest, config)?;
        Ok(Self { ids, config: config.clone() })
    }

    /// Number of classes.
    pub fn classes(&self) -> usize {
        self.ids.len()
    }

    /// The prompts of these classes, in this order, as a batch.
    ///
    /// # Panics
    ///
    /// Panics if there is no such class, or `classes` is empty.
    pub fn tokens(&self, classes: &[usize], padding: Padding) -> Tokens {
        let ids: Vec<_> = classes.iter().map(|&class| self.ids[class].clone()).collect();
        Tokens::new(&ids, padding, &self.config).expect("all of them were checked")
    }
}

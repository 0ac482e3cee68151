use burn::module::Module;
use flora_clip::{
    ClipError, ClipTokenizer, Padding, TextConfig, TextPrefix, Tokens, check_distinct,
};
use flora_data::Template;

use crate::{TuningError, TuningModel};

/// The prompt of every class, tokenised once.
#[derive(Debug, Clone)]
pub struct Prompts {
    ids: Vec<Vec<u32>>,
    /// The template's words before the class name, if they are to be learned.
    context: Vec<u32>,
    config: TextConfig,
}

impl Prompts {
    /// `template` filled with each of `classes`.
    ///
    /// # Errors
    ///
    /// A prompt that cannot be tokenised, two that are the same to the model, and a tokenizer that does not
    /// belong to the model.
    pub fn new(
        tokenizer: &ClipTokenizer,
        config: &TextConfig,
        template: &Template,
        classes: &[String],
    ) -> Result<Self, TuningError> {
        let texts: Vec<String> = classes.iter().map(|class| template.fill(class)).collect();
        let ids = tokenizer.encode_all(&texts)?;
        check_distinct(&ids, &vec![1; ids.len()], &texts)?;
        Self::from_ids(ids, config)
    }

    /// Prompts that are already tokenised, with their start and end tokens.
    ///
    /// # Errors
    ///
    /// The errors of [`Tokens::new`].
    pub fn from_ids(ids: Vec<Vec<u32>>, config: &TextConfig) -> Result<Self, TuningError> {
        // Detects a tokenizer whose end token differs from the model's.
        Tokens::new(&ids, Padding::Longest, config)?;
        Ok(Self { ids, context: Vec::new(), config: config.clone() })
    }

    /// Prompts with learnable vectors instead of the template's words before the class name: `length` of them, or with
    /// 0 one per word (more precisely, per token).
    ///
    /// # Errors
    ///
    /// The errors of [`Prompts::new`]; no words to start from; prompts that become too long.
    pub fn with_context(
        tokenizer: &ClipTokenizer,
        config: &TextConfig,
        template: &Template,
        classes: &[String],
        length: usize,
    ) -> Result<Self, TuningError> {
        let mut prompts = Self::new(tokenizer, config, template, classes)?;
        let wrong = |field, problem: String| TuningError::Prompt { field, problem };
        let (field, most) = ("method.prompt.length", config.max_position_embeddings);
        if length > most {
            let problem = format!("{length}, but the model reads {most} tokens; choose fewer");
            return Err(wrong(field, problem));
        }
        let words = template.as_str().split("{}").next().unwrap_or_default();
        let encoded = tokenizer.encode(words)?;
        let context = &encoded[1..encoded.len() - 1];
        if let Some(class) = prompts.ids.iter().position(|ids| !ids[1..].starts_with(context)) {
            return Err(wrong(
                "data.template",
                format!(
                    "in {:?} the class name is not a word of its own; put a space before the {{}} of the template",
                    template.fill(&classes[class])
                ),
            ));
        }
        if length == 0 && context.is_empty() {
            let template = template.as_str();
            return Err(wrong(
                field,
                format!(
                    "0, but the template {template:?} has no words before the class name to start from; choose \
                 a length, for example 16"
                ),
            ));
        }
        if length > 0 {
            for ids in &mut prompts.ids {
                // The vectors replace these ids; any but the end token will do.
                let room = vec![ids[0]; length];
                ids.splice(1..1 + context.len(), room);
            }
            Tokens::new(&prompts.ids, Padding::Longest, config).map_err(|error| match error {
                ClipError::Text { problem, .. } => wrong(
                    field,
                    format!("with {length} vectors a prompt has {problem}; choose fewer"),
                ),
                other => other.into(),
            })?;
        }
        prompts.context = context.to_vec();
        Ok(prompts)
    }

    /// The token ids of the template before the class name, of [`Prompts::with_context`]; otherwise empty.
    pub fn context(&self) -> &[u32] {
        &self.context
    }

    /// Number of classes.
    pub fn classes(&self) -> usize {
        self.ids.len()
    }

    /// The states of all prompts below the first adapter of `model`.
    pub fn prefix(&self, model: &TuningModel) -> TextPrefix {
        let classes: Vec<usize> = (0..self.classes()).collect();
        model.valid().text_prefix(&self.tokens(&classes, Padding::Longest))
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

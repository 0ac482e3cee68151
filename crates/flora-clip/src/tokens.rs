use crate::{ClipError, TextConfig};

/// The length to which the texts of a batch are padded. Padding follows the end token, which the causal tower never
/// looks past: both choices give the same features.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Padding {
    /// To the longest text of the batch: the least work.
    Longest,
    /// To the model's whole context (77 for OpenAI's CLIP), as PyTorch code commonly does.
    Context,
}

/// A batch of tokenised texts, on the host.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tokens {
    ids: Vec<u32>,
    length: usize,
    ends: Vec<usize>,
}

impl Tokens {
    /// Pads texts, each with its start and end tokens, to one length.
    ///
    /// # Errors
    ///
    /// No texts, or a text that is empty, longer than the context, has an id outside the vocabulary, or lacks the end
    /// token at which the model reads its features.
    pub fn new(
        texts: &[Vec<u32>],
        padding: Padding,
        config: &TextConfig,
    ) -> Result<Self, ClipError> {
        if texts.is_empty() {
            // Tensors without rows make some backends panic.
            let problem = "a batch needs at least one text".to_owned();
            return Err(ClipError::Text { text: "(none)".into(), problem });
        }
        let context = config.max_position_embeddings;
        let longest = texts.iter().map(Vec::len).max().unwrap_or(0);
        let length = match padding {
            Padding::Longest => longest,
            Padding::Context => context,
        };
        let wrong = |ids: &[u32], problem: String| ClipError::Text {
            text: format!("ids {:?}", &ids[..ids.len().min(8)]),
            problem,
        };
        let mut padded = Vec::with_capacity(texts.len() * length);
        let mut ends = Vec::with_capacity(texts.len());
        for ids in texts {
            if ids.is_empty() || ids.len() > context {
                let problem = format!("{} tokens; the model takes 1 to {context}", ids.len());
                return Err(wrong(ids, problem));
            }
            if let Some(id) = ids.iter().find(|&&id| id as usize >= config.vocab_size) {
                let problem = format!("id {id} is outside the vocabulary of {}", config.vocab_size);
                return Err(wrong(ids, problem));
            }
            let Some(end) = end_position(ids, config.eos_token_id) else {
                let problem = format!("the end token {} is missing", config.eos_token_id);
                return Err(wrong(ids, problem));
            };
            ends.push(end);
            padded.extend(ids);
            // Hugging Face's tokenizer pads by repeating the end token, too.
            padded.resize(padded.len() + length - ids.len(), ids[end]);
        }
        Ok(Self { ids: padded, length, ends })
    }

    /// Number of texts.
    pub fn rows(&self) -> usize {
        self.ends.len()
    }

    /// Tokens per text, including padding.
    pub fn length(&self) -> usize {
        self.length
    }

    /// All ids, row by row.
    pub fn ids(&self) -> &[u32] {
        &self.ids
    }

    /// The position of each text's end token.
    pub fn ends(&self) -> &[usize] {
        &self.ends
    }
}

/// The position at which `transformers` reads a text's features: the first end token or, in configurations that still
/// have the historical `eos_token_id = 2`, the first largest id.
fn end_position(ids: &[u32], eos_token_id: u32) -> Option<usize> {
    let end = if eos_token_id == 2 { *ids.iter().max()? } else { eos_token_id };
    ids.iter().position(|&id| id == end)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config() -> TextConfig {
        crate::ClipConfig::clip_nano().text_config
    }

    #[test]
    fn both_paddings_find_the_same_ends() {
        let texts = vec![vec![8190, 5, 8191], vec![8190, 5, 6, 7, 8191]];
        let short = Tokens::new(&texts, Padding::Longest, &config()).unwrap();
        let full = Tokens::new(&texts, Padding::Context, &config()).unwrap();
        assert_eq!((short.length(), full.length()), (5, 24));
        assert_eq!(short.ends(), [2, 4]);
        assert_eq!(full.ends(), short.ends());
        assert_eq!(short.ids()[..5], [8190, 5, 8191, 8191, 8191]);
    }

    #[test]
    fn unusable_ids_are_refused() {
        for (ids, what) in [
            (vec![], "0 tokens"),
            (vec![8190; 25], "25 tokens"),
            (vec![8190, 9000, 8191], "9000"),
            (vec![8190, 5], "end token"),
        ] {
            let error = Tokens::new(&[ids], Padding::Longest, &config()).unwrap_err();
            assert!(error.to_string().contains(what), "{error}");
        }
        let error = Tokens::new(&[], Padding::Context, &config()).unwrap_err();
        assert!(error.to_string().contains("at least one text"), "{error}");
    }

    #[test]
    fn a_legacy_end_is_the_first_largest_id() {
        let config = TextConfig { eos_token_id: 2, ..config() };
        let texts = vec![vec![8190, 5, 8191, 8191], vec![7, 2, 6]];
        let tokens = Tokens::new(&texts, Padding::Longest, &config).unwrap();
        assert_eq!(tokens.ends(), [2, 0]);
        // Padding must not be larger than the end, or it would become the end.
        assert_eq!(tokens.ids()[4..], [7, 2, 6, 7]);
    }
}

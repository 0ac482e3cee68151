//! Tokens added to a vocabulary, as in `transformers` 5 (`TokenizersBackend.__init__`).

use std::path::Path;

use serde_json::Value;
use tokenizers::{AddedToken, Tokenizer};

use super::declared::{CONFIG, Declared, NAMES, listed};
use super::guarded;
use crate::ClipError;

impl Declared {
    /// The file that gives ids, for messages.
    pub(super) fn source<'a>(&'a self, vocabulary: &'a Path) -> &'a Path {
        if self.added.is_empty() { vocabulary } else { &self.source }
    }

    /// The content of the token with this name.
    pub(super) fn content(&self, name: &str) -> Option<&str> {
        let named = self.named.iter().find(|(known, _)| known == name);
        named.map(|(_, token)| token.content.as_str())
    }

    /// Refuses settings that require other preprocessing steps than CLIP's.
    pub(super) fn check_pipeline(&self, folder: &Path) -> Result<(), ClipError> {
        let wrong = |problem: String| Err(ClipError::file(&folder.join(CONFIG), problem));
        if let Some(class) = &self.other_class {
            return wrong(format!(
                "tokenizer_class is {class:?}; vocab.json and merges.txt can be followed as a \
                 \"CLIPTokenizer\" alone: write that, or save a tokenizer.json beside them"
            ));
        }
        if self.cased {
            return wrong(
                "do_lower_case is false, but CLIP's tokenizer writes everything small, and \
                 transformers' does so whatever is said here; write true"
                    .into(),
            );
        }
        Ok(())
    }

    /// Adds the tokens listed in a `tokenizer.json` first, if its class keeps them: CLIP's class uses the vocabulary
    /// and the merges of such a file, and the declared tokens.
    pub(super) fn begin_with_listed(&mut self, document: &Value) -> Result<(), String> {
        if self.other_class.is_some() {
            self.listed = listed(document)?;
        }
        Ok(())
    }

    /// Adds all tokens in the order of `transformers`, which determines the ids of new tokens:
    /// `TokenizersBackend.__init__`. `named` are the tokens that have a name in the end.
    pub(super) fn add(
        &self,
        tokenizer: &mut Tokenizer,
        named: &[(String, AddedToken)],
    ) -> Result<(), String> {
        let with_ids = || self.listed.iter().chain(&self.added);
        let has_id = |content: &str| with_ids().any(|(_, token)| token.content == content);
        let mut tokens: Vec<AddedToken> = with_ids().map(|(_, token)| token.clone()).collect();
        for token in named.iter().map(|(_, token)| token).chain(&self.extra) {
            // Twice, with different rules: the last ones count.
            if !has_id(&token.content) && !tokens.contains(token) {
                tokens.push(token.clone());
            }
        }
        for token in &mut tokens {
            token.special |= named.iter().any(|(_, named)| named.content == token.content);
        }
        let unordered = |(name, token): &&(String, AddedToken)| {
            let known = has_id(&token.content) || tokenizer.token_to_id(&token.content).is_some();
            !known && !NAMES.contains(&name.as_str())
        };
        if let [first, second, ..] = named.iter().filter(unordered).collect::<Vec<_>>()[..] {
            return Err(format!(
                "{} and {} are no tokens of the vocabulary; give them ids in added_tokens_decoder",
                first.0, second.0
            ));
        }
        guarded(|| tokenizer.add_tokens(tokens))?;
        for (id, token) in with_ids() {
            let content = &token.content;
            match tokenizer.token_to_id(content) {
                Some(given) if given != *id => {
                    return Err(format!(
                        "{content:?} has the id {id}, but is {given} to a tokenizer, which numbers \
                         added tokens from the end of the vocabulary on, without gaps; give it that \
                         id, and its row of token_embedding the place",
                    ));
                }
                _ => {}
            }
        }
        Ok(())
    }
}

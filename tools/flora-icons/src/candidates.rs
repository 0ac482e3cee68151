//! Pairs before and after they are checked.

use crate::broad;
use crate::classes::Class;
use crate::held_out::{Drawing, HeldOut};

/// A picture and what it may be called.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Pair {
    /// The icon's name in its set.
    pub(crate) icon: String,
    /// The name of what it shows.
    pub(crate) name: String,
    /// The captions to draw from in training, at least one.
    pub(crate) captions: Vec<String>,
    /// The class that the captions name.
    pub(crate) class: Option<Class>,
}

/// A pair that has not passed [`HeldOut::forbids`] yet.
#[derive(Debug, Clone)]
pub(crate) struct Candidate {
    /// The pair.
    pub(crate) pair: Pair,
    /// The code points, where it is an emoji.
    pub(crate) hexcode: Option<String>,
    /// Texts that are no captions but tell what is drawn.
    pub(crate) also: Vec<String>,
}

/// The pairs of a source that may be trained on. [`Selection::of`] alone makes them, so that
/// nothing else is ever written.
#[derive(Debug, Default)]
pub(crate) struct Selection {
    pairs: Vec<Pair>,
    forbidden: usize,
}

impl Selection {
    /// The candidates of `source` that are not held out.
    pub(crate) fn of(source: &str, candidates: Vec<Candidate>, held_out: &HeldOut) -> Self {
        let mut selection = Self::default();
        for Candidate { pair, hexcode, also } in candidates {
            let mut texts = also;
            texts.extend(pair.captions.iter().cloned());
            texts.extend([pair.icon.clone(), pair.name.clone()]);
            let drawing = Drawing { source, hexcode: hexcode.as_deref(), texts: &texts };
            if held_out.forbids(&drawing) {
                selection.forbidden += 1;
            } else {
                selection.pairs.push(pair);
            }
        }
        selection
    }

    /// In alphabetical order of the icons' names.
    pub(crate) fn pairs(&self) -> &[Pair] {
        &self.pairs
    }

    /// The number of candidates that [`HeldOut::forbids`].
    pub(crate) fn forbidden(&self) -> usize {
        self.forbidden
    }

    /// A selection for tests of what comes after it.
    #[cfg(test)]
    pub(crate) fn unchecked(pairs: Vec<Pair>, forbidden: usize) -> Self {
        Self { pairs, forbidden }
    }
}

/// The captions that tell what class something is of, the last with a broader word.
pub(crate) fn with_class(name: &str, class: Class, template: &str) -> Vec<String> {
    let mut captions = vec![format!("{name}, {}", class.name), template.replace("{}", class.name)];
    captions.extend(broad::caption(class.folder));
    captions
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::classes::find;
    use crate::concept::{Concept, Split};
    use crate::emojibase::Emojibase;

    #[test]
    fn texts_that_are_no_captions_are_checked_too() {
        let base = Emojibase::from_json(
            r#"[{"hexcode": "1F40E", "emoji": "🐎", "label": "horse"}]"#,
            r#"{"groups": {}, "subgroups": {}}"#,
        );
        let concept = Concept {
            emoji: base.emoji[0].clone(),
            group: String::new(),
            class: find("animal-mammal").expect("a class"),
            split: Split::Test,
        };
        let held_out = HeldOut::new(&base, &[concept]);
        let candidate = |also: &[&str]| Candidate {
            pair: Pair {
                icon: "cavallo.svg".to_owned(),
                name: "cavallo".to_owned(),
                captions: vec!["cavallo".to_owned()],
                class: None,
            },
            hexcode: None,
            also: also.iter().map(|&text| text.to_owned()).collect(),
        };
        let candidates = vec![candidate(&["animal", "horses"]), candidate(&["animal"])];
        let selection = Selection::of("openclipart", candidates, &held_out);
        assert_eq!((selection.pairs.len(), selection.forbidden), (1, 1));
    }
}

//! What pretraining must never see.

use std::collections::BTreeSet;

use crate::classes::CLASSES;
use crate::concept::{Concept, Split};
use crate::emojibase::{Emojibase, canonical_hexcode, slug};
use crate::vendors::is_held_out_set;

/// The longest part of a name that is compared with the labels of concepts.
const MAX_PHRASE: usize = 4;

/// A drawing that might become a pair.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Drawing<'a> {
    /// The icon set it is from.
    pub(crate) source: &'a str,
    /// The code points, where it is an emoji.
    pub(crate) hexcode: Option<&'a str>,
    /// Everything it is or would be called: names in the set and captions.
    pub(crate) texts: &'a [String],
}

/// The held-out vendors and the held-out concepts.
///
/// Every pair goes through [`HeldOut::forbids`], the one place that keeps the published zero-shot figures honest.
pub(crate) struct HeldOut {
    hexcodes: BTreeSet<String>,
    texts: BTreeSet<String>,
}

impl HeldOut {
    /// The test concepts among `concepts`, with all their spellings, labels and Unicode names.
    pub(crate) fn new(base: &Emojibase, concepts: &[Concept]) -> Self {
        let test = || {
            concepts
                .iter()
                .filter(|concept| concept.split == Split::Test)
                .map(|concept| &concept.emoji)
        };
        Self {
            hexcodes: test().map(|emoji| canonical_hexcode(&emoji.hexcode)).collect(),
            texts: test()
                .flat_map(|emoji| [Some(emoji.label.as_str()), base.unicode_name(&emoji.hexcode)])
                .flatten()
                .flat_map(keys)
                .collect(),
        }
    }

    /// Whether training on the drawing would spoil the evaluation: it is drawn by a held-out vendor (or derived from
    /// one), it shows a held-out concept in any skin tone, presentation or direction, or it is called like one.
    pub(crate) fn forbids(&self, drawing: &Drawing<'_>) -> bool {
        is_held_out_set(drawing.source)
            || drawing
                .hexcode
                .is_some_and(|hexcode| self.hexcodes.contains(&canonical_hexcode(hexcode)))
            || drawing.texts.iter().any(|text| self.is_called(text))
    }

    /// Whether `text` names a held-out concept.
    pub(crate) fn is_called(&self, text: &str) -> bool {
        keys(text).iter().any(|key| self.texts.contains(key))
    }
}

/// Every run of up to four words that could name a concept, for drawings of which only a name is known: `food pizza` shows
/// one. The names of classes are no concepts but kinds of them: a "bird house" is allowed, while "bird" is held out.
pub(crate) fn phrases(words: &[&str]) -> BTreeSet<String> {
    let is_class = |text: &str| {
        let singular = singular(text);
        CLASSES.iter().any(|class| class.name == text || class.name == singular)
    };
    (1..=MAX_PHRASE)
        .flat_map(|length| words.windows(length).map(|window| window.join(" ")))
        .filter(|phrase| !is_class(phrase))
        .collect()
}

/// Two spellings under which texts are compared, so that `paw-print`, `glass-wine` and `note book` are recognised as the
/// held-out "paw prints", "wine glass" and "notebook": the words in the singular and in alphabetical order, and the
/// letters without spaces.
fn keys(text: &str) -> [String; 2] {
    let slug = slug(text);
    let mut words: Vec<&str> = slug.split('-').map(singular).collect();
    words.sort_unstable();
    [words.join(" "), singular(&slug.replace('-', "")).to_owned()]
}

/// Good enough to compare: wrong for "bus" and "glass", but the same for both sides.
fn singular(word: &str) -> &str {
    word.strip_suffix('s').filter(|stem| stem.len() >= 3).unwrap_or(word)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::classes::find;
    use crate::emojibase::Emoji;

    fn concept(hexcode: &str, label: &str, split: Split) -> Concept {
        Concept {
            emoji: Emoji {
                hexcode: hexcode.to_owned(),
                emoji: String::new(),
                label: label.to_owned(),
                tags: Vec::new(),
                group: None,
                subgroup: None,
            },
            group: String::new(),
            class: find("person-sport").expect("a class"),
            split,
        }
    }

    fn held_out() -> HeldOut {
        let base = Emojibase::from_json("[]", r#"{"groups": {}, "subgroups": {}}"#);
        HeldOut::new(
            &base,
            &[
                concept("1F3C4", "person surfing", Split::Test),
                concept("26F9-FE0F", "T-shirt", Split::Test),
                concept("1F418", "elephant", Split::Train),
            ],
        )
    }

    #[test]
    fn every_part_of_a_name_is_a_phrase_except_the_names_of_classes() {
        let phrases = phrases(&["two", "birds", "food", "pizza"]);
        for part in ["pizza", "food pizza", "two birds", "two birds food pizza"] {
            assert!(phrases.contains(part), "{part}");
        }
        assert!(!phrases.contains("birds") && !phrases.contains("two food"));
    }

    fn forbids(source: &str, hexcode: Option<&str>, text: &str) -> bool {
        held_out().forbids(&Drawing { source, hexcode, texts: &[text.to_owned()] })
    }

    #[test]
    fn held_out_vendors_are_forbidden_whatever_they_draw() {
        for source in [
            "openmoji",
            "fluent-emoji",
            "fluent-emoji-flat",
            "fluent-emoji-high-contrast",
            "fxemoji",
        ] {
            assert!(forbids(source, Some("1F418"), "elephant"), "{source}");
        }
        assert!(!forbids("noto", Some("1F418"), "elephant"));
        assert!(!forbids("fluent", None, "elephant"));
    }

    #[test]
    fn held_out_concepts_are_forbidden_in_every_spelling() {
        for hexcode in [
            "1F3C4",
            "1f3c4",
            "1F3C4-1F3FD",
            "1F3C4-FE0F",
            "1F3C4-1F3FB-200D-27A1-FE0F",
            "26F9",
            "26F9-1F3FF",
        ] {
            assert!(forbids("noto", Some(hexcode), "another name"), "{hexcode}");
        }
        // A concept of its own: "man surfing".
        assert!(!forbids("noto", Some("1F3C4-200D-2642-FE0F"), "man surfing"));
    }

    #[test]
    fn icons_that_are_called_like_a_held_out_concept_are_forbidden() {
        for name in [
            "person surfing",
            "Person-Surfing",
            "person_surfing",
            "t shirt",
            "T-shirt",
            "tshirts",
            "surfing person",
        ] {
            assert!(forbids("mdi", None, name), "{name}");
        }
        assert!(!forbids("mdi", None, "surfing"));
        assert!(!forbids("mdi", None, "elephant"));
    }
}

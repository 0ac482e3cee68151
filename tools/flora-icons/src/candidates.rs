//! The pairs of one icon set before they are rendered.

use std::collections::{BTreeMap, BTreeSet};

use crate::classes::{TEMPLATE, find};
use crate::emoji_index::EmojiIndex;
use crate::emojibase::{Emoji, Emojibase};
use crate::held_out::{Candidate, HeldOut};
use crate::iconify::IconSet;
use crate::names::{Naming, Style, clean, has_word};
use crate::sources::{Kind, Source};

/// Words of names that stand for a company, not for a thing.
const BRAND_WORDS: [&str; 3] = ["brand", "logo", "logos"];
/// A drawing in one colour that may be changed cannot be "red circle".
const COLOUR_WORDS: [&str; 10] =
    ["red", "orange", "yellow", "green", "blue", "purple", "brown", "pink", "grey", "white"];
/// A caption lists this many keywords at most: clip-nano reads few tokens.
const MAX_TAGS: usize = 4;

/// A picture and what it may be called.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Pair {
    /// The icon's name in its set.
    pub(crate) icon: String,
    /// The name of what it shows.
    pub(crate) name: String,
    /// The captions to draw from in training, at least one.
    pub(crate) captions: Vec<String>,
}

/// The pairs of a set and how many icons were held out.
#[derive(Debug, Default)]
pub(crate) struct Selection {
    /// In alphabetical order of the icons' names.
    pub(crate) pairs: Vec<Pair>,
    /// The number of icons that [`HeldOut::forbids`].
    pub(crate) forbidden: usize,
}

/// What the selection of every set needs.
pub(crate) struct Context<'a> {
    /// The texts.
    pub(crate) base: &'a Emojibase,
    /// Names of emoji.
    pub(crate) index: EmojiIndex<'a>,
    /// What must not be seen.
    pub(crate) held_out: HeldOut,
}

impl Context<'_> {
    /// The pairs of `set`.
    pub(crate) fn select(&self, source: Source, set: &IconSet) -> Selection {
        let candidates = match source.kind {
            Kind::Emoji { flags } => self.emoji(set, flags),
            Kind::Icons(naming) => icons(set, naming),
        };
        let mut selection = Selection::default();
        for (pair, hexcode) in candidates {
            let mut texts = pair.captions.clone();
            texts.extend([pair.icon.clone(), pair.name.clone()]);
            let candidate =
                Candidate { source: source.prefix, hexcode: hexcode.as_deref(), texts: &texts };
            if self.held_out.forbids(&candidate) {
                selection.forbidden += 1;
            } else {
                selection.pairs.push(pair);
            }
        }
        selection
    }

    /// One drawing per emoji.
    fn emoji(&self, set: &IconSet, flags: bool) -> Vec<(Pair, Option<String>)> {
        let mut seen = BTreeSet::new();
        set.names()
            .filter_map(|icon| Some((icon, self.index.find(icon)?)))
            .filter(|(_, emoji)| flags || self.base.group(emoji) != Some("flags"))
            .filter(|(icon, emoji)| !(set.is_mono(icon) && has_word(&emoji.label, &COLOUR_WORDS)))
            .filter(|(_, emoji)| seen.insert(&emoji.hexcode))
            .map(|(icon, emoji)| {
                let name = text(&emoji.label);
                let captions = self.captions(emoji, &name);
                (Pair { icon: icon.to_owned(), name, captions }, Some(emoji.hexcode.clone()))
            })
            .collect()
    }

    /// The label, the label with keywords, the keywords, and, where the emoji is of a class, the prompt of that class.
    fn captions(&self, emoji: &Emoji, name: &str) -> Vec<String> {
        let tags: Vec<String> = emoji
            .tags
            .iter()
            .map(|tag| text(tag))
            .filter(|tag| tag != name)
            .take(MAX_TAGS)
            .collect();
        let mut captions = vec![name.to_owned()];
        if !tags.is_empty() {
            captions.push(format!("{name}, {}", tags.join(", ")));
        }
        if tags.len() >= 2 {
            captions.push(tags.join(", "));
        }
        if let Some(class) = self.base.subgroup(emoji).and_then(find) {
            captions.push(TEMPLATE.replace("{}", class.name));
        }
        captions
    }
}

/// At most two drawings per caption: one of lines, one filled.
fn icons(set: &IconSet, naming: Naming) -> Vec<(Pair, Option<String>)> {
    let skipped: BTreeSet<&str> = set
        .categories
        .iter()
        .filter(|(category, _)| is_skipped_category(category))
        .flat_map(|(_, names)| names.iter().map(String::as_str))
        .collect();
    let mut best: BTreeMap<(String, Style), &str> = BTreeMap::new();
    for icon in set.names().filter(|icon| !skipped.contains(icon) && !has_word(icon, &BRAND_WORDS))
    {
        let Some((caption, style)) = clean(icon, naming) else { continue };
        if style == Style::Variant {
            continue;
        }
        best.entry((caption, style))
            .and_modify(|kept| {
                if rank(icon) < rank(kept) {
                    *kept = icon;
                }
            })
            .or_insert(icon);
    }
    let mut pairs: Vec<(Pair, Option<String>)> = best
        .into_iter()
        .map(|((caption, _), icon)| {
            (Pair { icon: icon.to_owned(), name: caption.clone(), captions: vec![caption] }, None)
        })
        .collect();
    pairs.sort_by(|(a, _), (b, _)| a.icon.cmp(&b.icon));
    pairs
}

/// The drawing for 24 pixels first: it suits 64 pixels best; then the shortest name, which has no variant's number.
fn rank(icon: &str) -> (bool, usize, &str) {
    (!has_word(icon, &["24", "24px"]), icon.len(), icon)
}

fn is_skipped_category(category: &str) -> bool {
    let category = category.to_lowercase();
    ["brand", "logo", "flags"].iter().any(|word| category.contains(word))
}

/// Emojibase's typographic signs in plain ASCII.
fn text(label: &str) -> String {
    label.replace('’', "'").replace(['“', '”'], "\"").replace(':', ",").to_lowercase()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::concept::{Concept, Split};

    const INFO: &str =
        r#""info": {"name": "S", "author": {"name": "A"}, "license": {"spdx": "MIT"}}"#;

    fn set(icons: &[&str], more: &str) -> IconSet {
        let icons: Vec<String> =
            icons.iter().map(|icon| format!(r#""{icon}": {{"body": "<path/>"}}"#)).collect();
        serde_json::from_str(&format!(
            r#"{{"prefix": "s", {INFO}, "icons": {{{}}} {more}}}"#,
            icons.join(", ")
        ))
        .expect("a valid set")
    }

    fn base() -> Emojibase {
        Emojibase::from_json(
            r#"[
                {"hexcode": "1F418", "emoji": "🐘", "label": "elephant", "tags": ["animal", "elephant", "big"], "group": 3, "subgroup": 34},
                {"hexcode": "1F40E", "emoji": "🐎", "label": "horse", "group": 3, "subgroup": 34},
                {"hexcode": "1F1EB-1F1F7", "emoji": "🇫🇷", "label": "flag: France", "group": 9, "subgroup": 98}
            ]"#,
            r#"{"groups": {"3": "animals-nature", "9": "flags"}, "subgroups": {"34": "animal-mammal", "98": "country-flag"}}"#,
        )
    }

    fn context(base: &Emojibase) -> Context<'_> {
        let horse = Concept {
            emoji: base.emoji[1].clone(),
            group: String::new(),
            class: find("animal-mammal").expect("a class"),
            split: Split::Test,
        };
        Context { base, index: EmojiIndex::new(base, &[]), held_out: HeldOut::new(base, &[horse]) }
    }

    fn names(selection: &Selection) -> Vec<&str> {
        selection.pairs.iter().map(|pair| pair.icon.as_str()).collect()
    }

    #[test]
    fn seen_emoji_get_texts_with_their_class_and_held_out_ones_are_left_out() {
        let base = base();
        let source = Source { prefix: "noto", kind: Kind::Emoji { flags: false } };
        let selection = context(&base)
            .select(source, &set(&["elephant", "flag-france", "horse", "unheard-of"], ""));
        assert_eq!((names(&selection), selection.forbidden), (vec!["elephant"], 1));
        assert_eq!(
            selection.pairs[0].captions,
            ["elephant", "elephant, animal, big", "animal, big", "an emoji of a mammal."]
        );
    }

    #[test]
    fn flags_are_taken_where_the_source_says_so() {
        let base = base();
        let source = Source { prefix: "twemoji", kind: Kind::Emoji { flags: true } };
        let selection = context(&base).select(source, &set(&["flag-france"], ""));
        assert_eq!(selection.pairs[0].captions, ["flag, france"]);
    }

    #[test]
    fn a_recolourable_drawing_has_no_colour_in_its_name() {
        let base = Emojibase::from_json(
            r#"[{"hexcode": "1F534", "emoji": "🔴", "label": "red circle"}]"#,
            r#"{"groups": {}, "subgroups": {}}"#,
        );
        let source = Source { prefix: "noto", kind: Kind::Emoji { flags: false } };
        let mono = format!(
            r#"{{"prefix": "s", {INFO}, "icons": {{"red-circle": {{"body": "<path fill=\"currentColor\"/>"}}}}}}"#
        );
        let mono: IconSet = serde_json::from_str(&mono).expect("a valid set");
        let context = Context {
            base: &base,
            index: EmojiIndex::new(&base, &[]),
            held_out: HeldOut::new(&base, &[]),
        };
        assert!(context.select(source, &mono).pairs.is_empty());
        assert_eq!(context.select(source, &set(&["red-circle"], "")).pairs.len(), 1);
    }

    #[test]
    fn a_held_out_vendor_yields_nothing() {
        let base = base();
        let source = Source { prefix: "openmoji", kind: Kind::Emoji { flags: true } };
        assert!(
            context(&base).select(source, &set(&["elephant", "flag-france"], "")).pairs.is_empty()
        );
    }

    #[test]
    fn icons_keep_two_styles_and_lose_brands_and_held_out_names() {
        let base = base();
        let naming = Naming {
            plain: Style::Line,
            suffixes: &[("filled", Style::Fill), ("thin", Style::Variant)],
        };
        let source = Source { prefix: "fluent", kind: Kind::Icons(naming) };
        let icons = [
            "cup-16",
            "cup-24",
            "cup-24-filled",
            "cup-thin",
            "horse-20-filled",
            "horse",
            "brand-cup",
            "cup-logo",
            "acme",
        ];
        let selection = context(&base)
            .select(source, &set(&icons, r#", "categories": {"Brand / Logo": ["acme"]}"#));
        assert_eq!((names(&selection), selection.forbidden), (vec!["cup-24", "cup-24-filled"], 2));
        assert_eq!(selection.pairs[1].captions, ["cup"]);
    }
}

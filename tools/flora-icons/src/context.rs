//! What may be taken of an icon set.

use crate::candidates::Selection;
use crate::categories::Categories;
use crate::emoji_index::EmojiIndex;
use crate::emojibase::Emojibase;
use crate::held_out::HeldOut;
use crate::iconify::IconSet;
use crate::sources::{Kind, Source};
use crate::{emoji_candidates, icon_candidates};

/// What the selection of every set needs.
pub(crate) struct Context<'a> {
    /// The texts.
    pub(crate) base: &'a Emojibase,
    /// Names of emoji.
    pub(crate) index: EmojiIndex<'a>,
    /// What must not be seen.
    pub(crate) held_out: &'a HeldOut,
    /// The classes of names.
    pub(crate) categories: &'a Categories<'a>,
}

impl Context<'_> {
    /// The pairs of `set` that are not held out.
    pub(crate) fn select(&self, source: Source, set: &IconSet) -> Selection {
        let candidates = match source.kind {
            Kind::Emoji { flags } => {
                emoji_candidates::candidates(self.base, &self.index, set, flags)
            }
            Kind::Icons(naming) => icon_candidates::candidates(set, naming, self.categories),
        };
        Selection::of(source.prefix, candidates, self.held_out)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::classes::find;
    use crate::concept::{Concept, Split};
    use crate::names::{Naming, Style};
    use crate::wordnet::tests::miniature;

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

    /// What is selected of `set` where the horse is held out.
    fn select(base: &Emojibase, source: Source, set: &IconSet) -> Selection {
        let concepts: Vec<Concept> = base
            .emoji
            .iter()
            .filter_map(|emoji| {
                let class = base.subgroup(emoji).and_then(find)?;
                let split = if emoji.label == "horse" { Split::Test } else { Split::Train };
                Some(Concept { emoji: emoji.clone(), group: String::new(), class, split })
            })
            .collect();
        let (wordnet, held_out) = (miniature(), HeldOut::new(base, &concepts));
        let categories = Categories::with_synsets(&wordnet, &held_out, &concepts, &[]);
        let context = Context {
            base,
            index: EmojiIndex::new(base, &[]),
            held_out: &held_out,
            categories: &categories.expect("no synsets to resolve"),
        };
        context.select(source, set)
    }

    fn names(selection: &Selection) -> Vec<&str> {
        selection.pairs().iter().map(|pair| pair.icon.as_str()).collect()
    }

    #[test]
    fn seen_emoji_get_texts_with_their_class_and_held_out_ones_are_left_out() {
        let base = base();
        let source = Source { prefix: "noto", kind: Kind::Emoji { flags: false } };
        let icons = set(&["elephant", "flag-france", "horse", "unheard-of"], "");
        let selection = select(&base, source, &icons);
        assert_eq!((names(&selection), selection.forbidden()), (vec!["elephant"], 1));
        assert_eq!(
            selection.pairs()[0].captions,
            [
                "elephant",
                "elephant, animal, big",
                "animal, big",
                "elephant, mammal",
                "an emoji of a mammal.",
                "a picture of an animal."
            ]
        );
    }

    #[test]
    fn flags_are_taken_where_the_source_says_so() {
        let base = base();
        let source = Source { prefix: "twemoji", kind: Kind::Emoji { flags: true } };
        let selection = select(&base, source, &set(&["flag-france"], ""));
        assert_eq!(selection.pairs()[0].captions, ["flag, france"]);
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
        assert!(select(&base, source, &mono).pairs().is_empty());
        assert_eq!(select(&base, source, &set(&["red-circle"], "")).pairs().len(), 1);
    }

    #[test]
    fn a_held_out_vendor_yields_nothing() {
        let base = base();
        let source = Source { prefix: "openmoji", kind: Kind::Emoji { flags: true } };
        let selection = select(&base, source, &set(&["elephant", "flag-france"], ""));
        assert_eq!((selection.pairs().len(), selection.forbidden()), (0, 2));
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
        let icons = set(&icons, r#", "categories": {"Brand / Logo": ["acme"]}"#);
        let selection = select(&base, source, &icons);
        assert_eq!(
            (names(&selection), selection.forbidden()),
            (vec!["cup-24", "cup-24-filled"], 2)
        );
        assert_eq!(selection.pairs()[1].captions, ["cup"]);
    }

    #[test]
    fn icons_of_a_seen_class_get_captions_with_it_and_no_part_of_a_name_is_a_held_out_concept() {
        let base = base();
        let naming = Naming { plain: Style::Line, suffixes: &[] };
        let source = Source { prefix: "mdi", kind: Kind::Icons(naming) };
        let selection =
            select(&base, source, &set(&["baby-elephant", "cup", "race-horse", "horses"], ""));
        let captions: Vec<Vec<&str>> = selection
            .pairs()
            .iter()
            .map(|pair| pair.captions.iter().map(String::as_str).collect())
            .collect();
        assert_eq!(
            captions,
            [
                vec![
                    "baby elephant",
                    "baby elephant, mammal",
                    "an icon of a mammal.",
                    "a picture of an animal."
                ],
                vec!["cup"],
            ]
        );
        assert_eq!(selection.forbidden(), 2);
    }
}

//! The names among which an image's own is to be retrieved.

use std::collections::BTreeMap;

use serde::Serialize;

use crate::concept::{Concept, Split};
use crate::emojibase::{Emojibase, canonical_hexcode, presentation_free};

/// Groups of flags, which all look alike, and of skin tones and hair, which are parts of emoji.
const EXCLUDED_GROUPS: [&str; 2] = ["component", "flags"];
/// Keycaps are one frame around thirteen characters.
const EXCLUDED_SUBGROUPS: [&str; 1] = ["keycap"];

/// One line of `labels.jsonl`.
#[derive(Debug, Serialize, PartialEq, Eq)]
pub(crate) struct Label<'a> {
    hexcode: &'a str,
    label: &'a str,
    group: &'a str,
    subgroup: &'a str,
    /// The side of the split of a concept of EmojiVendors, and nothing for an emoji of no class.
    split: Option<&'static str>,
}

/// Every emoji that an image might be mistaken for, in Unicode's order: without skin tones and without those that
/// show another in the other direction.
pub(crate) fn labels<'a>(base: &'a Emojibase, concepts: &[Concept]) -> Vec<Label<'a>> {
    let splits: BTreeMap<&str, Split> =
        concepts.iter().map(|concept| (concept.emoji.hexcode.as_str(), concept.split)).collect();
    base.emoji
        .iter()
        .filter(|emoji| canonical_hexcode(&emoji.hexcode) == presentation_free(&emoji.hexcode))
        .filter_map(|emoji| Some((emoji, base.group(emoji)?, base.subgroup(emoji)?)))
        .filter(|(_, group, subgroup)| {
            !EXCLUDED_GROUPS.contains(group) && !EXCLUDED_SUBGROUPS.contains(subgroup)
        })
        .map(|(emoji, group, subgroup)| Label {
            hexcode: &emoji.hexcode,
            label: &emoji.label,
            group,
            subgroup,
            split: splits.get(emoji.hexcode.as_str()).map(|split| split.name()),
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::classes::find;

    #[test]
    fn flags_keycaps_components_and_directions_are_no_candidates() {
        let base = Emojibase::from_json(
            r#"[
                {"hexcode": "1F418", "emoji": "🐘", "label": "elephant", "group": 3, "subgroup": 34},
                {"hexcode": "1F3C3", "emoji": "🏃", "label": "person running", "group": 1, "subgroup": 20},
                {"hexcode": "1F3C3-200D-27A1-FE0F", "emoji": "🏃‍➡️", "label": "person running: facing right", "group": 1, "subgroup": 20},
                {"hexcode": "27A1-FE0F", "emoji": "➡️", "label": "right arrow", "group": 8, "subgroup": 60},
                {"hexcode": "0031-FE0F-20E3", "emoji": "1️⃣", "label": "keycap: 1", "group": 8, "subgroup": 90},
                {"hexcode": "1F3FB", "emoji": "🏻", "label": "light skin tone", "group": 2, "subgroup": 30},
                {"hexcode": "1F1E6", "emoji": "🇦", "label": "regional indicator A"},
                {"hexcode": "1F1EB-1F1F7", "emoji": "🇫🇷", "label": "flag: France", "group": 9, "subgroup": 98}
            ]"#,
            r#"{"groups": {"1": "people-body", "2": "component", "3": "animals-nature", "8": "symbols", "9": "flags"},
                "subgroups": {"20": "person-activity", "30": "skin-tone", "34": "animal-mammal", "60": "arrow",
                              "90": "keycap", "98": "country-flag"}}"#,
        );
        let elephant = Concept {
            emoji: base.emoji[0].clone(),
            group: "animals-nature".to_owned(),
            class: find("animal-mammal").expect("a class"),
            split: Split::Test,
        };
        let labels = labels(&base, &[elephant]);
        let found: Vec<_> = labels.iter().map(|label| (label.label, label.split)).collect();
        assert_eq!(
            found,
            [("elephant", Some("test")), ("person running", None), ("right arrow", None)]
        );
    }
}

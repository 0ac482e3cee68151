//! Which emoji an icon of an emoji set shows.

use std::collections::BTreeMap;

use crate::emojibase::{Emoji, Emojibase, presentation_free, slug};
use crate::iconify::IconSet;

/// Finds emoji by the names that icon sets give them.
pub(crate) struct EmojiIndex<'a> {
    by_hexcode: BTreeMap<String, &'a Emoji>,
    by_name: BTreeMap<String, String>,
}

impl<'a> EmojiIndex<'a> {
    /// Indexes the labels and Unicode names of `base` and the names in `named`, sets that list the code points of their
    /// icons: names change from one version of Unicode to the next, and these sets still know the older ones.
    pub(crate) fn new(base: &'a Emojibase, named: &[&IconSet]) -> Self {
        let mut by_name = BTreeMap::new();
        for emoji in &base.emoji {
            by_name.entry(slug(&emoji.label)).or_insert_with(|| presentation_free(&emoji.hexcode));
        }
        for set in named {
            for (hexcode, name) in &set.chars {
                by_name.entry(name.clone()).or_insert_with(|| presentation_free(hexcode));
            }
            for (alias, parent) in set.aliases() {
                if let Some(hexcode) = by_name.get(parent).cloned() {
                    by_name.entry(alias.to_owned()).or_insert(hexcode);
                }
            }
        }
        for emoji in &base.emoji {
            if let Some(name) = base.unicode_name(&emoji.hexcode) {
                by_name.entry(slug(name)).or_insert_with(|| presentation_free(&emoji.hexcode));
            }
        }
        let by_hexcode =
            base.emoji.iter().map(|emoji| (presentation_free(&emoji.hexcode), emoji)).collect();
        Self { by_hexcode, by_name }
    }

    /// The emoji that `name` stands for; `None` for an unknown name and for a skin-tone variant.
    pub(crate) fn find(&self, name: &str) -> Option<&'a Emoji> {
        self.by_hexcode.get(self.by_name.get(name)?).copied()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels_older_names_and_aliases_lead_to_the_emoji_and_skin_tones_do_not() {
        let base = Emojibase::from_json(
            r#"[{"hexcode": "1F43B", "emoji": "🐻", "label": "bear"}, {"hexcode": "270B", "emoji": "✋", "label": "raised hand"}]"#,
            r#"{"groups": {}, "subgroups": {}}"#,
        );
        let set: IconSet = serde_json::from_str(
            r#"{
                "prefix": "s", "info": {"name": "S", "author": {"name": "A"}, "license": {"spdx": "MIT"}}, "icons": {},
                "chars": {"1f43b": "bear-face", "270b-1f3fb": "raised-hand-light-skin-tone"},
                "aliases": {"bear-head": {"parent": "bear-face"}}
            }"#,
        )
        .expect("a valid set");
        let index = EmojiIndex::new(&base, &[&set]);
        for name in ["bear", "bear-face", "bear-head"] {
            assert_eq!(
                index.find(name).map(|emoji| emoji.hexcode.as_str()),
                Some("1F43B"),
                "{name}"
            );
        }
        assert!(index.find("raised-hand").is_some());
        assert!(index.find("raised-hand-light-skin-tone").is_none());
        assert!(index.find("unknown").is_none());
    }
}

//! The candidates of an emoji set, whose texts are emojibase's.

use std::collections::BTreeSet;

use crate::broad;
use crate::candidates::{Candidate, Pair, with_class};
use crate::classes::{Class, TEMPLATE, find};
use crate::emoji_index::EmojiIndex;
use crate::emojibase::{Emoji, Emojibase};
use crate::iconify::IconSet;
use crate::names::{has_word, text};

/// A drawing in one colour that may be changed cannot be "red circle".
const COLOUR_WORDS: [&str; 10] =
    ["red", "orange", "yellow", "green", "blue", "purple", "brown", "pink", "grey", "white"];
/// A caption lists this many keywords at most: clip-nano reads few tokens.
const MAX_TAGS: usize = 4;

/// One drawing per emoji; those of flags only where `flags` says so.
pub(crate) fn candidates(
    base: &Emojibase,
    index: &EmojiIndex<'_>,
    set: &IconSet,
    flags: bool,
) -> Vec<Candidate> {
    let mut seen = BTreeSet::new();
    set.names()
        .filter_map(|icon| Some((icon, index.find(icon)?)))
        .filter(|(_, emoji)| flags || base.group(emoji) != Some("flags"))
        .filter(|(icon, emoji)| !(set.is_mono(icon) && has_word(&emoji.label, &COLOUR_WORDS)))
        .filter(|(_, emoji)| seen.insert(&emoji.hexcode))
        .map(|(icon, emoji)| {
            let name = text(&emoji.label);
            let subgroup = base.subgroup(emoji);
            let class = subgroup.and_then(find);
            let mut captions = captions(emoji, &name, class);
            if class.is_none() {
                captions.extend(subgroup.and_then(broad::caption));
            }
            Candidate {
                pair: Pair { icon: icon.to_owned(), name, captions, class },
                hexcode: Some(emoji.hexcode.clone()),
                also: Vec::new(),
            }
        })
        .collect()
}

/// The label, the label with keywords, the keywords, and, where the emoji is of a class, the label with the class's name
/// and the prompts of that class.
fn captions(emoji: &Emoji, name: &str, class: Option<Class>) -> Vec<String> {
    let tags: Vec<String> =
        emoji.tags.iter().map(|tag| text(tag)).filter(|tag| tag != name).take(MAX_TAGS).collect();
    let mut captions = vec![name.to_owned()];
    if !tags.is_empty() {
        captions.push(format!("{name}, {}", tags.join(", ")));
    }
    if tags.len() >= 2 {
        captions.push(tags.join(", "));
    }
    if let Some(class) = class {
        captions.extend(with_class(name, class, TEMPLATE));
    }
    captions
}

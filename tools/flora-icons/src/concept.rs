//! The concepts of EmojiVendors and how they are split.

use std::collections::BTreeMap;

use md5::{Digest, Md5};

use crate::classes::{CLASSES, Class, EXCLUDED_GROUPS, EXCLUDED_SUBGROUPS, find};
use crate::emojibase::{Emoji, Emojibase};
use crate::error::{Error, Result};

/// A subgroup with fewer concepts is no class.
const MIN_CONCEPTS: usize = 12;
/// Percentage of the concepts that are held out.
const TEST_PERCENT: u128 = 15;

/// Whether a concept may be trained on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Split {
    /// Seen in training.
    Train,
    /// Held out, whoever drew it.
    Test,
}

impl Split {
    /// `md5(hexcode) % 100 < 15`, with the hexcode as emojibase spells it and the digest as one big-endian integer.
    ///
    /// The split is by concept, so that an object drawn by two vendors never lies on both sides.
    pub(crate) fn of(hexcode: &str) -> Self {
        if md5_number(hexcode) % 100 < TEST_PERCENT { Self::Test } else { Self::Train }
    }

    /// The folder name.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Train => "train",
            Self::Test => "test",
        }
    }
}

/// The MD5 digest of `text` as a big-endian integer, as `int(hashlib.md5(text).hexdigest(), 16)` in Python.
pub(crate) fn md5_number(text: &str) -> u128 {
    u128::from_be_bytes(Md5::digest(text.as_bytes()).into())
}

/// One thing that every vendor draws in its own way.
#[derive(Debug, Clone)]
pub(crate) struct Concept {
    /// Code points and texts.
    pub(crate) emoji: Emoji,
    /// The name of the Unicode group.
    pub(crate) group: String,
    /// The class.
    pub(crate) class: Class,
    /// Its side of the split.
    pub(crate) split: Split,
}

/// The concepts of all classes, in Unicode's order.
///
/// # Errors
///
/// [`Error::Mismatch`] where the subgroups with at least 12 concepts are not those of the class table, which says that
/// the data is of another Unicode version.
pub(crate) fn concepts(base: &Emojibase) -> Result<Vec<Concept>> {
    let candidates: Vec<(&Emoji, &str, &str)> = base
        .emoji
        .iter()
        .filter_map(|emoji| Some((emoji, base.group(emoji)?, base.subgroup(emoji)?)))
        .filter(|(_, group, subgroup)| {
            !EXCLUDED_GROUPS.contains(group) && !EXCLUDED_SUBGROUPS.contains(subgroup)
        })
        .collect();
    let mut sizes: BTreeMap<&str, usize> = BTreeMap::new();
    for (_, _, subgroup) in &candidates {
        *sizes.entry(subgroup).or_default() += 1;
    }
    sizes.retain(|_, size| *size >= MIN_CONCEPTS);
    let unnamed: Vec<&str> =
        sizes.keys().copied().filter(|subgroup| find(subgroup).is_none()).collect();
    let absent: Vec<&str> = CLASSES
        .iter()
        .map(|class| class.folder)
        .filter(|folder| !sizes.contains_key(folder))
        .collect();
    if !unnamed.is_empty() || !absent.is_empty() {
        return Err(Error::mismatch(
            "emojibase-data",
            format!(
                "the subgroups with at least {MIN_CONCEPTS} emoji are not the classes of EmojiVendors (new: \
                 {unnamed:?}, too small: {absent:?}); use emojibase-data 17.0.0 or bring classes.rs up to date"
            ),
        ));
    }
    Ok(candidates
        .into_iter()
        .filter_map(|(emoji, group, subgroup)| {
            Some(Concept {
                emoji: emoji.clone(),
                group: group.to_owned(),
                class: find(subgroup)?,
                split: Split::of(&emoji.hexcode),
            })
        })
        .collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_split_is_that_of_pythons_hashlib() {
        // int(hashlib.md5(b"1F418").hexdigest(), 16) and friends.
        assert_eq!(md5_number(""), 0xd41d_8cd9_8f00_b204_e980_0998_ecf8_427e);
        for (hexcode, remainder) in [("1F418", 41), ("1F408-200D-2B1B", 17), ("2764", 91)] {
            assert_eq!(md5_number(hexcode) % 100, remainder);
        }
    }

    #[test]
    fn about_fifteen_percent_of_the_code_points_are_held_out() {
        let held_out = (0x1F300..0x1F700)
            .filter(|point| Split::of(&format!("{point:X}")) == Split::Test)
            .count();
        assert!((123..=184).contains(&held_out), "{held_out} of 1,024");
    }

    #[test]
    fn data_of_another_unicode_version_is_refused() {
        let base = Emojibase::from_json(
            r#"[{"hexcode": "1F418", "emoji": "🐘", "label": "elephant", "group": 3, "subgroup": 34}]"#,
            r#"{"groups": {"3": "animals-nature"}, "subgroups": {"34": "animal-mammal"}}"#,
        );
        let error = concepts(&base).unwrap_err().to_string();
        assert!(error.contains("animal-mammal"), "{error}");
        assert!(error.contains("17.0.0"), "{error}");
    }
}

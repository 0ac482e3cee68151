//! The emoji texts of `emojibase-data`.

use std::collections::BTreeMap;

use serde::Deserialize;

use crate::error::Result;
use crate::packages::{EMOJIBASE, Packages};

/// One emoji with its English texts.
#[derive(Debug, Clone, Deserialize)]
pub(crate) struct Emoji {
    /// The code points, upper-case hexadecimal joined by hyphens, as emojibase spells them.
    pub(crate) hexcode: String,
    /// The emoji itself.
    pub(crate) emoji: String,
    /// The CLDR short name.
    pub(crate) label: String,
    /// CLDR keywords.
    #[serde(default)]
    pub(crate) tags: Vec<String>,
    /// Unicode group; absent for the regional indicators.
    pub(crate) group: Option<u32>,
    /// Unicode subgroup; absent for the regional indicators.
    pub(crate) subgroup: Option<u32>,
}

/// The emoji in Unicode's order and the names of their groups.
#[derive(Debug)]
pub(crate) struct Emojibase {
    /// All emoji without their skin-tone variants.
    pub(crate) emoji: Vec<Emoji>,
    groups: BTreeMap<String, String>,
    subgroups: BTreeMap<String, String>,
    unicode_names: BTreeMap<String, String>,
}

impl Emojibase {
    /// Reads `en/data.json`, `meta/groups.json` and `meta/unicode-names.json`.
    ///
    /// # Errors
    ///
    /// As [`Packages::read`].
    pub(crate) fn read(packages: &Packages) -> Result<Self> {
        #[derive(Deserialize)]
        struct Groups {
            groups: BTreeMap<String, String>,
            subgroups: BTreeMap<String, String>,
        }
        let Groups { groups, subgroups } = packages.read(EMOJIBASE, "meta/groups.json")?;
        Ok(Self {
            emoji: packages.read(EMOJIBASE, "en/data.json")?,
            groups,
            subgroups,
            unicode_names: packages.read(EMOJIBASE, "meta/unicode-names.json")?,
        })
    }

    /// The name of the emoji's group, such as `animals-nature`.
    pub(crate) fn group(&self, emoji: &Emoji) -> Option<&str> {
        self.groups.get(&emoji.group?.to_string()).map(String::as_str)
    }

    /// The name of the emoji's subgroup, such as `animal-mammal`.
    pub(crate) fn subgroup(&self, emoji: &Emoji) -> Option<&str> {
        self.subgroups.get(&emoji.subgroup?.to_string()).map(String::as_str)
    }

    /// The name that the Unicode Character Database gives to the emoji, such as `SNAIL`.
    pub(crate) fn unicode_name(&self, hexcode: &str) -> Option<&str> {
        self.unicode_names
            .get(hexcode)
            .or_else(|| self.unicode_names.get(&canonical_hexcode(hexcode)))
            .map(String::as_str)
    }

    /// An instance for tests that does without the package.
    #[cfg(test)]
    pub(crate) fn from_json(data: &str, groups: &str) -> Self {
        let groups: BTreeMap<String, BTreeMap<String, String>> =
            serde_json::from_str(groups).expect("groups");
        Self {
            emoji: serde_json::from_str(data).expect("data"),
            groups: groups["groups"].clone(),
            subgroups: groups["subgroups"].clone(),
            unicode_names: BTreeMap::new(),
        }
    }
}

/// One spelling for all drawings of a concept: upper case, without presentation selectors, skin tones and the suffix
/// "facing right".
///
/// # Examples
///
/// `1f44b-1f3fb`, `1F44B-FE0F` and `1F44B` are all `1F44B`.
pub(crate) fn canonical_hexcode(hexcode: &str) -> String {
    let upper = hexcode.to_ascii_uppercase();
    let kept: Vec<&str> = upper
        .split('-')
        .filter(|point| {
            !matches!(*point, "FE0E" | "FE0F" | "1F3FB" | "1F3FC" | "1F3FD" | "1F3FE" | "1F3FF")
        })
        .collect();
    match kept.as_slice() {
        // A lone skin tone is a concept of its own.
        [] => upper,
        [base @ .., "200D", "27A1"] if !base.is_empty() => base.join("-"),
        all => all.join("-"),
    }
}

/// Upper case without presentation selectors, the spelling that all sets agree on. Unlike [`canonical_hexcode`], it keeps
/// skin tones and directions, which are other drawings.
pub(crate) fn presentation_free(hexcode: &str) -> String {
    let upper = hexcode.to_ascii_uppercase();
    upper
        .split('-')
        .filter(|point| !matches!(*point, "FE0E" | "FE0F"))
        .collect::<Vec<_>>()
        .join("-")
}

/// The emoji's name as icon sets spell it: lower case, words joined by hyphens, apostrophes and accents dropped.
pub(crate) fn slug(label: &str) -> String {
    let mut slug = String::with_capacity(label.len());
    for c in label.chars() {
        let c = match c {
            '\'' | '’' => continue,
            'ñ' => 'n',
            'é' | 'è' | 'ê' => 'e',
            'ã' | 'å' | 'Å' | 'á' => 'a',
            'í' => 'i',
            'ô' | 'ó' => 'o',
            'ç' => 'c',
            other => other.to_ascii_lowercase(),
        };
        if c.is_ascii_alphanumeric() {
            slug.push(c);
        } else if !slug.is_empty() && !slug.ends_with('-') {
            slug.push('-');
        }
    }
    slug.trim_end_matches('-').to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_spellings_of_an_emoji_have_one_canonical_hexcode() {
        for spelling in ["1F44B", "1f44b-1f3fb", "1F44B-FE0F", "1F44B-1F3FF-FE0F"] {
            assert_eq!(canonical_hexcode(spelling), "1F44B");
        }
        assert_eq!(
            canonical_hexcode("1F3C3-1F3FD-200D-2640-FE0F-200D-27A1-FE0F"),
            "1F3C3-200D-2640"
        );
        assert_eq!(canonical_hexcode("1F408-200D-2B1B"), "1F408-200D-2B1B");
        assert_eq!(canonical_hexcode("1F3FB"), "1F3FB");
        assert_eq!(canonical_hexcode("27A1-FE0F"), "27A1");
    }

    #[test]
    fn labels_become_the_names_that_icon_sets_use() {
        assert_eq!(slug("man: blond hair"), "man-blond-hair");
        assert_eq!(slug("rescue worker’s helmet"), "rescue-workers-helmet");
        assert_eq!(slug("piñata"), "pinata");
        assert_eq!(slug("up!"), "up");
    }

    #[test]
    fn presentation_selectors_do_not_tell_drawings_apart_but_directions_do() {
        assert_eq!(presentation_free("2764-fe0f"), "2764");
        assert_eq!(presentation_free("1f3c3-200d-27a1-fe0f"), "1F3C3-200D-27A1");
        assert_ne!(
            presentation_free("1f3c3-200d-27a1-fe0f"),
            canonical_hexcode("1f3c3-200d-27a1-fe0f")
        );
    }
}

//! The four held-out vendors and how a concept is found among their drawings.

use std::collections::{BTreeMap, BTreeSet};

use crate::emojibase::{Emoji, Emojibase, presentation_free, slug};
use crate::error::{Error, Result};
use crate::fxemoji;
use crate::iconify::IconSet;
use crate::packages::Packages;

/// A vendor of EmojiVendors, which is a client of the federation and never a source of pretraining.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Vendor {
    /// The icon set.
    pub(crate) prefix: &'static str,
    /// The set whose code points name the drawings: `fluent-emoji` has none, but shares its names with the flat set.
    chars_of: Option<&'static str>,
    /// What the licence asks to be said.
    pub(crate) copyright: &'static str,
    /// The licence's full name.
    pub(crate) licence: &'static str,
    /// Its SPDX identifier, which the package must confirm.
    pub(crate) spdx: &'static str,
}

/// The held-out vendors in the order of the published tables.
pub(crate) const HELD_OUT_VENDORS: [Vendor; 4] = [
    Vendor {
        prefix: "openmoji",
        chars_of: Some("openmoji"),
        copyright: "All emojis designed by OpenMoji - the open-source emoji and icon project.",
        licence: "Creative Commons Attribution-ShareAlike 4.0 International",
        spdx: "CC-BY-SA-4.0",
    },
    Vendor {
        prefix: "fluent-emoji-flat",
        chars_of: Some("fluent-emoji-flat"),
        copyright: "Copyright (c) Microsoft Corporation.",
        licence: "MIT License",
        spdx: "MIT",
    },
    Vendor {
        prefix: "fluent-emoji",
        chars_of: Some("fluent-emoji-flat"),
        copyright: "Copyright (c) Microsoft Corporation.",
        licence: "MIT License",
        spdx: "MIT",
    },
    Vendor {
        prefix: "fxemoji",
        chars_of: None,
        copyright: "Copyright Mozilla Foundation.",
        licence: "Apache License 2.0",
        spdx: "Apache-2.0",
    },
];

/// The drawings of one vendor by concept.
pub(crate) struct Drawings {
    /// The vendor.
    pub(crate) vendor: Vendor,
    /// Its icons.
    pub(crate) set: IconSet,
    names: BTreeMap<String, String>,
}

impl Drawings {
    /// Reads the vendor's set and finds a drawing for each of `emoji`.
    ///
    /// # Errors
    ///
    /// As [`Packages::read`], [`Error::Licence`] where the package states another licence than this program, and
    /// [`Error::Mismatch`] where one drawing would stand for two concepts.
    pub(crate) fn read<'a>(
        packages: &Packages,
        base: &Emojibase,
        vendor: Vendor,
        emoji: impl Iterator<Item = &'a Emoji>,
    ) -> Result<Self> {
        let set = IconSet::read(packages, vendor.prefix)?;
        if set.info.license.spdx != vendor.spdx {
            return Err(Error::Licence { set: set.prefix, licence: set.info.license.spdx });
        }
        let chars = match vendor.chars_of {
            Some(prefix) if prefix == vendor.prefix => by_hexcode(&set),
            Some(prefix) => by_hexcode(&IconSet::read(packages, prefix)?),
            None => BTreeMap::new(),
        };
        let squeezed = (vendor.prefix == "fxemoji").then(|| fxemoji::Index::new(&set));
        let mut names = BTreeMap::new();
        let mut used = BTreeSet::new();
        for emoji in emoji {
            let name = match &squeezed {
                Some(index) => index.find(emoji, base),
                None => chars
                    .get(&presentation_free(&emoji.hexcode))
                    .cloned()
                    .or_else(|| Some(slug(&emoji.label)))
                    .filter(|name| set.contains(name)),
            };
            let Some(name) = name else { continue };
            if !used.insert(name.clone()) {
                return Err(Error::mismatch(
                    format!("{}:{name}", vendor.prefix),
                    format!(
                        "the drawing stands for two concepts, the second being {} ({})",
                        emoji.hexcode, emoji.label
                    ),
                ));
            }
            names.insert(emoji.hexcode.clone(), name);
        }
        Ok(Self { vendor, set, names })
    }

    /// The vendor's icon of a concept, or `None` where it has not drawn it.
    pub(crate) fn name(&self, hexcode: &str) -> Option<&str> {
        self.names.get(hexcode).map(String::as_str)
    }
}

fn by_hexcode(set: &IconSet) -> BTreeMap<String, String> {
    set.chars.iter().map(|(hexcode, name)| (presentation_free(hexcode), name.clone())).collect()
}

/// Whether an icon set is drawn by a held-out vendor or derived from one, by its prefix.
pub(crate) fn is_held_out_set(prefix: &str) -> bool {
    ["openmoji", "fluent-emoji", "fluentemoji", "fxemoji"]
        .iter()
        .any(|vendor| prefix.starts_with(vendor))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_held_out_vendor_and_its_derivatives_are_recognised_by_prefix() {
        for vendor in HELD_OUT_VENDORS {
            assert!(is_held_out_set(vendor.prefix), "{}", vendor.prefix);
        }
        assert!(is_held_out_set("fluent-emoji-high-contrast"));
        assert!(is_held_out_set("openmoji-black"));
        for free in ["fluent", "fluent-color", "noto", "twemoji", "emojione"] {
            assert!(!is_held_out_set(free), "{free}");
        }
    }
}

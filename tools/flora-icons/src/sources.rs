//! The icon sets of the pretraining pairs.

use crate::names::Naming;
use crate::names::Style::{Fill, Line, Variant};

/// Licences that training data may have. No GPL, no share-alike, no non-commercial terms.
pub(crate) const FREE_LICENCES: [&str; 8] =
    ["MIT", "Apache-2.0", "ISC", "CC-BY-3.0", "CC-BY-4.0", "CC0-1.0", "CC-PDDC", "Unlicense"];

/// How the captions of a set are made.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Kind {
    /// Emoji: the captions are emojibase's texts; a name that no emoji has is left out.
    Emoji {
        /// Whether the flags of countries are taken: from one set only, for they all look alike.
        flags: bool,
    },
    /// Icons: the caption is the cleaned name.
    Icons(Naming),
}

/// One icon set.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Source {
    /// Its name in `@iconify/json`.
    pub(crate) prefix: &'static str,
    /// Where its captions come from.
    pub(crate) kind: Kind,
}

const fn emoji(prefix: &'static str, flags: bool) -> Source {
    Source { prefix, kind: Kind::Emoji { flags } }
}

const fn icons(prefix: &'static str, naming: Naming) -> Source {
    Source { prefix, kind: Kind::Icons(naming) }
}

/// One style only.
const PLAIN: Naming = Naming { plain: Line, suffixes: &[] };
const FILLED: Naming =
    Naming { plain: Line, suffixes: &[("filled", Fill), ("fill", Fill), ("solid", Fill)] };
/// IconPark numbers further drawings of a thing in words.
const ICON_PARK: Naming = Naming {
    plain: Line,
    suffixes: &[("one", Line), ("two", Line), ("three", Line), ("four", Line), ("five", Line)],
};
const LINE_OR_FILL: Naming = Naming {
    plain: Line,
    suffixes: &[("line", Line), ("outline", Line), ("fill", Fill), ("solid", Fill)],
};
/// Clarity draws every icon again with a badge and with an alert.
const CLARITY: Naming = Naming {
    plain: Line,
    suffixes: &[
        ("line", Line),
        ("outline", Line),
        ("solid", Fill),
        ("badged", Variant),
        ("alerted", Variant),
        ("outlined", Variant),
    ],
};
const PIXEL: Naming = Naming { plain: Line, suffixes: &[("solid", Fill), ("sharp", Variant)] };
const OUTLINE: Naming =
    Naming { plain: Fill, suffixes: &[("outline", Line), ("negative", Variant)] };
const MATERIAL: Naming = Naming {
    plain: Fill,
    suffixes: &[("outline", Line), ("rounded", Variant), ("sharp", Variant)],
};
const PHOSPHOR: Naming = Naming {
    plain: Line,
    suffixes: &[
        ("fill", Fill),
        ("thin", Variant),
        ("light", Variant),
        ("bold", Variant),
        ("duotone", Variant),
    ],
};
const FLUENT: Naming = Naming {
    plain: Line,
    suffixes: &[
        ("regular", Line),
        ("filled", Fill),
        ("light", Variant),
        ("ltr", Line),
        ("rtl", Variant),
    ],
};
const SOLAR: Naming = Naming {
    plain: Line,
    suffixes: &[
        ("linear", Line),
        ("bold", Fill),
        ("outline", Variant),
        ("broken", Variant),
        ("line", Line),
        ("duotone", Variant),
    ],
};
/// Streamline's mono sets come as lines, as solids and as a mixture of the two.
const STREAMLINE: Naming = Naming {
    plain: Line,
    suffixes: &[("solid", Fill), ("bold", Fill), ("remix", Variant), ("flat", Fill)],
};
/// Streamline's colour sets come with and without outlines.
const STREAMLINE_COLOUR: Naming =
    Naming { plain: Line, suffixes: &[("flat", Fill), ("duo", Fill)] };

/// Every set, emoji first, then colour, then single-colour icons.
pub(crate) const SOURCES: &[Source] = &[
    emoji("twemoji", true),
    emoji("noto", false),
    emoji("noto-v1", false),
    emoji("emojione", false),
    emoji("emojione-monotone", false),
    emoji("streamline-emojis", false),
    icons("flat-color-icons", PLAIN),
    icons("flat-ui", PLAIN),
    icons("fluent-color", PLAIN),
    icons("glyphs-poly", PLAIN),
    icons("icon-park", ICON_PARK),
    icons("marketeq", PLAIN),
    icons("meteocons", FILLED),
    icons("streamline-color", STREAMLINE_COLOUR),
    icons("streamline-cyber-color", STREAMLINE_COLOUR),
    icons("streamline-flex-color", STREAMLINE_COLOUR),
    icons("streamline-freehand-color", STREAMLINE_COLOUR),
    icons("streamline-kameleon-color", STREAMLINE_COLOUR),
    icons("streamline-plump-color", STREAMLINE_COLOUR),
    icons("streamline-sharp-color", STREAMLINE_COLOUR),
    icons("streamline-stickies-color", STREAMLINE_COLOUR),
    icons("streamline-ultimate-color", STREAMLINE_COLOUR),
    icons("at-icons", PLAIN),
    icons("boxicons", FILLED),
    icons("carbon", FILLED),
    icons("clarity", CLARITY),
    icons("covid", PLAIN),
    icons("f7", FILLED),
    icons("fa7-solid", PLAIN),
    icons("fluent", FLUENT),
    icons("game-icons", PLAIN),
    icons("gis", PLAIN),
    icons("griddy-icons", FILLED),
    icons("guidance", PLAIN),
    icons("healthicons", OUTLINE),
    icons("hugeicons", PLAIN),
    icons("icon-park-solid", ICON_PARK),
    icons("iconoir", FILLED),
    icons("ion", MATERIAL),
    icons("lucide", PLAIN),
    icons("lucide-lab", PLAIN),
    icons("maki", PLAIN),
    icons("material-symbols", MATERIAL),
    icons("mdi", OUTLINE),
    icons("mingcute", LINE_OR_FILL),
    icons("osmic", PLAIN),
    icons("ph", PHOSPHOR),
    icons("pinhead", PLAIN),
    icons("pixelarticons", PIXEL),
    icons("ri", LINE_OR_FILL),
    icons("roentgen", PLAIN),
    icons("solar", SOLAR),
    icons("streamline", STREAMLINE),
    icons("streamline-block", PLAIN),
    icons("streamline-cyber", STREAMLINE),
    icons("streamline-freehand", STREAMLINE),
    icons("streamline-pixel", PLAIN),
    icons("streamline-plump", STREAMLINE),
    icons("streamline-ultimate", STREAMLINE),
    icons("tabler", FILLED),
    icons("temaki", PLAIN),
    icons("uil", PLAIN),
];

#[cfg(test)]
mod tests {
    use super::*;
    use crate::vendors::is_held_out_set;
    use std::collections::BTreeSet;

    #[test]
    fn no_source_is_a_held_out_vendor_or_derived_from_one() {
        assert!(SOURCES.iter().all(|source| !is_held_out_set(source.prefix)));
    }

    #[test]
    fn every_source_is_listed_once_and_flags_come_from_one() {
        assert_eq!(
            SOURCES.iter().map(|source| source.prefix).collect::<BTreeSet<_>>().len(),
            SOURCES.len()
        );
        let flags = SOURCES
            .iter()
            .filter(|source| matches!(source.kind, Kind::Emoji { flags: true }))
            .count();
        assert_eq!(flags, 1);
    }

    #[test]
    fn no_free_licence_shares_alike_or_forbids_sale() {
        for licence in FREE_LICENCES {
            assert!(
                !["GPL", "SA", "NC", "ND"]
                    .iter()
                    .any(|word| licence.split('-').any(|part| part == *word))
            );
        }
    }
}

//! Icon sets in Iconify's JSON format, and the SVG document of one icon.
//!
//! The format is described at <https://iconify.design/docs/types/iconify-json.html>.

use std::borrow::Cow;
use std::collections::BTreeMap;

use serde::Deserialize;

use crate::error::Result;
use crate::packages::{ICONIFY, Packages};

/// Iconify's default for an icon that states no size.
const DEFAULT_SIZE: f64 = 16.0;
/// An alias of an alias of ... deeper than this is a cycle.
const MAX_ALIAS_DEPTH: usize = 8;

/// One icon set, for example `noto`.
#[derive(Debug, Deserialize)]
pub(crate) struct IconSet {
    /// The name of the set, which is also its file name.
    pub(crate) prefix: String,
    /// Licence and authors.
    pub(crate) info: Info,
    icons: BTreeMap<String, Icon>,
    #[serde(default)]
    aliases: BTreeMap<String, Alias>,
    /// Code point (lower-case hexadecimal, hyphens, variation selectors left out or not) to icon name.
    #[serde(default)]
    pub(crate) chars: BTreeMap<String, String>,
    /// Category to icon names.
    #[serde(default)]
    pub(crate) categories: BTreeMap<String, Vec<String>>,
    #[serde(flatten)]
    size: Frame,
}

/// What a set says about itself.
#[derive(Debug, Deserialize)]
pub(crate) struct Info {
    /// The full name of the set.
    pub(crate) name: String,
    /// Who drew it.
    pub(crate) author: Author,
    /// Under which terms.
    pub(crate) license: License,
}

/// The author of a set.
#[derive(Debug, Deserialize)]
pub(crate) struct Author {
    /// A person or an organisation.
    pub(crate) name: String,
    /// The home of the set.
    #[serde(default)]
    pub(crate) url: String,
}

/// The licence of a set.
#[derive(Debug, Deserialize)]
pub(crate) struct License {
    /// SPDX identifier.
    #[serde(default)]
    pub(crate) spdx: String,
    /// The licence text.
    #[serde(default)]
    pub(crate) url: String,
}

/// Position and size in the set's own units; what is absent is inherited.
#[derive(Debug, Default, Clone, Copy, Deserialize)]
struct Frame {
    left: Option<f64>,
    top: Option<f64>,
    width: Option<f64>,
    height: Option<f64>,
}

impl Frame {
    fn or(self, parent: Self) -> Self {
        Self {
            left: self.left.or(parent.left),
            top: self.top.or(parent.top),
            width: self.width.or(parent.width),
            height: self.height.or(parent.height),
        }
    }
}

/// A mirror image or a turn by quarters.
#[derive(Debug, Default, Clone, Copy, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Turn {
    #[serde(default)]
    h_flip: bool,
    #[serde(default)]
    v_flip: bool,
    #[serde(default)]
    rotate: u8,
}

impl Turn {
    fn then(self, other: Self) -> Self {
        Self {
            h_flip: self.h_flip != other.h_flip,
            v_flip: self.v_flip != other.v_flip,
            rotate: (self.rotate % 4 + other.rotate % 4) % 4,
        }
    }
}

#[derive(Debug, Deserialize)]
struct Icon {
    body: String,
    #[serde(default)]
    hidden: bool,
    #[serde(flatten)]
    frame: Frame,
    #[serde(flatten)]
    turn: Turn,
}

#[derive(Debug, Deserialize)]
struct Alias {
    parent: String,
    #[serde(flatten)]
    frame: Frame,
    #[serde(flatten)]
    turn: Turn,
}

impl IconSet {
    /// Reads the set `prefix`.
    ///
    /// # Errors
    ///
    /// As [`Packages::read`].
    pub(crate) fn read(packages: &Packages, prefix: &str) -> Result<Self> {
        packages.read(ICONIFY, &format!("json/{prefix}.json"))
    }

    /// The names of the icons that are drawn and not withdrawn, in alphabetical order.
    pub(crate) fn names(&self) -> impl Iterator<Item = &str> {
        self.icons.iter().filter(|(_, icon)| !icon.hidden).map(|(name, _)| name.as_str())
    }

    /// The other names of icons, each with the icon it stands for.
    pub(crate) fn aliases(&self) -> impl Iterator<Item = (&str, &str)> {
        self.aliases.iter().map(|(name, alias)| (name.as_str(), alias.parent.as_str()))
    }

    /// Whether `name` is an icon or an alias.
    pub(crate) fn contains(&self, name: &str) -> bool {
        self.icons.contains_key(name) || self.aliases.contains_key(name)
    }

    /// Whether the icon takes its colour from the text around it, that is, has none of its own.
    pub(crate) fn is_mono(&self, name: &str) -> bool {
        self.resolve(name).is_some_and(|(icon, _, _)| icon.body.contains("currentColor"))
    }

    /// The SVG document of an icon or alias, or `None` where the set has no such name.
    ///
    /// `currentColor` becomes black, the initial value of CSS `color`.
    pub(crate) fn svg(&self, name: &str) -> Option<String> {
        let (icon, frame, turn) = self.resolve(name)?;
        Some(document(&icon.body, frame.or(self.size), turn))
    }

    fn resolve(&self, name: &str) -> Option<(&Icon, Frame, Turn)> {
        let (mut name, mut frame, mut turn) = (name, Frame::default(), Turn::default());
        for _ in 0..MAX_ALIAS_DEPTH {
            if let Some(icon) = self.icons.get(name) {
                return Some((icon, frame.or(icon.frame), turn.then(icon.turn)));
            }
            let alias = self.aliases.get(name)?;
            (frame, turn, name) = (frame.or(alias.frame), turn.then(alias.turn), &alias.parent);
        }
        None
    }
}

/// Puts the transformations of Iconify's `iconToSVG` around `body`.
fn document(body: &str, frame: Frame, turn: Turn) -> String {
    let (mut left, mut top) = (frame.left.unwrap_or(0.0), frame.top.unwrap_or(0.0));
    let (mut width, mut height) =
        (frame.width.unwrap_or(DEFAULT_SIZE), frame.height.unwrap_or(DEFAULT_SIZE));
    let mut transforms = Vec::new();
    let mut rotate = turn.rotate;
    match (turn.h_flip, turn.v_flip) {
        // Two mirrors make a half turn.
        (true, true) => rotate += 2,
        (true, false) => {
            transforms.push(format!("translate({} {}) scale(-1 1)", width + left, -top));
            (left, top) = (0.0, 0.0);
        }
        (false, true) => {
            transforms.push(format!("translate({} {}) scale(1 -1)", -left, height + top));
            (left, top) = (0.0, 0.0);
        }
        (false, false) => {}
    }
    match rotate % 4 {
        1 => transforms.insert(0, format!("rotate(90 {0} {0})", height / 2.0 + top)),
        2 => transforms
            .insert(0, format!("rotate(180 {} {})", width / 2.0 + left, height / 2.0 + top)),
        3 => transforms.insert(0, format!("rotate(-90 {0} {0})", width / 2.0 + left)),
        _ => {}
    }
    if rotate % 2 == 1 {
        (left, top, width, height) = (top, left, height, width);
    }
    let body = match transforms.is_empty() {
        true => Cow::Borrowed(body),
        false => Cow::Owned(format!("<g transform=\"{}\">{body}</g>", transforms.join(" "))),
    };
    format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" xmlns:xlink=\"http://www.w3.org/1999/xlink\" \
         width=\"{width}\" height=\"{height}\" viewBox=\"{left} {top} {width} {height}\">{body}</svg>"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn set() -> IconSet {
        serde_json::from_str(
            r#"{
                "prefix": "s",
                "info": {"name": "S", "author": {"name": "A"}, "license": {"spdx": "MIT"}},
                "icons": {
                    "left": {"body": "<path fill=\"currentColor\" d=\"M0 0h1v1z\"/>", "width": 20},
                    "gone": {"body": "<path/>", "hidden": true}
                },
                "aliases": {"right": {"parent": "left", "hFlip": true}, "loop": {"parent": "loop"}},
                "height": 24
            }"#,
        )
        .expect("a valid set")
    }

    #[test]
    fn sizes_are_inherited_from_the_set_and_from_the_default() {
        let svg = set().svg("left").expect("an icon");
        assert!(svg.contains("viewBox=\"0 0 20 24\""), "{svg}");
    }

    #[test]
    fn an_alias_takes_the_parents_body_and_adds_its_transformation() {
        let svg = set().svg("right").expect("an alias");
        assert!(svg.contains("<g transform=\"translate(20 -0) scale(-1 1)\"><path"), "{svg}");
        assert!(set().is_mono("right"));
    }

    #[test]
    fn hidden_icons_are_not_listed_and_a_cycle_of_aliases_is_no_icon() {
        assert_eq!(set().names().collect::<Vec<_>>(), ["left"]);
        assert!(set().svg("loop").is_none());
        assert!(set().svg("absent").is_none());
    }
}

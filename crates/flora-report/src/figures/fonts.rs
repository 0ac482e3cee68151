//! The fonts of figures, and the measured length of text.
//!
//! The font is DejaVu Sans, which is built into the program, so that text in its scripts (Latin, Greek, Cyrillic,
//! Arabic and others) has the same shapes on every machine. The system's fonts are searched only for other characters.

use std::{
    collections::{BTreeMap, HashMap},
    sync::{Arc, LazyLock, Mutex, PoisonError},
};

use resvg::usvg::{
    FontResolver, Node, Options, Tree,
    fontdb::{self, Database, Source},
};
use unicode_script::{Script, UnicodeScript};

use super::text::escape;

/// The font with which text is measured, and the fallbacks for browsers.
pub(super) const FAMILIES: &str = "DejaVu Sans, Verdana, Noto Sans, sans-serif";
/// The size at which text is measured.
const MEASURED: f64 = 100.0;
/// Measurements that are kept.
const MOST_KEPT: usize = 20_000;

/// A script that no font on this machine covers. Its characters are drawn as boxes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MissingScript {
    /// The script's name in Unicode, such as `Han`, or `symbols` for characters of no script.
    pub script: String,
    /// The first characters of the figure that have no glyph, up to eight.
    pub characters: String,
}

impl std::fmt::Display for MissingScript {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { script, characters } = self;
        write!(
            formatter,
            "no font covers {script} ({characters}): boxes are drawn in its place; install a font for {script}, \
             a Noto font for example"
        )
    }
}

/// What a text is drawn with, and how long it is.
#[derive(Debug, Clone, Default)]
struct Measured {
    /// At a size of [`MEASURED`].
    width: f64,
    /// Whether the built-in font lacks characters.
    system: bool,
    /// Characters that no font has.
    missing: String,
}

static MEASUREMENTS: LazyLock<Mutex<HashMap<String, Measured>>> = LazyLock::new(Mutex::default);
static BUILT_IN: LazyLock<Options<'static>> = LazyLock::new(|| {
    let mut fonts = Database::new();
    let id = load_built_in(&mut fonts);
    options(
        fonts,
        id,
        FontResolver { select_fallback: Box::new(|_, _, _| None), ..FontResolver::default() },
    )
});
static SYSTEM: LazyLock<Options<'static>> = LazyLock::new(|| {
    let mut found = Database::new();
    found.load_system_fonts();
    let mut faces: Vec<_> = found.faces().cloned().collect();
    // The most usual face of a family first, and Noto, which covers one script well, before others.
    faces.sort_by_key(|face| {
        let name = face.families.first().map(|(name, _)| name.clone()).unwrap_or_default();
        (
            face.style != fontdb::Style::Normal,
            face.weight.0.abs_diff(400),
            face.stretch != fontdb::Stretch::Normal,
            !name.starts_with("Noto"),
            name,
            face.index,
        )
    });
    let mut fonts = Database::new();
    let id = load_built_in(&mut fonts);
    for face in faces {
        fonts.push_face_info(face);
    }
    // Which font has a character is looked up once: it may mean opening many files.
    let search = FontResolver::default_fallback_selector();
    let known: Mutex<HashMap<char, Option<fontdb::ID>>> = Mutex::default();
    let select_fallback = move |character: char, used: &[fontdb::ID], fonts: &mut Arc<Database>| {
        if used != [id] {
            return search(character, used, fonts);
        }
        let mut known = known.lock().unwrap_or_else(PoisonError::into_inner);
        *known.entry(character).or_insert_with(|| search(character, used, fonts))
    };
    let resolver =
        FontResolver { select_fallback: Box::new(select_fallback), ..FontResolver::default() };
    options(fonts, id, resolver)
});

fn load_built_in(fonts: &mut Database) -> fontdb::ID {
    let ids = fonts.load_font_source(Source::Binary(Arc::new(dejavu::sans::regular())));
    *ids.first().expect("the built-in font is whole")
}

fn options(fonts: Database, id: fontdb::ID, resolver: FontResolver<'static>) -> Options<'static> {
    Options {
        font_resolver: FontResolver { select_font: Box::new(move |_, _| Some(id)), ..resolver },
        fontdb: Arc::new(fonts),
        ..Options::default()
    }
}

/// How to read a figure, with the system's fonts if it needs them.
pub(super) fn reading_options(system: bool) -> &'static Options<'static> {
    if system { &SYSTEM } else { &BUILT_IN }
}

fn measure(line: &str) -> Measured {
    let mut kept = MEASUREMENTS.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(measured) = kept.get(line) {
        return measured.clone();
    }
    let mut measured = lay_out(line, &BUILT_IN);
    if !measured.missing.is_empty() {
        measured = Measured { system: true, ..lay_out(line, &SYSTEM) };
    }
    if kept.len() >= MOST_KEPT {
        kept.clear();
    }
    kept.insert(line.to_owned(), measured.clone());
    measured
}

fn lay_out(line: &str, options: &Options<'_>) -> Measured {
    let svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"1\" height=\"1\"><text font-size=\"{MEASURED}\">{}</text></svg>",
        escape(line)
    );
    let Ok(tree) = Tree::from_str(&svg, options) else { return Measured::default() };
    let Some(Node::Text(text)) = tree.root().children().first() else { return Measured::default() };
    let glyphs = text.layouted().iter().flat_map(|span| &span.positioned_glyphs);
    let without: String =
        glyphs.filter(|glyph| glyph.id.0 == 0).map(|glyph| glyph.text.as_str()).collect();
    let visible = |character: &char| !character.is_whitespace() && !invisible(*character);
    let missing = line.chars().filter(visible).filter(|it| without.contains(*it)).collect();
    Measured { width: f64::from(text.bounding_box().width()), system: false, missing }
}

/// Joiners and selectors, for which fonts need no glyph.
fn invisible(character: char) -> bool {
    matches!(character, '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2060}'..='\u{206f}'
        | '\u{fe00}'..='\u{fe0f}' | '\u{feff}' | '\u{e0000}'..='\u{e0fff}')
}

/// The length of a line in the units of the size.
pub(super) fn width(line: &str, size: f64) -> f64 {
    if line.trim().is_empty() { 0.0 } else { measure(line).width * size / MEASURED }
}

/// Whether any line needs a font of the system, and which scripts have none.
pub(super) fn fonts_for<'a>(lines: impl Iterator<Item = &'a String>) -> (bool, Vec<MissingScript>) {
    let mut system = false;
    let mut scripts: BTreeMap<String, String> = BTreeMap::new();
    for line in lines {
        let measured = measure(line);
        system |= measured.system;
        for character in measured.missing.chars() {
            let script = match character.script() {
                Script::Common | Script::Inherited | Script::Unknown => "symbols".to_owned(),
                script => script.full_name().replace('_', " "),
            };
            let characters = scripts.entry(script).or_default();
            if characters.chars().count() < 8 && !characters.contains(character) {
                characters.push(character);
            }
        }
    }
    let missing = |(script, characters)| MissingScript { script, characters };
    (system, scripts.into_iter().map(missing).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn widths_are_those_of_the_font_and_of_shaped_text() {
        // DejaVu Sans has 2048 units an em; `H` advances by 1540, `i` by 569, a digit by 1303.
        for (text, units) in [("H", 1540.0), ("Hi", 2109.0), ("0123", 5212.0), ("", 0.0)] {
            assert!(
                (width(text, 20.48) - units / 100.0).abs() < 0.02,
                "{text} {}",
                width(text, 20.48)
            );
        }
        // Letters of an Arabic word are joined, and narrower than alone.
        let alone: f64 = ["ع", "ر", "ب", "ى"].iter().map(|letter| width(letter, 20.0)).sum();
        assert!(width("عربى", 20.0) < 0.9 * alone, "{} {alone}", width("عربى", 20.0));
    }

    #[test]
    fn a_script_without_a_font_is_named() {
        // Garay came to Unicode in 2024; U+10FFFF is no character.
        let lines =
            ["Latin", "Ελληνικά", "عربى", "\u{10d50}\u{10d51}", "\u{10fffd}"].map(str::to_owned);
        let (system, missing) = fonts_for(lines.iter());
        assert!(system);
        let scripts: Vec<_> = missing.iter().map(|missing| missing.script.as_str()).collect();
        assert_eq!(scripts, ["Garay", "symbols"]);
        assert_eq!(missing[0].characters, "\u{10d50}\u{10d51}");
        assert!(missing[0].to_string().contains("install a font for Garay"), "{}", missing[0]);
        let (system, missing) = fonts_for(lines[..3].iter());
        assert!(!system && missing.is_empty(), "{missing:?}");
    }
}

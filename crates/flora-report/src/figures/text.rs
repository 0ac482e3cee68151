//! Text: measured as it will be drawn, shortened, and broken into lines.
//!
//! The font is DejaVu Sans, which is part of the program, so that text in its scripts (Latin, Greek, Cyrillic,
//! Arabic and others) has the same shapes on every machine. The system's fonts are searched for other
//! characters, and only then.

use std::{
    collections::{BTreeMap, HashMap},
    sync::{Arc, LazyLock, Mutex, PoisonError},
};

use resvg::usvg::{
    FontResolver, Node, Options, Tree,
    fontdb::{self, Database, Source},
};
use unicode_script::{Script, UnicodeScript};
use unicode_segmentation::UnicodeSegmentation;

/// From one baseline to the next, in ems.
pub(super) const LEADING: f64 = 1.25;
/// The font that text is measured with, and what browsers may use in its place.
pub(super) const FAMILIES: &str = "DejaVu Sans, Verdana, Noto Sans, sans-serif";
/// Names and titles come from users' files; no figure shows more characters of one.
const MOST_CHARACTERS: usize = 400;
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
    let missing = glyphs
        .filter(|glyph| glyph.id.0 == 0)
        .flat_map(|glyph| glyph.text.chars())
        .filter(|character| !character.is_whitespace() && !invisible(*character))
        .collect();
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

/// The text if it fits the width, else as much of its beginning and end as fits, with an ellipsis between: names
/// of one kind differ at their end, and file names have their extension there.
pub(super) fn shorten(text: &str, size: f64, width: f64) -> String {
    let text = clean(text);
    let fits = |text: &str| self::width(text, size) <= width;
    if fits(&text) {
        return text;
    }
    // What people see as one character is never cut.
    let characters: Vec<&str> = text.graphemes(true).collect();
    let cut = |kept: usize| {
        let (head, tail) = (kept - kept * 2 / 5, kept * 2 / 5);
        let (head, tail) = (&characters[..head], &characters[characters.len() - tail..]);
        format!("{}…{}", head.concat().trim_end(), tail.concat().trim_start())
    };
    let (mut most, mut too_many) = (0, characters.len());
    while too_many - most > 1 {
        let middle = usize::midpoint(most, too_many);
        if fits(&cut(middle)) { most = middle } else { too_many = middle }
    }
    cut(most)
}

/// The text in at most `most` lines of that width, broken at blanks, between characters of scripts without blanks,
/// and at line ends. Lines of a paragraph are about equally long. Words and a last line that are too long are
/// shortened.
pub(super) fn wrap(text: &str, size: f64, width: f64, most: usize) -> Vec<String> {
    let text: String = text.chars().take(MOST_CHARACTERS).collect();
    let mut lines: Vec<String> =
        text.lines().flat_map(|line| balanced(&clean(line), size, width)).collect();
    if lines.len() > most {
        let rest = lines.split_off(most.saturating_sub(1)).join(" ");
        lines.push(rest);
    }
    lines.iter().map(|line| shorten(line, size, width)).collect()
}

/// As many lines as are needed, in the smallest width in which they are no more.
fn balanced(paragraph: &str, size: f64, width: f64) -> Vec<String> {
    let mut best = lines_of(paragraph, size, width);
    let (mut narrow, mut wide) = (0.0, width);
    for _ in 0..if best.len() > 1 { 7 } else { 0 } {
        let middle = f64::midpoint(narrow, wide);
        let lines = lines_of(paragraph, size, middle);
        if lines.len() == best.len() && lines.iter().all(|line| self::width(line, size) <= middle) {
            (best, wide) = (lines, middle);
        } else {
            narrow = middle;
        }
    }
    best
}

/// Lines that are filled one after the other.
fn lines_of(paragraph: &str, size: f64, width: f64) -> Vec<String> {
    let mut lines = Vec::new();
    let mut line = String::new();
    for word in words(paragraph) {
        let longer = format!("{line}{word}");
        if line.is_empty() || self::width(longer.trim_end(), size) <= width {
            line = longer;
        } else {
            lines.push(line.trim_end().to_owned());
            line = word.to_owned();
        }
    }
    lines.extend((!line.trim().is_empty()).then(|| line.trim_end().to_owned()));
    lines
}

/// Words with the blanks after them. Scripts without blanks break between any two characters.
fn words(text: &str) -> Vec<&str> {
    let mut words = Vec::new();
    let mut start = 0;
    let mut previous: Option<&str> = None;
    for (index, grapheme) in text.grapheme_indices(true) {
        let after = previous.is_some_and(|previous| previous.trim().is_empty());
        let dense = previous.is_some_and(unspaced) && unspaced(grapheme);
        if (after && !grapheme.trim().is_empty()) || dense {
            words.push(&text[start..index]);
            start = index;
        }
        previous = Some(grapheme);
    }
    words.push(&text[start..]);
    words
}

fn unspaced(grapheme: &str) -> bool {
    let script = |character: char| character.script();
    grapheme.chars().next().map(script).is_some_and(|script| {
        matches!(
            script,
            Script::Han
                | Script::Hiragana
                | Script::Katakana
                | Script::Thai
                | Script::Lao
                | Script::Khmer
        )
    })
}

/// Line ends and control characters as blanks, without blanks at the ends, and of limited length.
pub(super) fn clean(text: &str) -> String {
    let valid = |character: char| {
        let odd = character.is_control() || matches!(character, '\u{fffe}' | '\u{ffff}');
        if odd { ' ' } else { character }
    };
    text.trim().chars().take(MOST_CHARACTERS).map(valid).collect::<String>().trim().to_owned()
}

/// Text as XML.
pub(super) fn escape(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            '\u{fffe}' | '\u{ffff}' => escaped.push(' '),
            character if character.is_control() => escaped.push(' '),
            character => escaped.push(character),
        }
    }
    escaped
}

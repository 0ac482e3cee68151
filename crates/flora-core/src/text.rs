//! External text (names of files, classes, clients) made safe for a terminal, and suggestions for mistyped names.

use std::borrow::Cow;
use std::fmt::Write;
use std::path::Path;

/// Whether a terminal interprets `character` instead of showing it. These are control characters (including those that
/// begin escape sequences), line breaks, and the marks that change text direction (those of
/// [CVE-2021-42574](https://trojansource.codes)).
pub fn is_control(character: char) -> bool {
    character.is_control() || matches!(character, '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

/// Returns `text` on one line, with every [control character](is_control) written as `\n`, `\t` or `\u{1b}`. Applying
/// it twice changes nothing.
///
/// ```
/// assert_eq!(flora_core::text::printable("red\u{1b}[31m\n"), r"red\u{1b}[31m\n");
/// ```
pub fn printable(text: &str) -> Cow<'_, str> {
    escaped(text, |_| false)
}

/// Like [`printable`], but keeps line breaks.
pub fn printable_lines(text: &str) -> Cow<'_, str> {
    escaped(text, |character| character == '\n')
}

fn escaped(text: &str, keep: impl Fn(char) -> bool) -> Cow<'_, str> {
    let is_wrong = |character| is_control(character) && !keep(character);
    if !text.contains(is_wrong) {
        return Cow::Borrowed(text);
    }
    let mut shown = String::with_capacity(text.len() + 16);
    for character in text.chars() {
        match is_wrong(character) {
            true => shown.extend(character.escape_default()),
            false => shown.push(character),
        }
    }
    Cow::Owned(shown)
}

/// Replaces the [control characters](is_control) that JSON allows in strings by JSON escapes such as `\u009b`, except
/// line breaks. The value of the JSON is unchanged.
pub fn printable_json(json: &str) -> Cow<'_, str> {
    let is_wrong = |character: char| is_control(character) && character != '\n';
    if !json.contains(is_wrong) {
        return Cow::Borrowed(json);
    }
    let mut shown = String::with_capacity(json.len() + 16);
    for character in json.chars() {
        match is_wrong(character) {
            // All of them are below U+10000. Writing into a string cannot fail.
            true => drop(write!(shown, "\\u{:04x}", u32::from(character))),
            false => shown.push(character),
        }
    }
    Cow::Owned(shown)
}

/// A [printable] path; parts that are not UTF-8 are shown as `�`.
pub fn path(path: &Path) -> String {
    printable(&path.to_string_lossy()).into_owned()
}

/// The one of `names` that `name` was probably meant to be.
///
/// ```
/// use flora_core::text::nearest;
/// assert_eq!(nearest("learnig_rate", ["rounds", "learning_rate"]), Some("learning_rate"));
/// assert_eq!(nearest("colour", ["rounds", "learning_rate"]), None);
/// ```
pub fn nearest<'a>(name: &str, names: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let lower = name.to_lowercase();
    // Up to a third of the letters may be wrong.
    let most = name.chars().count().div_ceil(3);
    names
        .into_iter()
        .map(|other| (strsim::damerau_levenshtein(&lower, &other.to_lowercase()), other))
        .filter(|(distance, _)| *distance <= most)
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, other)| other)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_terminal_obeys_is_written_out() {
        for (text, shown) in [
            ("plain ü 猫 🦊", "plain ü 猫 🦊"),
            ("\u{1b}]0;title\u{7}", r"\u{1b}]0;title\u{7}"),
            ("a\r\nb\tc", r"a\r\nb\tc"),
            ("\u{9b}2J\u{7f}", r"\u{9b}2J\u{7f}"),
            ("a\u{202e}gpj.exe\u{2069}", r"a\u{202e}gpj.exe\u{2069}"),
            ("a\u{2028}b", r"a\u{2028}b"),
            (r"C:\new", r"C:\new"),
        ] {
            assert_eq!(printable(text), shown);
            assert_eq!(printable(shown), shown, "twice");
        }
        assert_eq!(printable_lines("a\nb\u{1b}"), "a\nb\\u{1b}");
        assert_eq!(path(Path::new("runs/a\nb")), r"runs/a\nb");
    }

    #[test]
    fn json_means_what_it_meant() {
        let value = "\u{1b}\u{9b}\u{7f}\u{202e}\n\u{2028}ü";
        let json = serde_json::to_string_pretty(&[value]).unwrap();
        let shown = printable_json(&json);
        assert!(!shown.contains(|c| is_control(c) && c != '\n'), "{shown:?}");
        assert_eq!(serde_json::from_str::<Vec<String>>(&shown).unwrap(), [value]);
    }

    #[cfg(unix)]
    #[test]
    fn a_name_that_is_not_utf8_has_a_picture() {
        use std::os::unix::ffi::OsStrExt;
        let name = std::ffi::OsStr::from_bytes(b"k\xff.png");
        assert_eq!(path(Path::new(name)), "k\u{fffd}.png");
    }
}

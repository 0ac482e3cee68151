//! Text: shortened, broken into lines, and written as XML.

use flora_core::text::is_control;
use unicode_script::{Script, UnicodeScript};
use unicode_segmentation::UnicodeSegmentation;

pub(super) use super::fonts::width;

/// From one baseline to the next, in ems.
pub(super) const LEADING: f64 = 1.25;
/// Names and titles come from users' files; no figure shows more characters of one.
const MOST_CHARACTERS: usize = 400;

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
        let odd = is_control(character) || matches!(character, '\u{fffe}' | '\u{ffff}');
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
            character if is_control(character) => escaped.push(' '),
            character => escaped.push(character),
        }
    }
    escaped
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_that_fits_stays_and_longer_text_keeps_both_ends() {
        let name = "IMG_2024-05-17_holiday_at_the_sea_0042.jpeg";
        assert_eq!(shorten(name, 20.0, 1000.0), name);
        for room in [60.0, 120.0, 250.0, 400.0] {
            let short = shorten(name, 20.0, room);
            assert!(width(&short, 20.0) <= room, "{short}");
            assert!(width(&short, 20.0) > room - 40.0, "{short} leaves room");
            let (head, tail) = short.split_once('…').unwrap();
            assert!(name.starts_with(head) && name.ends_with(tail), "{short}");
        }
        assert_eq!(shorten(name, 20.0, 0.0), "…");
        assert_eq!(shorten("two\nlines\t", 20.0, 1000.0), "two lines");
    }

    #[test]
    fn what_people_see_as_one_character_is_never_cut() {
        // An `e` with its accent, and a family of three that is five characters.
        let family = "👨\u{200d}👩\u{200d}👧";
        let text = format!("{}{}", "e\u{301}".repeat(30), family.repeat(30));
        for room in 20..200 {
            let short = shorten(&text, 20.0, f64::from(room));
            let (head, tail) = short.split_once('…').unwrap();
            let whole =
                |part: &str| part.graphemes(true).all(|one| one == "e\u{301}" || one == family);
            assert!(whole(head) && whole(tail), "{short:?}");
        }
    }

    #[test]
    fn endless_text_is_cut_at_once() {
        let endless = "ab ".repeat(10_000_000);
        let short = shorten(&endless, 20.0, 200.0);
        assert!(width(&short, 20.0) <= 200.0);
        assert_eq!(wrap(&endless, 20.0, 200.0, 3).len(), 3);
    }

    #[test]
    fn lines_break_at_blanks_are_about_equal_and_the_last_takes_the_rest() {
        assert_eq!(wrap("one two\nthree", 10.0, 1000.0, 3), ["one two", "three"]);
        assert_eq!(wrap("aaaa bbbb cccc dddd", 10.0, 90.0, 3), ["aaaa bbbb", "cccc dddd"]);
        let lines = wrap("one two three four five six seven eight", 10.0, 60.0, 3);
        assert_eq!(lines.len(), 3);
        assert!(lines[0].starts_with("one") && lines[2].ends_with("ight"), "{lines:?}");
        assert!(lines[2].contains('…'), "{lines:?}");
        assert!(lines.iter().all(|line| width(line, 10.0) <= 60.0), "{lines:?}");
        assert!(wrap(" \n ", 10.0, 60.0, 3).is_empty());
        // Japanese has no blanks.
        let lines = wrap("日本語の長い名前がここにあります", 10.0, 70.0, 3);
        assert!(
            lines.len() > 1 && lines.concat() == "日本語の長い名前がここにあります",
            "{lines:?}"
        );
    }

    #[test]
    fn xml_has_no_forbidden_characters() {
        assert_eq!(escape("a<b>&\"c\"\u{0}\u{ffff}"), "a&lt;b&gt;&amp;&quot;c&quot;  ");
        assert_eq!((escape("a\u{202e}b").as_str(), clean("a\u{2067}b").as_str()), ("a b", "a b"));
        assert_eq!(clean("\u{1}a\u{0}b\u{1}"), "a b");
    }
}

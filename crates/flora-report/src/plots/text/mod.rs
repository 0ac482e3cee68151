//! Text on a picture: measured, shortened, broken into lines, drawn in three directions.

mod draw;

use std::sync::LazyLock;

use ab_glyph::{Font, FontRef, GlyphId};

pub(super) use draw::{Align, Direction, Style, draw};

static FONT: LazyLock<FontRef<'static>> = LazyLock::new(|| {
    FontRef::try_from_slice(dejavu::sans::regular()).expect("the built-in font is whole")
});
/// From one baseline to the next, in ems.
const LEADING: f32 = 1.3;
/// Names and titles come from people's files; no figure shows more than so much of one.
const MOST_CHARACTERS: usize = 1000;

/// Pixels from one line to the next.
pub(super) fn line_height(size: f32) -> u32 {
    (LEADING * size).ceil() as u32
}

/// Length of the text in pixels.
pub(super) fn width(text: &str, size: f32) -> f32 {
    lay_out(text, size).1
}

/// The text if it fits `width` pixels, else as much of its beginning and end as does, with an
/// ellipsis between: the end is where names of one kind differ, files have their extension and
/// predictions their percentage.
pub(super) fn shorten(text: &str, size: f32, width: f32) -> String {
    let text = clean(text);
    let fits = |text: &str| self::width(text, size) <= width;
    if fits(&text) {
        return text;
    }
    let characters: Vec<char> = text.chars().collect();
    let cut = |kept: usize| {
        let (head, tail) = (kept - kept * 2 / 5, kept * 2 / 5);
        let head: String = characters[..head].iter().collect();
        let tail: String = characters[characters.len() - tail..].iter().collect();
        format!("{}…{}", head.trim_end(), tail.trim_start())
    };
    let (mut most, mut too_many) = (0, characters.len());
    while too_many - most > 1 {
        let middle = usize::midpoint(most, too_many);
        if fits(&cut(middle)) { most = middle } else { too_many = middle }
    }
    cut(most)
}

/// The text in at most `most` lines of `width` pixels, broken at blanks and where it has line ends.
/// Words and a last line that are too long are shortened.
pub(super) fn wrap(text: &str, size: f32, width: f32, most: usize) -> Vec<String> {
    let text: String = text.chars().take(MOST_CHARACTERS).collect();
    let mut lines: Vec<String> = Vec::new();
    for paragraph in text.lines() {
        let mut line = String::new();
        for word in paragraph.split_whitespace() {
            let longer = if line.is_empty() { word.to_owned() } else { format!("{line} {word}") };
            if line.is_empty() || self::width(&longer, size) <= width {
                line = longer;
            } else {
                lines.push(std::mem::replace(&mut line, word.to_owned()));
            }
        }
        lines.extend((!line.is_empty()).then_some(line));
    }
    if lines.len() > most {
        let rest = lines.split_off(most.saturating_sub(1)).join(" ");
        lines.push(rest);
    }
    lines.iter().map(|line| shorten(line, size, width)).collect()
}

/// Each glyph with its place on the line, and the length of the line, in pixels.
fn lay_out(text: &str, size: f32) -> (Vec<(GlyphId, f32)>, f32) {
    let scale = scale(size);
    let mut end = 0.0;
    let mut last = None;
    let glyphs = text
        .chars()
        .map(|character| {
            let glyph = FONT.glyph_id(character);
            end += last.map_or(0.0, |last| FONT.kern_unscaled(last, glyph));
            let placed = (glyph, end * scale);
            end += FONT.h_advance_unscaled(glyph);
            last = Some(glyph);
            placed
        })
        .collect();
    (glyphs, end * scale)
}

/// Pixels a unit of the font.
fn scale(size: f32) -> f32 {
    size / FONT.units_per_em().unwrap_or(2048.0)
}

/// Line ends and the like as blanks, without those at the ends, and not endless.
fn clean(text: &str) -> String {
    let printable = |character: char| if character.is_control() { ' ' } else { character };
    text.trim().chars().take(MOST_CHARACTERS).map(printable).collect()
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
    fn endless_text_is_cut_at_once() {
        let endless = "ab ".repeat(10_000_000);
        let short = shorten(&endless, 20.0, 200.0);
        assert!(width(&short, 20.0) <= 200.0);
        assert!(wrap(&endless, 20.0, 200.0, 3).len() == 3);
    }

    #[test]
    fn lines_break_at_blanks_and_the_last_takes_the_rest() {
        assert_eq!(wrap("one two\nthree", 10.0, 1000.0, 3), ["one two", "three"]);
        let lines = wrap("one two three four five six seven eight", 10.0, 60.0, 3);
        assert_eq!(lines.len(), 3);
        assert!(lines[0].starts_with("one") && lines[2].ends_with("ight"), "{lines:?}");
        assert!(lines[2].contains('…'), "{lines:?}");
        assert!(lines.iter().all(|line| width(line, 10.0) <= 60.0), "{lines:?}");
        assert!(wrap(" \n ", 10.0, 60.0, 3).is_empty());
    }

    #[test]
    fn widths_are_those_of_the_font() {
        // DejaVu Sans has 2048 units an em; `H` advances by 1540, `i` by 569, a digit by 1303.
        for (text, units) in [("H", 1540.0), ("Hi", 2109.0), ("0123", 5212.0), ("", 0.0)] {
            assert!((width(text, 20.48) - units / 100.0).abs() < 1e-3, "{text}");
        }
    }
}

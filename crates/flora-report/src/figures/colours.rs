//! Colours and symbols.

use plotters::style::RGBColor;

/// Marks a colour that a page may replace; the letter of the role follows.
const ROLE: char = '\u{1}';

/// Text, axes and outlines.
pub(super) const INK: RGBColor = RGBColor(34, 34, 34);
/// Notes below titles.
pub(super) const MUTED: RGBColor = RGBColor(96, 96, 96);
/// Lines behind the data.
pub(super) const GRID: RGBColor = RGBColor(226, 226, 226);
/// The ground.
pub(super) const BACKGROUND: RGBColor = RGBColor(255, 255, 255);
/// Cells without a value, and the ground behind thumbnails.
pub(super) const PALE: RGBColor = RGBColor(238, 238, 238);
pub(super) const WHITE_TEXT: RGBColor = RGBColor(254, 254, 254);
pub(super) const DARK_TEXT: RGBColor = RGBColor(33, 33, 33);

/// Colours of Okabe and Ito, which are safe for the colour-blind. Their yellow is left out: it is too light
/// on white. Black is replaced by a grey that is visible on light and dark grounds.
const SERIES: [RGBColor; 7] = [
    RGBColor(0, 114, 178),
    RGBColor(213, 94, 0),
    RGBColor(0, 158, 115),
    RGBColor(204, 121, 167),
    RGBColor(230, 159, 0),
    RGBColor(86, 180, 233),
    RGBColor(120, 120, 120),
];

/// Roles with the names of their CSS variables.
const ROLES: [(RGBColor, &str); 12] = [
    (INK, "ink"),
    (MUTED, "muted"),
    (GRID, "grid"),
    (BACKGROUND, "background"),
    (PALE, "pale"),
    (SERIES[0], "1"),
    (SERIES[1], "2"),
    (SERIES[2], "3"),
    (SERIES[3], "4"),
    (SERIES[4], "5"),
    (SERIES[5], "6"),
    (SERIES[6], "7"),
];

/// The colour of a series, counted from 0.
pub(super) fn series(index: usize) -> RGBColor {
    SERIES[index % SERIES.len()]
}

/// The most parts of a bar.
pub(super) const BARS: usize = 2 * SERIES.len();

/// The colour of a part of a bar: those of the series, and then the same colours mixed with white.
pub(super) fn bar(index: usize) -> RGBColor {
    let RGBColor(red, green, blue) = series(index);
    let mixed = |part: u8| part / 2 + 127;
    if index < SERIES.len() {
        series(index)
    } else {
        RGBColor(mixed(red), mixed(green), mixed(blue))
    }
}

/// The value of an attribute such as `fill`, with a placeholder where a page may choose the colour.
pub(super) fn paint((red, green, blue): (u8, u8, u8)) -> String {
    match ROLES.iter().position(|(colour, _)| *colour == RGBColor(red, green, blue)) {
        Some(role) => format!("{ROLE}{}", char::from(b'a' + role as u8)),
        None => format!("#{red:02x}{green:02x}{blue:02x}"),
    }
}

/// The text with every placeholder replaced: by CSS variables with the usual colour as their fallback, or by
/// that colour.
pub(super) fn resolve(text: &str, variables: bool) -> String {
    let mut parts = text.split(ROLE);
    let mut resolved = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        let mut characters = part.chars();
        let letter = characters.next().unwrap_or('a');
        let index = (letter as usize).saturating_sub('a' as usize).min(ROLES.len() - 1);
        let (RGBColor(red, green, blue), name) = ROLES[index];
        let colour = format!("#{red:02x}{green:02x}{blue:02x}");
        if variables {
            resolved += &format!("var(--figure-{name}, {colour})");
        } else {
            resolved += &colour;
        }
        resolved += characters.as_str();
    }
    resolved
}

/// Dark or light text, whichever is readable on a background.
pub(super) fn readable_on(RGBColor(red, green, blue): RGBColor) -> RGBColor {
    // Luma of Rec. 601.
    let luma = 0.299 * f32::from(red) + 0.587 * f32::from(green) + 0.114 * f32::from(blue);
    if luma > 140.0 { DARK_TEXT } else { WHITE_TEXT }
}

/// Shapes, each filled and hollow.
const SHAPES: usize = 12;
/// The most series of a chart: up to here no two share colour and symbol, and the first 24 share no symbol.
pub(super) const MOST_SERIES: usize = 7 * 2 * SHAPES;

/// A symbol: the outline around the origin, with a radius of about 1, and whether it is filled.
pub(super) fn symbol(index: usize) -> (Vec<(f64, f64)>, bool) {
    let filled = (index / SHAPES).is_multiple_of(2);
    // Corners on a circle; every second one may lie further inside.
    let ring = |corners: usize, turn: f64, size: f64, inner: f64| -> Vec<(f64, f64)> {
        (0..corners)
            .map(|corner| {
                let angle = std::f64::consts::TAU * (corner as f64 / corners as f64 + turn);
                let radius = if corner % 2 == 1 { size * inner } else { size };
                (radius * angle.sin(), -radius * angle.cos())
            })
            .collect()
    };
    // Arms of a cross with half a width of 0.38.
    let cross = |turn: f64, size: f64| -> Vec<(f64, f64)> {
        let arm = 0.36;
        let corners = [(-arm, -1.0), (arm, -1.0), (arm, -arm), (1.0, -arm), (1.0, arm), (arm, arm)];
        let other = corners.map(|(x, y)| (-x, -y));
        let (sine, cosine) = turn.sin_cos();
        let turned =
            |(x, y): (f64, f64)| (size * (x * cosine - y * sine), size * (x * sine + y * cosine));
        corners.into_iter().chain(other).map(turned).collect()
    };
    let outline = match index % SHAPES {
        0 => ring(24, 0.0, 1.0, 1.0),
        1 => ring(4, 0.125, 1.22, 1.0),
        2 => ring(3, 0.0, 1.35, 1.0),
        3 => ring(4, 0.0, 1.3, 1.0),
        4 => ring(3, 0.5, 1.35, 1.0),
        5 => cross(0.0, 1.2),
        6 => cross(std::f64::consts::FRAC_PI_4, 1.2),
        7 => ring(10, 0.0, 1.4, 0.45),
        8 => ring(3, 0.25, 1.35, 1.0),
        9 => ring(6, 0.0, 1.15, 1.0),
        10 => ring(3, 0.75, 1.35, 1.0),
        _ => ring(8, 0.0, 1.45, 0.4),
    };
    (outline, filled)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn no_two_series_look_the_same_and_24_have_their_own_symbol() {
        let look = |index: usize| {
            let RGBColor(red, green, blue) = series(index);
            let (outline, filled) = symbol(index);
            (format!("{red} {green} {blue}"), format!("{outline:.3?} {filled}"))
        };
        let looks: BTreeSet<_> = (0..MOST_SERIES).map(look).collect();
        assert_eq!(looks.len(), MOST_SERIES);
        let symbols: BTreeSet<_> = (0..24).map(|index| look(index).1).collect();
        assert_eq!(symbols.len(), 24);
    }

    #[test]
    fn colours_become_variables_or_stay_as_they_are() {
        let text =
            format!("a {} b {} c {}", paint((34, 34, 34)), paint((1, 2, 3)), paint((0, 114, 178)));
        assert_eq!(resolve(&text, false), "a #222222 b #010203 c #0072b2");
        let variables = "a var(--figure-ink, #222222) b #010203 c var(--figure-1, #0072b2)";
        assert_eq!(resolve(&text, true), variables);
        assert_eq!(resolve("plain", true), "plain");
    }
}

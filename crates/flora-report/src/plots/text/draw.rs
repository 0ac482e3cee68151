//! Glyphs are drawn from their outlines, turned first and rasterised then, so that slanted text is
//! as clean as level text.

use ab_glyph::{Font, OutlineCurve, Point, point};
use image::{Rgb, RgbImage};

use super::{super::outline::fill_outline, FONT, clean, lay_out, scale};

/// Height of a capital in DejaVu Sans, in ems.
const CAPITAL: f32 = 0.729;

/// Which way text runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::plots) enum Direction {
    Level,
    /// Rising at 45 degrees.
    Slanted,
    /// From bottom to top.
    Up,
}

/// Which point of the text is put where it is drawn.
#[derive(Debug, Clone, Copy)]
pub(in crate::plots) enum Align {
    Start,
    Centre,
    End,
}

/// The looks of a line of text; `size` is that of an em in pixels.
#[derive(Debug, Clone, Copy)]
pub(in crate::plots) struct Style {
    pub(in crate::plots) size: f32,
    pub(in crate::plots) colour: Rgb<u8>,
    pub(in crate::plots) align: Align,
    pub(in crate::plots) direction: Direction,
}

/// Draws one line of text. `at` is where it starts, has its centre or ends, at half the height of a
/// capital, in pixels. What lies outside of the picture is left out.
pub(in crate::plots) fn draw(image: &mut RgbImage, text: &str, at: (f32, f32), style: Style) {
    let (glyphs, width) = lay_out(&clean(text), style.size);
    let (cos, sin) = match style.direction {
        Direction::Level => (1.0, 0.0),
        Direction::Slanted => (std::f32::consts::FRAC_1_SQRT_2, std::f32::consts::FRAC_1_SQRT_2),
        Direction::Up => (0.0, 1.0),
    };
    // Fonts count upwards, pictures downwards.
    let turn =
        |along: f32, above: f32| point(along * cos - above * sin, -along * sin - above * cos);
    let before = match style.align {
        Align::Start => 0.0,
        Align::Centre => width / 2.0,
        Align::End => width,
    };
    let start = point(at.0, at.1) + turn(-before, -CAPITAL * style.size / 2.0);
    // Whole pixels keep the stems of level and upright text sharp.
    let start = point(start.x.round(), start.y.round());
    let scale = scale(style.size);
    for (glyph, left) in glyphs {
        if let Some(outline) = FONT.outline(glyph) {
            let place = |p: Point| start + turn(left + p.x * scale, p.y * scale);
            let curve = |curve: &OutlineCurve| match *curve {
                OutlineCurve::Line(a, b) => OutlineCurve::Line(place(a), place(b)),
                OutlineCurve::Quad(a, b, c) => OutlineCurve::Quad(place(a), place(b), place(c)),
                OutlineCurve::Cubic(a, b, c, d) => {
                    OutlineCurve::Cubic(place(a), place(b), place(c), place(d))
                }
            };
            let curves: Vec<OutlineCurve> = outline.curves.iter().map(curve).collect();
            fill_outline(image, &curves, style.colour);
        }
    }
}

#[cfg(test)]
mod tests {
    use image::imageops::rotate270;

    use super::*;

    const SIDE: u32 = 200;

    fn drawn(text: &str, at: (f32, f32), align: Align, direction: Direction) -> RgbImage {
        let mut image = RgbImage::from_pixel(SIDE, SIDE, Rgb([255; 3]));
        let style = Style { size: 24.0, colour: Rgb([0; 3]), align, direction };
        draw(&mut image, text, at, style);
        image
    }

    /// How much black there is, and its first and last column and row.
    fn ink(image: &RgbImage) -> (f64, [u32; 4]) {
        let (mut sum, mut bounds) = (0.0, [SIDE, 0, SIDE, 0]);
        for (x, y, pixel) in image.enumerate_pixels().filter(|(_, _, pixel)| pixel.0[0] < 250) {
            sum += f64::from(255 - pixel.0[0]) / 255.0;
            let [left, right, top, bottom] = bounds;
            bounds = [left.min(x), right.max(x), top.min(y), bottom.max(y)];
        }
        (sum, bounds)
    }

    #[test]
    fn a_capital_is_centred_on_its_point() {
        let (sum, [left, right, top, bottom]) =
            ink(&drawn("H", (100.0, 100.0), Align::Centre, Direction::Level));
        assert!(sum > 80.0, "{sum}");
        assert!((left + right).abs_diff(200) <= 3, "{left} to {right}");
        assert!((top + bottom).abs_diff(200) <= 2, "{top} to {bottom}");
        assert!((bottom - top + 1).abs_diff(18) <= 1, "{top} to {bottom}: 0.729 x 24 pixels");
    }

    #[test]
    fn turned_text_is_the_same_text() {
        let level = drawn("Flora 7", (100.0, 100.0), Align::Centre, Direction::Level);
        let up = drawn("Flora 7", (100.0, 100.0), Align::Centre, Direction::Up);
        let slanted = drawn("Flora 7", (100.0, 100.0), Align::Centre, Direction::Slanted);
        let (sum, bounds) = ink(&level);
        let (turned, turned_bounds) = ink(&rotate270(&level));
        let (up_sum, up_bounds) = ink(&up);
        assert!((sum - turned).abs() < 1e-6 && (sum - up_sum).abs() < 2.0, "{sum} {up_sum}");
        for (a, b) in turned_bounds.iter().zip(up_bounds) {
            assert!(a.abs_diff(b) <= 2, "{turned_bounds:?} {up_bounds:?}");
        }
        let (slanted, [left, right, top, bottom]) = ink(&slanted);
        assert!((sum - slanted).abs() < 0.02 * sum, "{sum} {slanted}");
        // Both sides of a square that is narrower than the line is long.
        assert!((right - left).abs_diff(bottom - top) <= 6);
        assert!(right - left < bounds[1] - bounds[0]);
    }

    #[test]
    fn text_starts_centres_and_ends_where_it_is_told() {
        let bounds = |align| ink(&drawn("HHH", (100.0, 100.0), align, Direction::Level)).1;
        assert!((100..105).contains(&bounds(Align::Start)[0]));
        assert!((95..=100).contains(&bounds(Align::End)[1]));
        assert!(bounds(Align::Centre)[0] < 100 && bounds(Align::Centre)[1] > 100);
    }

    #[test]
    fn what_lies_outside_is_left_out_and_unknown_characters_are_boxes() {
        for at in [(-50.0, 100.0), (195.0, 3.0), (1e6, 1e6), (-1e6, 0.0)] {
            drawn("half a line of text", at, Align::Centre, Direction::Slanted);
        }
        for text in ["漢字", "\u{10ffff}", "🧑‍🚀", "e\u{301}", "\u{200f}"] {
            drawn(text, (100.0, 100.0), Align::Start, Direction::Up);
        }
        let (sum, _) = ink(&drawn("漢", (100.0, 100.0), Align::Centre, Direction::Level));
        assert!(sum > 10.0, "a box is to be seen: {sum}");
    }
}

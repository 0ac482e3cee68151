//! Shapes with smooth edges: how much of a pixel they cover is how much of their colour it takes.

use ab_glyph::{OutlineCurve, Point, point};
use ab_glyph_rasterizer::Rasterizer;
use image::{Rgb, RgbImage};

use super::canvas::blend;

/// Fills an outline, in pixels. What lies outside of the picture is left out.
pub(super) fn fill_outline(image: &mut RgbImage, curves: &[OutlineCurve], colour: Rgb<u8>) {
    if curves.is_empty() {
        return;
    }
    // Curves stay within the hull of their points.
    let (mut low, mut high) =
        (point(f32::INFINITY, f32::INFINITY), point(f32::NEG_INFINITY, f32::NEG_INFINITY));
    let mut within = |points: &[Point]| {
        for p in points {
            low = point(low.x.min(p.x), low.y.min(p.y));
            high = point(high.x.max(p.x), high.y.max(p.y));
        }
    };
    for curve in curves {
        match *curve {
            OutlineCurve::Line(a, b) => within(&[a, b]),
            OutlineCurve::Quad(a, b, c) => within(&[a, b, c]),
            OutlineCurve::Cubic(a, b, c, d) => within(&[a, b, c, d]),
        }
    }
    let corner = point(low.x.floor(), low.y.floor());
    let size = point(high.x.ceil(), high.y.ceil()) - corner;
    let mut rasterizer = Rasterizer::new(size.x as usize + 1, size.y as usize + 1);
    for curve in curves {
        match *curve {
            OutlineCurve::Line(a, b) => rasterizer.draw_line(a - corner, b - corner),
            OutlineCurve::Quad(a, b, c) => {
                rasterizer.draw_quad(a - corner, b - corner, c - corner);
            }
            OutlineCurve::Cubic(a, b, c, d) => {
                rasterizer.draw_cubic(a - corner, b - corner, c - corner, d - corner);
            }
        }
    }
    let (left, top) = (corner.x as i64, corner.y as i64);
    rasterizer.for_each_pixel_2d(|x, y, alpha| {
        blend(image, left + i64::from(x), top + i64::from(y), colour, alpha.min(1.0));
    });
}

/// Fills the polygon with these corners.
pub(super) fn polygon(image: &mut RgbImage, corners: &[(f32, f32)], colour: Rgb<u8>) {
    let corner = |index: usize| {
        let (x, y) = corners[index % corners.len()];
        point(x, y)
    };
    let side = |index| OutlineCurve::Line(corner(index), corner(index + 1));
    let sides: Vec<_> = (0..corners.len()).map(side).collect();
    fill_outline(image, &sides, colour);
}

/// Draws a line of this width with flat ends; nothing if it has no length.
pub(super) fn stroke(
    image: &mut RgbImage,
    from: (f32, f32),
    to: (f32, f32),
    width: f32,
    colour: Rgb<u8>,
) {
    let along = (to.0 - from.0, to.1 - from.1);
    let length = along.0.hypot(along.1);
    if length == 0.0 {
        return;
    }
    // Half of the width, across the line.
    let (x, y) = (-along.1 * width / (2.0 * length), along.0 * width / (2.0 * length));
    let corners = [
        (from.0 + x, from.1 + y),
        (to.0 + x, to.1 + y),
        (to.0 - x, to.1 - y),
        (from.0 - x, from.1 - y),
    ];
    polygon(image, &corners, colour);
}

/// Fills a regular polygon around a point, its first corner at this angle (0 is to the right, a quarter
/// turn downwards); with many corners, a disc.
pub(super) fn regular(
    image: &mut RgbImage,
    centre: (f32, f32),
    radius: f32,
    (corners, angle): (u8, f32),
    colour: Rgb<u8>,
) {
    let corner = |index: u8| {
        let angle = angle + std::f32::consts::TAU * f32::from(index) / f32::from(corners);
        (centre.0 + radius * angle.cos(), centre.1 + radius * angle.sin())
    };
    polygon(image, &(0..corners).map(corner).collect::<Vec<_>>(), colour);
}

#[cfg(test)]
mod tests {
    use super::*;

    /// How many pixels' worth of black there is.
    fn ink(draw: impl Fn(&mut RgbImage)) -> f64 {
        let mut image = RgbImage::from_pixel(100, 100, Rgb([255; 3]));
        draw(&mut image);
        image.pixels().map(|pixel| f64::from(255 - pixel.0[0]) / 255.0).sum()
    }

    #[test]
    fn shapes_cover_their_area() {
        let black = Rgb([0; 3]);
        for (to, length) in [((60.0, 20.0), 40.0), ((20.0, 70.0), 50.0), ((50.0, 60.0), 50.0)] {
            let area = ink(|image| stroke(image, (20.0, 20.0), to, 4.0, black));
            assert!((area - 4.0 * length).abs() < 2.0, "{to:?}: {area}");
        }
        let disc = ink(|image| regular(image, (50.0, 50.0), 20.0, (48, 0.0), black));
        assert!((disc - std::f64::consts::PI * 400.0).abs() < 8.0, "{disc}");
        let square = ink(|image| regular(image, (50.0, 50.0), 20.0, (4, 0.0), black));
        assert!((square - 800.0).abs() < 8.0, "{square}");
    }

    #[test]
    fn what_is_outside_or_has_no_length_is_left_out() {
        let black = Rgb([0; 3]);
        assert_eq!(ink(|image| stroke(image, (20.0, 20.0), (20.0, 20.0), 4.0, black)), 0.0);
        assert_eq!(ink(|image| polygon(image, &[], black)), 0.0);
        let area = ink(|image| stroke(image, (-50.0, 50.0), (150.0, 50.0), 2.0, black));
        assert!((area - 200.0).abs() < 1.0, "{area}");
    }
}

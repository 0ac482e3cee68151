//! The points, their bars, and the lines between them.

use std::f32::consts::{FRAC_PI_2, FRAC_PI_4};

use image::{Rgb, RgbImage};

use super::{
    super::{
        canvas::{INK, WHITE},
        outline::{regular, stroke},
    },
    Chart,
    layout::Layout,
    scale::Vertical,
};

/// Okabe and Ito's colours, which all eyes can tell apart, without their yellow, which is lost on white.
const COLOURS: [Rgb<u8>; 7] = [
    Rgb([0, 114, 178]),
    Rgb([213, 94, 0]),
    Rgb([0, 158, 115]),
    Rgb([204, 121, 167]),
    Rgb([230, 159, 0]),
    Rgb([86, 180, 233]),
    INK,
];
/// Corners of a point, its first angle, and its size: shapes of one size look equally large.
const SHAPES: [(u8, f32, f32); 5] = [
    (48, 0.0, 1.0),
    (4, FRAC_PI_4, 1.22),
    (3, -FRAC_PI_2, 1.35),
    (4, 0.0, 1.3),
    (3, FRAC_PI_2, 1.35),
];
pub(super) const MOST: usize = COLOURS.len() * SHAPES.len();
const RADIUS: f32 = 10.0;
/// White around a point, so that it is to be seen on lines.
const HALO: f32 = 2.5;
const LINE: f32 = 4.0;
const BAR: f32 = 3.0;
/// Half of the width of a bar's ends.
const CAP: f32 = 8.0;
/// Between points of one place, so that their bars do not hide each other: where the place is a number,
/// and where it is a name.
const APART: (f32, f32) = (13.0, 28.0);
/// What the points of one place may take, as a share of the way to the next.
const SPREAD: f32 = 0.5;

/// All series, the first one on top: the legend names it first.
pub(super) fn draw(image: &mut RgbImage, chart: &Chart, layout: &Layout, vertical: &Vertical) {
    let count = chart.series.len() as f32;
    let places = &layout.horizontal.places;
    let nearest = places
        .iter()
        .enumerate()
        .flat_map(|(index, a)| places[..index].iter().map(move |b| (a - b).abs()))
        .fold(1.0, f32::min);
    let apart = if layout.horizontal.numeric { APART.0 } else { APART.1 };
    let apart = apart.min(SPREAD * nearest * layout.plot.width as f32 / count);
    for (index, series) in chart.series.iter().enumerate().rev() {
        let aside = apart * (index as f32 - (count - 1.0) / 2.0);
        let colour = colour(index);
        let mut points: Vec<_> = series
            .points
            .iter()
            .zip(places)
            .filter_map(|(point, &share)| {
                let point = point.filter(|point| point.mean.is_finite())?;
                Some((layout.x(share) + aside, point))
            })
            .collect();
        points.sort_by(|(a, _), (b, _)| a.total_cmp(b));
        let y = |value: f64| layout.y(vertical.place(value));
        if layout.horizontal.numeric {
            for pair in points.windows(2) {
                let [from, to] = [pair[0], pair[1]].map(|(x, point)| (x, y(point.mean)));
                stroke(image, from, to, LINE, colour);
            }
        }
        for &(x, point) in &points {
            if let Some(deviation) = point.deviation.filter(|deviation| deviation.is_finite()) {
                bar(image, x, y(point.mean - deviation), y(point.mean + deviation), colour);
            }
            mark(image, index, (x, y(point.mean)));
        }
    }
}

/// What the legend shows of a series around a point, with a line of this width.
pub(super) fn sample(image: &mut RgbImage, index: usize, (x, y): (f32, f32), line: Option<f32>) {
    if let Some(width) = line {
        stroke(image, (x - width / 2.0, y), (x + width / 2.0, y), LINE, colour(index));
    }
    mark(image, index, (x, y));
}

fn bar(image: &mut RgbImage, x: f32, low: f32, high: f32, colour: Rgb<u8>) {
    stroke(image, (x, low), (x, high), BAR, colour);
    for end in [low, high] {
        stroke(image, (x - CAP, end), (x + CAP, end), BAR, colour);
    }
}

fn mark(image: &mut RgbImage, index: usize, at: (f32, f32)) {
    // Each round through the colours begins with the next shape.
    let (corners, angle, size) = SHAPES[(index + index / COLOURS.len()) % SHAPES.len()];
    regular(image, at, size * RADIUS + HALO, (corners, angle), WHITE);
    regular(image, at, size * RADIUS, (corners, angle), colour(index));
}

fn colour(index: usize) -> Rgb<u8> {
    COLOURS[index % COLOURS.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_two_series_look_the_same() {
        let look =
            |index: usize| (index % COLOURS.len(), (index + index / COLOURS.len()) % SHAPES.len());
        let looks: std::collections::BTreeSet<_> = (0..MOST).map(look).collect();
        assert_eq!(looks.len(), MOST);
    }
}

//! Elements of figures that plotters lacks.

use plotters::{
    element::{Drawable, PointCollection},
    style::RGBColor,
};
use plotters_backend::BackendCoord;

use super::{
    canvas::{Canvas, Datum, Drawn, STEPS, number, path, rectangle, steps},
    colours::{BACKGROUND, paint, series, symbol},
};

/// The appearance of an element; sizes in units.
#[derive(Debug, Clone)]
pub(super) enum Look {
    /// The symbol of a series around one point.
    Symbol { series: usize, radius: f64 },
    /// A line through the points, in the colour of a series.
    Line { series: usize, width: f64, dashed: bool },
    /// A bar between two points, with ends.
    Whisker { series: usize, cap: f64 },
    /// A line of text that ends at the point, turned clockwise by degrees.
    Text { line: String, size: f64, turn: f64 },
    /// A rectangle between two corners.
    Cell { colour: RGBColor },
}

/// Points in coordinates of a plot (or in steps, without one), and what is drawn there.
#[derive(Debug, Clone)]
pub(super) struct Element<C> {
    pub(super) points: Vec<C>,
    /// Units to the right of the points' places.
    pub(super) aside: f64,
    pub(super) look: Look,
    /// What it stands for, if it is a mark.
    pub(super) datum: Option<Datum>,
}

impl<C> Element<C> {
    pub(super) fn new(points: Vec<C>, look: Look) -> Self {
        Self { points, aside: 0.0, look, datum: None }
    }
}

impl<'a, C: 'a> PointCollection<'a, C> for &'a Element<C> {
    type Point = &'a C;
    type IntoIter = &'a [C];

    fn point_iter(self) -> &'a [C] {
        &self.points
    }
}

impl<C> Drawable<Canvas> for Element<C> {
    fn draw<I: Iterator<Item = BackendCoord>>(
        &self,
        points: I,
        canvas: &mut Canvas,
        _: (u32, u32),
    ) -> Drawn {
        let aside = steps(self.aside);
        let points: Vec<BackendCoord> = points.map(|(x, y)| (x + aside, y)).collect();
        let colour = |index: usize| {
            let RGBColor(red, green, blue) = series(index);
            paint((red, green, blue))
        };
        let datum = self.datum.as_ref();
        match (&self.look, &points[..]) {
            (Look::Symbol { series, radius }, [(x, y), ..]) => {
                let (outline, filled) = symbol(*series);
                let corner = |(dx, dy): &(f64, f64)| {
                    let step = |units: f64| (units * radius * STEPS).round() as i32;
                    (x + step(*dx), y + step(*dy))
                };
                let shape = path(outline.iter().map(corner), true);
                let ground = paint((BACKGROUND.0, BACKGROUND.1, BACKGROUND.2));
                let colour = colour(*series);
                let (fill, stroke) = if filled { (&colour, &ground) } else { (&ground, &colour) };
                let width = if filled { 0.16 * radius } else { 0.36 * radius };
                let attributes = format!(
                    " d=\"{shape}\" fill=\"{fill}\" stroke=\"{stroke}\" stroke-width=\"{width:.1}\""
                );
                canvas.element("path", &attributes, datum);
            }
            (Look::Line { series, width, dashed }, points) => {
                let dashes = if *dashed { " stroke-dasharray=\"6 4\"" } else { "" };
                let (line, colour) = (path(points.iter().copied(), false), colour(*series));
                let attributes = format!(
                    " d=\"{line}\" fill=\"none\" stroke=\"{colour}\" stroke-width=\"{width}\" \
                     stroke-linejoin=\"round\"{dashes}"
                );
                canvas.element("path", &attributes, datum);
            }
            (Look::Whisker { series, cap }, [(x, low), (_, high), ..]) => {
                let (left, right) = (number(x - steps(*cap)), number(x + steps(*cap)));
                let (x, low, high) = (number(*x), number(*low), number(*high));
                let attributes = format!(
                    " d=\"M{left} {low}L{right} {low}M{x} {low}L{x} {high}M{left} {high}L{right} {high}\" \
                     fill=\"none\" stroke=\"{}\" stroke-width=\"1.2\"",
                    colour(*series)
                );
                canvas.element("path", &attributes, datum);
            }
            (Look::Text { line, size, turn }, [at, ..]) => {
                canvas.turned_text(line, *size, *turn, *at);
            }
            (Look::Cell { colour: RGBColor(red, green, blue) }, [from, to, ..]) => {
                let fill = paint((*red, *green, *blue));
                let attributes = format!("{} fill=\"{fill}\"", rectangle(*from, *to));
                canvas.element("rect", &attributes, datum);
            }
            _ => {}
        }
        Ok(())
    }
}

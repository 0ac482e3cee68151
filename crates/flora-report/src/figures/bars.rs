use super::{
    Figure,
    axis::{Axis, LABEL, Labels, RIGHT, Values, is_drawn, short_number},
    canvas::{Area, Canvas, Datum, Drawn},
    colours::{self, BARS},
    elements::{Element, Look},
    head::{Entry, Head, Sample, drawn},
    plot::Plot,
};
use crate::ReportError;

const KIND: &str = "bars";
/// In units.
const WIDTH: f64 = 640.0;
const NARROW: f64 = 380.0;
const PLOT_HEIGHT: f64 = 300.0;
const MOST_BARS: usize = 2_000;
/// The share of its slot that a bar occupies.
const SHARE: f64 = 0.8;

/// Stacked bars, such as the seconds of phases by round, or bytes by client.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct StackedBars {
    /// The title, of up to three lines.
    pub title: String,
    /// A note about the numbers, of one or two lines below the title.
    pub note: String,
    /// The name of the horizontal axis.
    pub x_label: String,
    /// The name of the vertical axis, with the unit.
    pub y_label: String,
    /// The name of each bar, such as the number of the round.
    pub places: Vec<String>,
    /// The parts, from the bottom up, in the order of the legend.
    pub parts: Vec<Part>,
    /// Whether it is 380 instead of 640 units wide, for narrow pages; text has the same size.
    pub narrow: bool,
}

/// One part of all bars.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Part {
    /// Its name in the legend.
    pub name: String,
    /// Its height in each bar. Values that are not positive and finite are left out.
    pub values: Vec<f64>,
}

impl StackedBars {
    /// Draws the bars, from zero. A single part needs no legend.
    ///
    /// # Errors
    /// [`ReportError::Figure`] without any positive value, for more than 2,000 bars or 14 parts, and for a part with
    /// more or fewer values than there are bars.
    pub fn draw(&self) -> Result<Figure, ReportError> {
        let refuse = |problem: String| Err(ReportError::Figure { figure: KIND, problem });
        let (bars, parts) = (self.places.len(), self.parts.len());
        if bars > MOST_BARS || parts > BARS {
            return refuse(format!(
                "{bars} bars of {parts} parts; {MOST_BARS} of {BARS} can be drawn"
            ));
        }
        if let Some(Part { name, values }) =
            self.parts.iter().find(|part| part.values.len() != bars)
        {
            return refuse(format!("part {name:?} has {} values for {bars} bars", values.len()));
        }
        let value = |part: &Part, bar: usize| Some(part.values[bar]).filter(|value| counts(*value));
        let total = |bar: usize| self.parts.iter().filter_map(|part| value(part, bar)).sum::<f64>();
        let most = (0..bars).map(total).fold(0.0, f64::max);
        if !counts(most) {
            return refuse(
                "there is nothing to draw: it needs at least one positive value".to_owned(),
            );
        }
        let marks =
            self.parts.iter().flat_map(|part| &part.values).filter(|value| counts(**value)).count();
        let plot = self.plot(most);
        let canvas = Canvas::new(self.width(), plot.height(), marks);
        self.draw_on(&canvas.area(), &plot)
            .map_err(|error| ReportError::Figure { figure: KIND, problem: error.to_string() })?;
        let names: Vec<&str> = self.parts.iter().map(|part| part.name.as_str()).collect();
        let description =
            format!("{} by {}: {bars} bars of {}.", self.y_label, self.x_label, names.join(", "));
        Ok(canvas.finish(KIND, &self.title, description))
    }

    fn width(&self) -> f64 {
        if self.narrow { NARROW } else { WIDTH }
    }

    fn plot(&self, most: f64) -> Plot {
        let vertical = Values::around(0.0, most, 7).axis(&self.y_label);
        let left = Plot::left(&vertical.name, PLOT_HEIGHT, vertical.labels.widest());
        let length = self.width() - RIGHT - left;
        let labels = Labels::below(&self.places, length / self.places.len() as f64, LABEL, left);
        let horizontal = Axis::places(self.x_label.clone(), labels, false);
        let entry = |(index, part): (usize, &Part)| Entry {
            name: part.name.clone(),
            sample: Sample::Swatch(colours::bar(index)),
        };
        let entries = if self.parts.len() == 1 {
            Vec::new()
        } else {
            self.parts.iter().enumerate().map(entry).collect()
        };
        let head = Head::new(&self.title, &self.note, entries, self.width());
        Plot::new(head, horizontal, vertical, (length, PLOT_HEIGHT))
    }

    fn draw_on(&self, area: &Area, plot: &Plot) -> Drawn {
        let chart = plot.draw(area)?;
        for (bar, place) in self.places.iter().enumerate() {
            let mut bottom = 0.0;
            for (index, part) in self.parts.iter().enumerate() {
                let value = part.values[bar];
                if !counts(value) {
                    continue;
                }
                let x = bar as f64;
                let corners = vec![(x - SHARE / 2.0, bottom), (x + SHARE / 2.0, bottom + value)];
                bottom += value;
                let shown = short_number((value * 1e4).round() / 1e4);
                let datum = Datum {
                    attributes: vec![
                        ("series", part.name.clone()),
                        ("x", place.clone()),
                        ("y", value.to_string()),
                    ],
                    tooltip: format!("{}, {} {place}: {shown}", part.name, self.x_label),
                };
                let look = Look::Cell { colour: colours::bar(index) };
                let element = Element { datum: Some(datum), ..Element::new(corners, look) };
                drawn(chart.plotting_area().draw(&element))?;
            }
        }
        Ok(())
    }
}

fn counts(value: f64) -> bool {
    value > 0.0 && is_drawn(value)
}

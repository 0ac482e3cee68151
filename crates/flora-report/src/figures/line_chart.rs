use super::{
    Figure,
    axis::{Axis, LABEL, Labels, RIGHT, Values, is_drawn, short_number, ticks},
    canvas::{Area, Canvas, Datum, Drawn},
    colours::MOST_SERIES,
    elements::{Element, Look},
    head::{Entry, Head, Sample, drawn},
    plot::Plot,
};
use crate::ReportError;

const KIND: &str = "chart";
/// In units.
const WIDTH: f64 = 640.0;
const NARROW: f64 = 380.0;
const PLOT_HEIGHT: f64 = 320.0;
const RADIUS: (f64, f64) = (1.6, 5.0);
const MOST_POINTS: usize = 200_000;
/// Between points of different series at one place, so that their bars do not hide each other: where the place is
/// a number, and where it is a name.
const APART: (f64, f64) = (6.0, 12.0);

/// A chart of one or several series, over numbers or names.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct LineChart {
    /// The title, of up to three lines.
    pub title: String,
    /// A note about the numbers, of one or two lines below the title.
    pub note: String,
    /// The name of the horizontal axis.
    pub x_label: String,
    /// The name of the vertical axis, with the unit.
    pub y_label: String,
    /// The horizontal axis.
    pub places: Places,
    /// Whether the vertical axis begins at zero; otherwise it begins near the lowest point.
    pub from_zero: bool,
    /// The series, in the order of the legend.
    pub series: Vec<Series>,
    /// Horizontal lines to compare with, such as zero-shot accuracy.
    pub references: Vec<Reference>,
    /// Whether it is 380 instead of 640 units wide, for narrow pages; text has the same size.
    pub narrow: bool,
}

/// A horizontal axis.
#[derive(Debug, Clone, Default, PartialEq)]
pub enum Places {
    /// Numbers on a linear scale, with round numbers as ticks.
    #[default]
    Linear,
    /// Numbers with these ticks, on a linear or logarithmic scale.
    Ticks {
        /// The values that have a tick.
        ticks: Vec<f64>,
        /// Whether the scale is logarithmic.
        logarithmic: bool,
    },
    /// Names beside each other; `x` counts them from 0.
    Names(Vec<String>),
}

/// Points of one colour and symbol.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Series {
    /// Its name in the legend.
    pub name: String,
    /// The points, in the order in which a line joins them. Those that are not finite leave a gap.
    pub points: Vec<Point>,
    /// The way they are joined.
    pub style: Style,
}

/// A value.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Point {
    /// The position on the horizontal axis.
    pub x: f64,
    /// The value.
    pub y: f64,
    /// Half the height of its error bar, in units of `y`.
    pub deviation: Option<f64>,
}

/// How the points of a series are joined.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Style {
    /// By a line.
    #[default]
    Solid,
    /// By a dashed line.
    Dashed,
    /// Not at all.
    Points,
}

/// A horizontal line.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Reference {
    /// Its name.
    pub name: String,
    /// Its value.
    pub y: f64,
}

impl LineChart {
    /// Draws the chart. A single series without a name, and no references, need no legend.
    ///
    /// # Errors
    /// [`ReportError::Figure`] without any finite point, with more than 168 series, for points without a name on an
    /// axis of names, and for numbers without a logarithm on a logarithmic scale.
    pub fn draw(&self) -> Result<Figure, ReportError> {
        self.check()?;
        let Some(layout) = Layout::new(self) else {
            return refuse("there is nothing to draw: it needs at least one point".to_owned());
        };
        let canvas = Canvas::new(self.width(), layout.plot.height(), layout.points);
        self.draw_on(&canvas.area(), &layout)
            .map_err(|error| ReportError::Figure { figure: KIND, problem: error.to_string() })?;
        Ok(canvas.finish(KIND, &self.title, self.description(layout.points)))
    }

    /// Errors that do not depend on the values of the points.
    pub(crate) fn check(&self) -> Result<(), ReportError> {
        let count = self.series.len();
        let points: usize = self.series.iter().map(|series| series.points.len()).sum();
        if count > MOST_SERIES || points > MOST_POINTS {
            return refuse(format!(
                "{count} series with {points} points; {MOST_SERIES} series with {MOST_POINTS} points can be drawn"
            ));
        }
        let xs = || self.series.iter().flat_map(|series| series.points.iter().map(|point| point.x));
        match &self.places {
            Places::Names(names) => {
                let odd = |x: &f64| !(x.fract() == 0.0 && *x >= 0.0 && *x < names.len() as f64);
                if let Some(x) = xs().find(odd) {
                    return refuse(format!("a point at {x} is outside the {} names", names.len()));
                }
            }
            Places::Ticks { ticks, logarithmic: true } => {
                let mut all = xs().chain(ticks.iter().copied());
                if let Some(x) = all.find(|x| !(*x > 0.0 && is_drawn(*x))) {
                    return refuse(format!(
                        "{x} on a logarithmic axis: it has positive numbers only"
                    ));
                }
            }
            Places::Linear | Places::Ticks { .. } => {}
        }
        Ok(())
    }

    fn width(&self) -> f64 {
        if self.narrow { NARROW } else { WIDTH }
    }

    fn logarithmic(&self) -> bool {
        matches!(self.places, Places::Ticks { logarithmic: true, .. })
    }

    fn description(&self, points: usize) -> String {
        let names: Vec<&str> = self.series.iter().map(|series| series.name.as_str()).collect();
        let lines: Vec<&str> = self.references.iter().map(|line| line.name.as_str()).collect();
        let lines =
            if lines.is_empty() { String::new() } else { format!(" Lines: {}.", lines.join(", ")) };
        format!(
            "{} by {}: {points} points in {} series ({}).{lines}",
            self.y_label,
            self.x_label,
            names.len(),
            super::text::shorten(&names.join(", "), 1.0, 300.0)
        )
    }

    fn draw_on(&self, area: &Area, layout: &Layout) -> Drawn {
        let chart = layout.plot.draw(area)?;
        let plane = chart.plotting_area();
        let draw = |element: Element<(f64, f64)>| drawn(plane.draw(&element));
        let count = self.series.len();
        for (index, line) in self.references.iter().enumerate().filter(|(_, line)| is_drawn(line.y))
        {
            let ends = vec![
                (layout.plot.horizontal.range.0, line.y),
                (layout.plot.horizontal.range.1, line.y),
            ];
            let look = Look::Line { series: count + index, width: 1.6, dashed: true };
            draw(Element::new(ends, look))?;
        }
        // The first series is on top, as it is first in the legend.
        for (index, series) in self.series.iter().enumerate().rev() {
            let aside = layout.apart * (index as f64 - (count as f64 - 1.0) / 2.0);
            if series.style != Style::Points && !matches!(self.places, Places::Names(_)) {
                let runs = series.points.split(|point| !finite(point));
                for run in runs.filter(|run| run.len() > 1) {
                    let points = run.iter().map(|point| (point.x, point.y)).collect();
                    let dashed = series.style == Style::Dashed;
                    let look = Look::Line { series: index, width: 2.0, dashed };
                    draw(Element { aside, ..Element::new(points, look) })?;
                }
            }
            for point in series.points.iter().filter(|point| finite(point)) {
                if let Some(deviation) = point.deviation.filter(|deviation| is_drawn(*deviation)) {
                    let ends = vec![(point.x, point.y - deviation), (point.x, point.y + deviation)];
                    let look = Look::Whisker { series: index, cap: 0.8 * layout.radius };
                    draw(Element { aside, ..Element::new(ends, look) })?;
                }
                let look = Look::Symbol { series: index, radius: layout.radius };
                let datum = Some(self.datum(series, point));
                draw(Element { aside, datum, ..Element::new(vec![(point.x, point.y)], look) })?;
            }
        }
        Ok(())
    }

    fn datum(&self, series: &Series, point: &Point) -> Datum {
        let place = match &self.places {
            Places::Names(names) => names[point.x as usize].clone(),
            _ => short_number(point.x),
        };
        let mut attributes = vec![
            ("series", series.name.clone()),
            ("x", place.clone()),
            // All digits: a page may compare them with the numbers that were drawn.
            ("y", point.y.to_string()),
        ];
        let y = short_number((point.y * 1e4).round() / 1e4);
        let mut tooltip = format!("{}, {} {place}: {y}", series.name, self.x_label);
        if let Some(deviation) = point.deviation {
            attributes.push(("deviation", deviation.to_string()));
            tooltip += &format!(" ± {}", short_number((deviation * 1e4).round() / 1e4));
        }
        Datum { attributes, tooltip: tooltip.trim_start_matches(", ").to_owned() }
    }
}

fn finite(point: &Point) -> bool {
    is_drawn(point.x) && is_drawn(point.y)
}

fn refuse<T>(problem: String) -> Result<T, ReportError> {
    Err(ReportError::Figure { figure: KIND, problem })
}

/// Where everything goes, in units.
struct Layout {
    plot: Plot,
    radius: f64,
    apart: f64,
    points: usize,
}

impl Layout {
    /// `None` without a finite point.
    fn new(chart: &LineChart) -> Option<Self> {
        let all = || {
            let points = chart.series.iter().flat_map(|series| &series.points);
            points.filter(|point| finite(point))
        };
        let points = all().count();
        if points == 0 {
            return None;
        }
        let ends = all().flat_map(|point| {
            let deviation = point.deviation.filter(|deviation| is_drawn(*deviation)).unwrap_or(0.0);
            [point.y - deviation, point.y + deviation]
        });
        let ends = ends.chain(chart.references.iter().map(|line| line.y).filter(|y| is_drawn(*y)));
        let (low, high) = bounds(ends.chain(chart.from_zero.then_some(0.0)));
        let vertical = Values::around(low, high, 8).axis(&chart.y_label);
        let left = Plot::left(&vertical.name, PLOT_HEIGHT, vertical.labels.widest());
        let length = chart.width() - RIGHT - left;

        let densest = chart.series.iter().map(|series| series.points.len()).max().unwrap_or(1);
        let radius = (0.32 * length / densest.max(1) as f64).clamp(RADIUS.0, RADIUS.1);
        let mut points_drawn = chart.series.iter().flat_map(|series| &series.points);
        let bars = points_drawn.any(|point| point.deviation.is_some());
        let count = chart.series.len().max(1) as f64;
        let slot = |places: usize| length / places.max(1) as f64 / count;
        let apart = match (&chart.places, bars) {
            (Places::Names(names), _) => APART.1.min(0.7 * slot(names.len())),
            (_, true) => APART.0.min(0.3 * slot(densest)),
            _ => 0.0,
        };
        let horizontal = match &chart.places {
            Places::Names(names) => {
                let labels = Labels::below(names, length / names.len() as f64, LABEL, left);
                Axis::places(chart.x_label.clone(), labels, false)
            }
            _ => {
                horizontal(chart, (left, length), bounds(all().map(|point| point.x)), apart * count)
            }
        };
        let head = Head::new(&chart.title, &chart.note, entries(chart), chart.width());
        let plot = Plot::new(head, horizontal, vertical, (length, PLOT_HEIGHT));
        Some(Self { plot, radius, apart, points })
    }
}

/// The axis of numbers, with room for points that lie side by side at its ends.
fn horizontal(
    chart: &LineChart,
    (left, length): (f64, f64),
    (low, high): (f64, f64),
    beside: f64,
) -> Axis {
    let logarithmic = chart.logarithmic();
    let along = |x: f64| if logarithmic { x.ln() } else { x };
    let back = |x: f64| if logarithmic { x.exp() } else { x };
    let wished = match &chart.places {
        Places::Ticks { ticks, .. } => &ticks[..],
        _ => &[],
    };
    let (low, high) = bounds([low, high].into_iter().chain(wished.iter().copied()));
    let (first, last) = (along(low), along(high));
    let share = (0.03 + beside / 2.0 / length).min(0.4);
    let margin = if last > first { share / (1.0 - 2.0 * share) * (last - first) } else { 0.5 };
    let range = (back(first - margin), back(last + margin));
    let whole =
        chart.series.iter().flat_map(|series| &series.points).all(|point| point.x.fract() == 0.0);
    let ticks = match &chart.places {
        Places::Ticks { ticks, .. } => {
            let mut ticks = ticks.clone();
            ticks.sort_by(f64::total_cmp);
            ticks.dedup();
            ticks
        }
        _ => ticks(range, whole, 10),
    };
    let place =
        |&tick: &f64| (along(tick) - along(range.0)) / (along(range.1) - along(range.0)) * length;
    let places: Vec<f64> = ticks.iter().map(place).collect();
    let texts = ticks.iter().map(|&tick| short_number(tick)).collect();
    let labels = Labels::numbers(texts, &places, LABEL, (-left, length + RIGHT));
    let scale = if logarithmic { " (logarithmic)" } else { "" };
    Axis { name: format!("{}{scale}", chart.x_label), range, logarithmic, ticks, labels }
}

fn bounds(numbers: impl Iterator<Item = f64>) -> (f64, f64) {
    numbers.fold((f64::INFINITY, f64::NEG_INFINITY), |(low, high), number| {
        (low.min(number), high.max(number))
    })
}

fn entries(chart: &LineChart) -> Vec<Entry> {
    let joined = !matches!(chart.places, Places::Names(_));
    let series = chart.series.iter().enumerate().map(|(index, series)| {
        let line =
            (joined && series.style != Style::Points).then_some(series.style == Style::Dashed);
        Entry {
            name: series.name.clone(),
            sample: Sample::Series { series: index, symbol: true, line },
        }
    });
    let count = chart.series.len();
    let lines = chart.references.iter().enumerate().map(|(index, line)| Entry {
        name: format!("{} ({})", line.name, short_number((line.y * 100.0).round() / 100.0)),
        sample: Sample::Series { series: count + index, symbol: false, line: Some(true) },
    });
    let single = count == 1 && chart.references.is_empty();
    if single { Vec::new() } else { series.chain(lines).collect() }
}

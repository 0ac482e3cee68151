use plotters::style::text_anchor::{HPos, VPos};

use super::{
    Figure,
    axis::{Axis, Labels, RIGHT, Values, is_drawn, short_number},
    canvas::{Area, Canvas, Datum, Drawn, STEPS},
    colours::{INK, MOST_SERIES},
    elements::{Element, Look},
    head::{Entry, Head, Sample, drawn, style, text},
    plot::{Plane, Plot},
    text::{LEADING, shorten, width},
};
use crate::ReportError;

const KIND: &str = "scatter plot";
/// In units.
const WIDTH: f64 = 640.0;
const PLOT_HEIGHT: f64 = 360.0;
const RADIUS: f64 = 5.0;
const NAME: f64 = 13.0;
/// The longest name of a point, in ems.
const LONGEST: f64 = 12.0;
const MOST_POINTS: usize = 20_000;

/// Points with names, in groups: runs by cost and accuracy, for example.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Scatter {
    /// The title, of up to three lines.
    pub title: String,
    /// A note about the numbers, of one or two lines below the title.
    pub note: String,
    /// The name of the horizontal axis, with the unit.
    pub x_label: String,
    /// The name of the vertical axis, with the unit.
    pub y_label: String,
    /// The groups, in the order of the legend.
    pub groups: Vec<Group>,
}

/// Points of one colour and symbol.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Group {
    /// Its name in the legend.
    pub name: String,
    /// The points. Those that are not finite are left out.
    pub points: Vec<NamedPoint>,
}

/// A point with a name.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct NamedPoint {
    /// Its name, which is shown beside it if there is room.
    pub name: String,
    /// Its horizontal position.
    pub x: f64,
    /// Its vertical position.
    pub y: f64,
}

/// Left, upper, right and lower end.
type Box4 = (f64, f64, f64, f64);

impl Scatter {
    /// Draws the points. A single group needs no legend.
    ///
    /// # Errors
    /// [`ReportError::Figure`] without any finite point, and for more than 20,000 points or 168 groups.
    pub fn draw(&self) -> Result<Figure, ReportError> {
        let refuse = |problem: String| Err(ReportError::Figure { figure: KIND, problem });
        let groups = self.groups.len();
        let all =
            || self.groups.iter().flat_map(|group| &group.points).filter(|point| finite(point));
        let points = all().count();
        if points == 0 {
            return refuse("there is nothing to draw: it needs at least one point".to_owned());
        }
        if points > MOST_POINTS || groups > MOST_SERIES {
            return refuse(format!(
                "{points} points in {groups} groups; {MOST_POINTS} in {MOST_SERIES} can be drawn"
            ));
        }
        let ends = |of: fn(&NamedPoint) -> f64| {
            all().map(of).fold((f64::INFINITY, f64::NEG_INFINITY), |(low, high), value| {
                (low.min(value), high.max(value))
            })
        };
        let plot = self.plot(ends(|point| point.x), ends(|point| point.y));
        let canvas = Canvas::new(WIDTH, plot.height(), points);
        self.draw_on(&canvas.area(), &plot)
            .map_err(|error| ReportError::Figure { figure: KIND, problem: error.to_string() })?;
        let description =
            format!("{} by {}: {points} points in {groups} groups.", self.y_label, self.x_label);
        Ok(canvas.finish(KIND, &self.title, description))
    }

    fn plot(&self, xs: (f64, f64), ys: (f64, f64)) -> Plot {
        let vertical = Values::around(ys.0, ys.1, 8).axis(&self.y_label);
        let left = Plot::left(&vertical.name, PLOT_HEIGHT, vertical.labels.widest());
        let length = WIDTH - RIGHT - left;
        let horizontal = Values::around(xs.0, xs.1, 8).axis(&self.x_label);
        let places: Vec<f64> =
            horizontal.ticks.iter().map(|&tick| horizontal.share(tick) * length).collect();
        let labels = horizontal.labels;
        let labels = Labels::numbers(labels.texts, &places, labels.size, (-left, length + RIGHT));
        let horizontal = Axis { labels, ..horizontal };
        let entry = |(series, group): (usize, &Group)| Entry {
            name: group.name.clone(),
            sample: Sample::Series { series, symbol: true, line: None },
        };
        let entries = if self.groups.len() == 1 {
            Vec::new()
        } else {
            self.groups.iter().enumerate().map(entry).collect()
        };
        let head = Head::new(&self.title, &self.note, entries, WIDTH);
        Plot::new(head, horizontal, vertical, (length, PLOT_HEIGHT))
    }

    fn draw_on(&self, area: &Area, plot: &Plot) -> Drawn {
        let chart = plot.draw(area)?;
        let mut taken: Vec<Box4> = Vec::new();
        for (index, group) in self.groups.iter().enumerate() {
            for point in group.points.iter().filter(|point| finite(point)) {
                let (x, y) = place(&chart, point);
                taken.push((x - RADIUS, y - RADIUS, x + RADIUS, y + RADIUS));
                let look = Look::Symbol { series: index, radius: RADIUS };
                let shown = |value: f64| short_number((value * 1e4).round() / 1e4);
                let datum = Datum {
                    attributes: vec![
                        ("series", group.name.clone()),
                        ("name", point.name.clone()),
                        ("x", point.x.to_string()),
                        ("y", point.y.to_string()),
                    ],
                    tooltip: format!(
                        "{}: {} {}, {} {}",
                        point.name,
                        self.x_label,
                        shown(point.x),
                        self.y_label,
                        shown(point.y)
                    ),
                };
                let element =
                    Element { datum: Some(datum), ..Element::new(vec![(point.x, point.y)], look) };
                drawn(chart.plotting_area().draw(&element))?;
            }
        }
        let (left, top) = plot.corner();
        let plane = (left, top, left + plot.size.0, top + plot.size.1);
        for point in
            self.groups.iter().flat_map(|group| &group.points).filter(|point| finite(point))
        {
            draw_name(area, point, place(&chart, point), plane, &mut taken)?;
        }
        Ok(())
    }
}

/// Writes a name to the right or left of its point, above or below it, where it touches nothing; omits it if there is
/// no room.
fn draw_name(
    area: &Area,
    point: &NamedPoint,
    (x, y): (f64, f64),
    plane: Box4,
    taken: &mut Vec<Box4>,
) -> Drawn {
    let name = shorten(&point.name, NAME, LONGEST * NAME);
    if name.is_empty() {
        return Ok(());
    }
    let (length, height, gap) = (width(&name, NAME), LEADING * NAME, RADIUS + 3.0);
    let middle = y - height / 2.0;
    let corners = [
        (x + gap, middle),
        (x - gap - length, middle),
        (x - length / 2.0, y - gap - height),
        (x - length / 2.0, y + gap),
    ];
    let free = corners
        .into_iter()
        .map(|(left, top)| (left, top, left + length, top + height))
        .find(|place| {
            let inside = place.0 >= plane.0
                && place.1 >= plane.1
                && place.2 <= plane.2
                && place.3 <= plane.3;
            let touches = |other: &Box4| {
                place.0 < other.2 && other.0 < place.2 && place.1 < other.3 && other.1 < place.3
            };
            inside && !taken.iter().any(touches)
        });
    let Some(place) = free else { return Ok(()) };
    taken.push(place);
    let style = style(NAME, &INK, HPos::Left, VPos::Center);
    text(area, &name, &style, (place.0, f64::midpoint(place.1, place.3)))
}

fn place(chart: &Plane<'_>, point: &NamedPoint) -> (f64, f64) {
    let (x, y) = chart.backend_coord(&(point.x, point.y));
    (f64::from(x) / STEPS, f64::from(y) / STEPS)
}

fn finite(point: &NamedPoint) -> bool {
    is_drawn(point.x) && is_drawn(point.y)
}

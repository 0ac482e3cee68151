//! Points with error bars: drawn on our own canvas, because the text that is measured, shortened and
//! turned is there already; plotters would bring another, and ticks that are not the values of a sweep.

mod layout;
mod marks;
mod scale;

use image::{Rgb, RgbImage};

use self::{layout::Layout, scale::Vertical};
use super::{
    canvas::{Area, INK, WHITE, fill},
    text::{self, Align, Direction, Style},
};
use crate::{ReportError, sweep::Spread};

const FIGURE: &str = "chart";
const GRID: Rgb<u8> = Rgb([226, 226, 226]);
const SECONDARY: Rgb<u8> = Rgb([96, 96, 96]);

/// Numbers with their deviations, by a number or name and in several series.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Chart {
    /// The title, in up to two lines.
    pub title: String,
    /// A line below the title: what the bars are, for example.
    pub note: String,
    /// What `x` is.
    pub x_axis: String,
    /// Where the points are. If all of them are numbers, they lie at their distances (logarithmic ones
    /// where the largest is eight times the smallest or more) and lines join the points of a series.
    pub x: Vec<String>,
    /// What the points are, with their unit.
    pub y_axis: String,
    /// The series.
    pub series: Vec<Series>,
}

/// The points of one colour.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Series {
    /// What the legend calls it.
    pub name: String,
    /// A point for each of the chart's `x`, where there is one.
    pub points: Vec<Option<Spread>>,
}

/// Draws the points, with a bar of one deviation up and down. Series differ by colour and by the shape of
/// their points; a single one has no legend. The vertical axis begins near the lowest point, not at zero.
///
/// # Errors
/// [`ReportError::Figure`] without any point, with more than 100 places or 35 series, and for a series
/// with more or fewer points than places.
pub fn chart(chart: &Chart) -> Result<RgbImage, ReportError> {
    check(chart)?;
    let Some(vertical) = Vertical::new(chart) else {
        return refuse("there is nothing to draw: it needs at least one point".to_owned());
    };
    let layout = Layout::new(chart, &vertical);
    let mut image = RgbImage::from_pixel(layout.width, layout.height, WHITE);
    draw_head(&mut image, chart, &layout);
    draw_grid(&mut image, chart, &layout, &vertical);
    draw_places(&mut image, &layout);
    marks::draw(&mut image, chart, &layout, &vertical);
    Ok(image)
}

/// What is wrong with the chart, whatever its points are.
pub(crate) fn check(chart: &Chart) -> Result<(), ReportError> {
    let (places, count) = (chart.x.len(), chart.series.len());
    if places > layout::MOST_PLACES || count > marks::MOST {
        let (most, series) = (layout::MOST_PLACES, marks::MOST);
        return refuse(format!(
            "{places} places and {count} series; {most} and {series} can be told apart"
        ));
    }
    match chart.series.iter().find(|series| series.points.len() != places) {
        Some(Series { name, points }) => {
            let points = points.len();
            refuse(format!("series {name:?} has {points} points for {places} places"))
        }
        None => Ok(()),
    }
}

fn refuse<T>(problem: String) -> Result<T, ReportError> {
    Err(ReportError::Figure { figure: FIGURE, problem })
}

/// Title, note and legend.
fn draw_head(image: &mut RgbImage, chart: &Chart, layout: &Layout) {
    let middle = layout.plot.centre().0;
    for (line, y) in &layout.title {
        text::draw(image, line, (middle, *y), style(layout::TITLE, INK, Align::Centre));
    }
    if let Some((note, y)) = &layout.note {
        text::draw(image, note, (middle, *y), style(layout::NOTE, SECONDARY, Align::Centre));
    }
    for (index, entry) in layout.legend.iter().enumerate() {
        let (x, y) = entry.at;
        let line = layout.horizontal.numeric.then_some(layout.sample);
        marks::sample(image, index, (x + layout.sample / 2.0, y), line);
        let x = x + layout.sample + layout::GAP as f32;
        text::draw(image, &entry.name, (x, y), style(layout::TEXT, INK, Align::Start));
    }
    let y_axis = text::shorten(&chart.y_axis, layout::TEXT, layout.plot.height as f32 * 1.2);
    let upright = Style { direction: Direction::Up, ..style(layout::TEXT, INK, Align::Centre) };
    text::draw(image, &y_axis, (layout.y_axis_x, layout.plot.centre().1), upright);
}

fn draw_grid(image: &mut RgbImage, chart: &Chart, layout: &Layout, vertical: &Vertical) {
    let plot = layout.plot;
    for (index, (share, label)) in vertical.ticks().iter().enumerate() {
        let y = layout.y(*share);
        let (colour, height) = if index == 0 { (INK, 2) } else { (GRID, 1) };
        fill(image, Area { top: y as u32, height, ..plot }, colour);
        let at = ((plot.left - layout::GAP) as f32, y);
        text::draw(image, label, at, style(layout::LABEL, INK, Align::End));
    }
    let x_axis = match layout.horizontal.logarithmic {
        true => format!("{} (logarithmic)", chart.x_axis),
        false => chart.x_axis.clone(),
    };
    let x_axis = text::shorten(&x_axis, layout::TEXT, plot.width as f32);
    let at = (plot.centre().0, layout.x_axis_y);
    text::draw(image, &x_axis, at, style(layout::TEXT, INK, Align::Centre));
}

/// The ticks and labels of the horizontal axis.
fn draw_places(image: &mut RgbImage, layout: &Layout) {
    let bottom = layout.plot.top + layout.plot.height;
    let align = match layout.direction {
        Direction::Level => Align::Centre,
        Direction::Slanted | Direction::Up => Align::End,
    };
    let label = Style { direction: layout.direction, ..style(layout::LABEL, INK, align) };
    let y = (bottom + layout::TICK + layout::GAP) as f32 + 0.45 * layout::LABEL;
    let mut free = f32::NEG_INFINITY;
    for (lines, &share) in layout.labels.iter().zip(&layout.horizontal.places) {
        let x = layout.x(share);
        fill(image, Area { left: x as u32 - 1, top: bottom, width: 2, height: layout::TICK }, INK);
        // Numbers may lie close together: the first of those that would touch has its label.
        let width = |line: &String| text::width(line, layout::LABEL);
        let half = lines.iter().map(width).fold(0.0, f32::max) / 2.0;
        if layout.direction == Direction::Level && x - half < free {
            continue;
        }
        free = x + half + layout::GAP as f32 / 2.0;
        for (index, line) in lines.iter().enumerate() {
            let down = index as f32 * text::line_height(layout::LABEL) as f32;
            text::draw(image, line, (x, y + down), label);
        }
    }
}

fn style(size: f32, colour: Rgb<u8>, align: Align) -> Style {
    Style { size, colour, align, direction: Direction::Level }
}

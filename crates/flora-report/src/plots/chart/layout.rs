//! Where everything goes, in pixels.

use super::{
    super::{
        canvas::Area,
        text::{self, Direction, line_height, shorten, wrap},
    },
    Chart,
    scale::{Horizontal, Vertical},
};

/// Of the whole figure; the height is that of one with a title, a note and a line of legend at most.
const WIDTH: u32 = 1600;
const PLOT_HEIGHT: u32 = 640;
const MARGIN: u32 = 44;
pub(super) const GAP: u32 = 14;
pub(super) const TICK: u32 = 8;
/// Sizes of text in pixels an em.
pub(super) const TITLE: f32 = 38.0;
pub(super) const TEXT: f32 = 30.0;
pub(super) const LABEL: f32 = 28.0;
pub(super) const NOTE: f32 = 25.0;
const TITLE_LINES: usize = 2;
/// The longest label of a place and entry of the legend, in ems.
const LONGEST_LABEL: f32 = 12.0;
const LONGEST_ENTRY: f32 = 30.0;
/// Lines that a label may have.
const LABEL_LINES: usize = 2;
/// Width of a line in the legend, and of a point without a line.
const SAMPLE: (f32, f32) = (64.0, 28.0);
pub(super) const MOST_PLACES: usize = 100;

pub(super) struct Layout {
    pub(super) width: u32,
    pub(super) height: u32,
    /// Lines and the heights of their middles.
    pub(super) title: Vec<(String, f32)>,
    pub(super) note: Option<(String, f32)>,
    pub(super) legend: Vec<Entry>,
    pub(super) plot: Area,
    pub(super) horizontal: Horizontal,
    /// The lines of each place's label; one where they are not level.
    pub(super) labels: Vec<Vec<String>>,
    /// That of the labels of the places.
    pub(super) direction: Direction,
    /// Width of what the legend shows of a series.
    pub(super) sample: f32,
    pub(super) x_axis_y: f32,
    pub(super) y_axis_x: f32,
}

/// A line of the legend.
pub(super) struct Entry {
    pub(super) name: String,
    /// The left end of its sample, and the middle of its height.
    pub(super) at: (f32, f32),
}

impl Layout {
    pub(super) fn new(chart: &Chart, vertical: &Vertical) -> Self {
        let axis_label =
            vertical.ticks().iter().map(|(_, label)| text::width(label, LABEL)).fold(0.0, f32::max);
        let text_height = line_height(TEXT);
        let left = MARGIN + text_height + GAP + axis_label.ceil() as u32 + GAP;
        let plot_width = WIDTH - left - MARGIN;

        let horizontal = Horizontal::new(&chart.x);
        let sample = if horizontal.numeric { SAMPLE.0 } else { SAMPLE.1 };

        let mut top = MARGIN;
        let mut down = |height: u32| {
            let middle = top as f32 + height as f32 / 2.0;
            top += height;
            middle
        };
        let title = wrap(&chart.title, TITLE, plot_width as f32, TITLE_LINES);
        let title: Vec<_> =
            title.into_iter().map(|line| (line, down(line_height(TITLE)))).collect();
        let note = shorten(&chart.note, NOTE, plot_width as f32);
        let note = (!note.is_empty()).then(|| (note, down(line_height(NOTE))));
        let mut legend = Vec::new();
        if chart.series.len() > 1 {
            down(GAP);
            for line in entries(chart, plot_width as f32, sample) {
                let y = down(text_height + GAP / 2);
                let width = line.iter().map(|name| entry_width(name, sample)).sum::<f32>();
                let mut x = left as f32 + (plot_width as f32 - width + spacing()) / 2.0;
                for name in line {
                    let next = x + entry_width(&name, sample);
                    legend.push(Entry { name, at: (x, y) });
                    x = next;
                }
            }
        }
        if !(title.is_empty() && note.is_none() && legend.is_empty()) {
            down(2 * GAP);
        }
        let plot = Area { left, top, width: plot_width, height: PLOT_HEIGHT };

        let (labels, direction) = labels(chart, &horizontal, plot_width as f32);
        let lines = labels.iter().map(Vec::len).max().unwrap_or(1) as u32;
        let longest = labels.iter().flatten().map(|line| text::width(line, LABEL));
        let longest = longest.fold(0.0, f32::max);
        let label_height = match direction {
            Direction::Level => lines * line_height(LABEL),
            Direction::Slanted => (longest * std::f32::consts::FRAC_1_SQRT_2 + LABEL) as u32 + GAP,
            Direction::Up => longest as u32 + GAP,
        };
        let below = top + PLOT_HEIGHT + TICK + GAP + label_height + GAP / 2;
        Self {
            width: WIDTH,
            height: below + text_height + MARGIN,
            title,
            note,
            legend,
            plot,
            horizontal,
            labels,
            direction,
            sample,
            x_axis_y: (below + text_height / 2) as f32,
            y_axis_x: (MARGIN + text_height / 2) as f32,
        }
    }

    pub(super) fn x(&self, share: f32) -> f32 {
        self.plot.left as f32 + share * self.plot.width as f32
    }

    pub(super) fn y(&self, share: f32) -> f32 {
        (self.plot.top + self.plot.height) as f32 - share * self.plot.height as f32
    }
}

/// The labels of the places: level where all fit beside each other, in several lines if need be, else turned.
fn labels(chart: &Chart, horizontal: &Horizontal, width: f32) -> (Vec<Vec<String>>, Direction) {
    let short = |name: &String| shorten(name, LABEL, LONGEST_LABEL * LABEL);
    let whole = || chart.x.iter().map(|name| vec![short(name)]).collect();
    if horizontal.numeric {
        return (whole(), Direction::Level);
    }
    let slot = width / chart.x.len().max(1) as f32;
    let lines = |name: &String| {
        let lines = wrap(&short(name), LABEL, slot - GAP as f32, LABEL_LINES);
        // What does not fit is shortened a second time.
        (lines.join(" ") == short(name)).then_some(lines)
    };
    if let Some(labels) = chart.x.iter().map(lines).collect() {
        return (labels, Direction::Level);
    }
    let slanted = slot * std::f32::consts::FRAC_1_SQRT_2 >= LABEL;
    (whole(), if slanted { Direction::Slanted } else { Direction::Up })
}

/// From the start of an entry of the legend to the next.
fn entry_width(name: &str, sample: f32) -> f32 {
    sample + GAP as f32 + text::width(name, TEXT) + spacing()
}

fn spacing() -> f32 {
    3.0 * GAP as f32
}

/// The names of the series, in lines that fit the width.
fn entries(chart: &Chart, width: f32, sample: f32) -> Vec<Vec<String>> {
    let mut lines: Vec<Vec<String>> = Vec::new();
    let mut used = f32::INFINITY;
    for series in &chart.series {
        let name = shorten(&series.name, TEXT, LONGEST_ENTRY * TEXT);
        let entry = entry_width(&name, sample);
        if used + entry - spacing() > width {
            lines.push(Vec::new());
            used = 0.0;
        }
        used += entry;
        lines.last_mut().expect("the first entry begins a line").push(name);
    }
    lines
}

//! The head of a plot: title, note and legend.

use plotters::style::{
    Color, IntoFont, RGBColor, TextStyle,
    text_anchor::{HPos, Pos, VPos},
};

use super::{
    canvas::{Area, Drawn, steps},
    colours::{INK, MUTED},
    elements::{Element, Look},
    text::{LEADING, shorten, width, wrap},
};

pub(super) const MARGIN: f64 = 14.0;
const GAP: f64 = 6.0;
/// Sizes of text in units.
const TITLE: f64 = 19.0;
const NOTE: f64 = 14.0;
pub(super) const ENTRY: f64 = 15.0;
const TITLE_LINES: usize = 3;
const NOTE_LINES: usize = 2;
/// Between entries of the legend.
const BETWEEN: f64 = 16.0;
/// The longest name in the legend, in ems.
const LONGEST: f64 = 24.0;

/// A line of the legend: a name and what stands for it.
pub(super) struct Entry {
    pub(super) name: String,
    pub(super) sample: Sample,
}

pub(super) enum Sample {
    /// A symbol, on a line if there is one: dashed or not.
    Series {
        series: usize,
        symbol: bool,
        line: Option<bool>,
    },
    Swatch(RGBColor),
}

impl Sample {
    fn width(&self) -> f64 {
        match self {
            Self::Series { line: Some(_), .. } => 34.0,
            _ => 14.0,
        }
    }
}

/// Title, note and legend, laid out for a width.
pub(super) struct Head {
    title: Vec<String>,
    note: Vec<String>,
    /// Entries with their left ends, line by line.
    legend: Vec<Vec<(f64, Entry)>>,
    width: f64,
}

impl Head {
    pub(super) fn new(title: &str, note: &str, entries: Vec<Entry>, total: f64) -> Self {
        let room = total - 2.0 * MARGIN;
        let length = |entry: &Entry| entry.sample.width() + GAP + width(&entry.name, ENTRY);
        let mut entries = entries;
        for entry in &mut entries {
            entry.name = shorten(&entry.name, ENTRY, (LONGEST * ENTRY).min(room - 50.0));
        }
        // In columns of one width, where there are several lines.
        let widest = entries.iter().map(length).fold(0.0, f64::max) + BETWEEN;
        let sum = entries.iter().map(|entry| length(entry) + BETWEEN).sum::<f64>();
        let columns = (((room + BETWEEN) / widest).floor().max(1.0) as usize).min(entries.len());
        let single = sum <= room + BETWEEN;
        let total_width = if single { sum } else { columns as f64 * widest };
        let start = (total - total_width + BETWEEN) / 2.0;
        let mut legend: Vec<Vec<(f64, Entry)>> = Vec::new();
        let mut next = start;
        for (index, entry) in entries.into_iter().enumerate() {
            if index == 0 || (!single && index % columns == 0) {
                legend.push(Vec::new());
                next = start;
            }
            let step = if single { length(&entry) + BETWEEN } else { widest };
            if let Some(line) = legend.last_mut() {
                line.push((next, entry));
            }
            next += step;
        }
        Self {
            title: wrap(title, TITLE, room, TITLE_LINES),
            note: wrap(note, NOTE, room, NOTE_LINES),
            legend,
            width: total,
        }
    }

    /// With the margins above and below it.
    pub(super) fn height(&self) -> f64 {
        let lines = |lines: usize, size: f64| lines as f64 * LEADING * size;
        let legend = lines(self.legend.len(), ENTRY + 2.0);
        let text = lines(self.title.len(), TITLE) + lines(self.note.len(), NOTE);
        MARGIN + text + if legend > 0.0 { legend + GAP } else { 0.0 } + 2.0 * GAP
    }

    pub(super) fn draw(&self, area: &Area) -> Drawn {
        let mut top = MARGIN;
        let texts = [(&self.title, TITLE, INK), (&self.note, NOTE, MUTED)];
        for (lines, size, colour) in texts {
            for line in lines {
                let style = style(size, &colour, HPos::Center, VPos::Top);
                text(area, line, &style, (self.width / 2.0, top))?;
                top += LEADING * size;
            }
        }
        top += GAP;
        for line in &self.legend {
            let middle = top + LEADING * (ENTRY + 2.0) / 2.0;
            for (left, entry) in line {
                let length = entry.sample.width();
                sample(area, &entry.sample, (*left, middle))?;
                let style = style(ENTRY, &INK, HPos::Left, VPos::Center);
                text(area, &entry.name, &style, (left + length + GAP, middle))?;
            }
            top += LEADING * (ENTRY + 2.0);
        }
        Ok(())
    }
}

fn sample(area: &Area, sample: &Sample, (left, middle): (f64, f64)) -> Drawn {
    let at = |x: f64, y: f64| (steps(x), steps(y));
    let draw = |points: Vec<(i32, i32)>, look: Look| drawn(area.draw(&Element::new(points, look)));
    match *sample {
        Sample::Series { series, symbol, line } => {
            let width = if line.is_some() { 34.0 } else { 14.0 };
            if let Some(dashed) = line {
                let ends = vec![at(left, middle), at(left + width, middle)];
                draw(ends, Look::Line { series, width: 2.0, dashed })?;
            }
            if symbol {
                let look = Look::Symbol { series, radius: 5.0 };
                draw(vec![at(left + width / 2.0, middle)], look)?;
            }
            Ok(())
        }
        Sample::Swatch(colour) => {
            let corners = vec![at(left, middle - 6.0), at(left + 13.0, middle + 6.0)];
            draw(corners, Look::Cell { colour })
        }
    }
}

/// A style of text with its anchor.
pub(super) fn style<'a>(size: f64, colour: &RGBColor, h: HPos, v: VPos) -> TextStyle<'a> {
    ("sans-serif", size * super::canvas::STEPS)
        .into_font()
        .color(&colour.to_rgba())
        .pos(Pos::new(h, v))
}

/// Draws text at a place in units.
pub(super) fn text(area: &Area, line: &str, style: &TextStyle<'_>, (x, y): (f64, f64)) -> Drawn {
    drawn(area.draw_text(line, style, (steps(x), steps(y))))
}

/// Plotters' error of an area as that of the canvas, which has none.
pub(super) fn drawn<T>(
    result: Result<T, plotters::drawing::DrawingAreaErrorKind<std::convert::Infallible>>,
) -> Result<T, plotters_backend::DrawingErrorKind<std::convert::Infallible>> {
    use plotters::drawing::DrawingAreaErrorKind as Kind;
    result.map_err(|error| match error {
        Kind::BackendError(error) => error,
        other => plotters_backend::DrawingErrorKind::FontError(Box::new(std::io::Error::other(
            other.to_string(),
        ))),
    })
}

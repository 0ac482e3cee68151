//! The canvas of plotters: SVG elements with attributes that plotters' own SVG lacks.
//!
//! Plotters' own backend for SVG is not enough: here, text is measured with the font that draws it (plotters assumes
//! 0.7 em per byte), data marks have a class, attributes and tooltips, pages can set the colours, and coordinates are
//! in tenths of a unit (plotters rounds to whole units).

use std::{cell::RefCell, convert::Infallible, fmt::Write, rc::Rc};

use plotters::{
    coord::Shift,
    drawing::{DrawingArea, IntoDrawingArea},
};
use plotters_backend::{
    BackendColor, BackendCoord, BackendStyle, BackendTextStyle, DrawingBackend, DrawingErrorKind,
    FontTransform,
    text_anchor::{HPos, VPos},
};

use super::{
    Figure,
    colours::{INK, paint},
    fonts::{fonts_for, width},
    text::{LEADING, clean, escape},
};

/// Steps of plotters' grid of whole numbers in a unit of the SVG.
pub(super) const STEPS: f64 = 10.0;
/// Pixels a unit in PNG files, and how long their longer side may be for it.
const SCALE: f64 = 2.5;
const LONGEST: f64 = 2_560.0;
/// With more marks than this they have no tooltips, so that pages stay small.
const MOST_TOOLTIPS: usize = 2_000;

pub(super) type Area = DrawingArea<Canvas, Shift>;
pub(super) type Drawn = Result<(), DrawingErrorKind<Infallible>>;

/// Units of the SVG as steps.
pub(super) fn steps(units: f64) -> i32 {
    (units * STEPS).round() as i32
}

/// What a mark stands for.
#[derive(Debug, Clone, Default)]
pub(super) struct Datum {
    /// Attributes by name, without `data-`.
    pub(super) attributes: Vec<(&'static str, String)>,
    /// What a browser shows below the pointer.
    pub(super) tooltip: String,
}

/// The elements drawn so far.
#[derive(Debug, Default)]
struct Sheet {
    body: String,
    marks: usize,
    lines: Vec<String>,
}

/// A sheet that plotters draws on.
#[derive(Debug, Clone)]
pub(super) struct Canvas {
    size: (u32, u32),
    tooltips: bool,
    sheet: Rc<RefCell<Sheet>>,
}

impl Canvas {
    /// An empty sheet of this size in units, for about so many marks.
    pub(super) fn new(width: f64, height: f64, marks: usize) -> Self {
        Self {
            size: (steps(width) as u32, steps(height) as u32),
            tooltips: marks < MOST_TOOLTIPS,
            sheet: Rc::default(),
        }
    }

    /// Itself, for plotters to draw on.
    pub(super) fn area(&self) -> Area {
        self.clone().into_drawing_area()
    }

    /// The figure, once everything is drawn.
    pub(super) fn finish(self, kind: &'static str, title: &str, description: String) -> Figure {
        let Sheet { body, marks, lines } = self.sheet.take();
        let (system_fonts, missing) = fonts_for(lines.iter());
        let title = clean(title);
        let longest = f64::from(self.size.0.max(self.size.1)) / STEPS;
        // In quarters, so that lines of a unit look alike.
        let scale = ((LONGEST / longest).clamp(1.0, SCALE) * 4.0).floor() / 4.0;
        Figure {
            kind,
            width: f64::from(self.size.0) / STEPS,
            height: f64::from(self.size.1) / STEPS,
            title: if title.is_empty() { kind.to_owned() } else { title },
            description,
            body,
            marks,
            system_fonts,
            missing,
            scale: scale as f32,
        }
    }

    /// Adds an element that is complete but for its end: `<rect x="1"`. A mark has a class, attributes and a
    /// tooltip.
    pub(super) fn element(&mut self, name: &str, attributes: &str, datum: Option<&Datum>) {
        let mut sheet = self.sheet.borrow_mut();
        let Some(datum) = datum else {
            sheet.body += &format!("<{name}{attributes}/>\n");
            return;
        };
        sheet.marks += 1;
        let data = datum.attributes.iter().fold(String::new(), |mut all, (name, value)| {
            let _ = write!(all, " data-{name}=\"{}\"", escape(value));
            all
        });
        let end = if self.tooltips && !datum.tooltip.is_empty() {
            format!("><title>{}</title></{name}>\n", escape(&datum.tooltip))
        } else {
            "/>\n".to_owned()
        };
        sheet.body += &format!("<{name} class=\"mark\"{data}{attributes}{end}");
    }

    /// A line of ink that ends at a point, turned clockwise by degrees.
    pub(super) fn turned_text(&mut self, line: &str, size: f64, turn: f64, (x, y): BackendCoord) {
        let line = clean(line);
        if line.is_empty() {
            return;
        }
        let mut sheet = self.sheet.borrow_mut();
        let (x, y, down) = (number(x), number(y), number(steps(0.365 * size)));
        sheet.body += &format!(
            "<text y=\"{down}\" transform=\"translate({x} {y}) rotate({turn})\" font-size=\"{size}\" \
             text-anchor=\"end\" fill=\"{}\">{}</text>\n",
            paint((INK.0, INK.1, INK.2)),
            escape(&line)
        );
        sheet.lines.push(line);
    }

    fn shape<S: BackendStyle>(&mut self, name: &str, attributes: &str, style: &S, fill: bool) {
        let BackendColor { alpha, rgb } = style.color();
        if alpha == 0.0 {
            return;
        }
        let colour = paint(rgb);
        let mut attributes = attributes.to_owned();
        let (painted, other) = if fill { ("fill", "stroke") } else { ("stroke", "fill") };
        attributes += &format!(" {painted}=\"{colour}\"");
        if alpha < 1.0 {
            attributes += &format!(" {painted}-opacity=\"{alpha}\"");
        }
        if !fill {
            let width = number(style.stroke_width() as i32);
            attributes += &format!(" {other}=\"none\" stroke-width=\"{width}\"");
        }
        self.element(name, &attributes, None);
    }
}

/// Steps as units.
pub(super) fn number(steps: i32) -> String {
    let (whole, tenth) = (steps / STEPS as i32, (steps % STEPS as i32).abs());
    let sign = if steps < 0 && whole == 0 { "-" } else { "" };
    if tenth == 0 { whole.to_string() } else { format!("{sign}{whole}.{tenth}") }
}

/// The commands of a path through the points.
pub(super) fn path(points: impl IntoIterator<Item = BackendCoord>, closed: bool) -> String {
    let mut path = String::new();
    for (index, (x, y)) in points.into_iter().enumerate() {
        let command = if index == 0 { 'M' } else { 'L' };
        let _ = write!(path, "{command}{} {}", number(x), number(y));
    }
    if closed { path + "Z" } else { path }
}

impl DrawingBackend for Canvas {
    type ErrorType = Infallible;

    fn get_size(&self) -> (u32, u32) {
        self.size
    }

    fn ensure_prepared(&mut self) -> Drawn {
        Ok(())
    }

    fn present(&mut self) -> Drawn {
        Ok(())
    }

    fn draw_pixel(&mut self, (x, y): BackendCoord, colour: BackendColor) -> Drawn {
        self.draw_rect((x, y), (x + 1, y + 1), &colour, true)
    }

    fn draw_line<S: BackendStyle>(
        &mut self,
        from: BackendCoord,
        to: BackendCoord,
        style: &S,
    ) -> Drawn {
        self.draw_path([from, to], style)
    }

    fn draw_path<S: BackendStyle, I: IntoIterator<Item = BackendCoord>>(
        &mut self,
        points: I,
        style: &S,
    ) -> Drawn {
        self.shape("path", &format!(" d=\"{}\"", path(points, false)), style, false);
        Ok(())
    }

    fn draw_rect<S: BackendStyle>(
        &mut self,
        (left, top): BackendCoord,
        (right, bottom): BackendCoord,
        style: &S,
        fill: bool,
    ) -> Drawn {
        let attributes = rectangle((left, top), (right, bottom));
        self.shape("rect", &attributes, style, fill);
        Ok(())
    }

    fn draw_circle<S: BackendStyle>(
        &mut self,
        (x, y): BackendCoord,
        radius: u32,
        style: &S,
        fill: bool,
    ) -> Drawn {
        let (x, y, radius) = (number(x), number(y), number(radius as i32));
        let attributes = format!(" cx=\"{x}\" cy=\"{y}\" r=\"{radius}\"");
        self.shape("circle", &attributes, style, fill);
        Ok(())
    }

    fn fill_polygon<S: BackendStyle, I: IntoIterator<Item = BackendCoord>>(
        &mut self,
        points: I,
        style: &S,
    ) -> Drawn {
        self.shape("path", &format!(" d=\"{}\"", path(points, true)), style, true);
        Ok(())
    }

    /// Text of one or more lines. The anchor is that of the text before it is turned.
    fn draw_text<S: BackendTextStyle>(
        &mut self,
        text: &str,
        style: &S,
        (x, y): BackendCoord,
    ) -> Drawn {
        let size = style.size() / STEPS;
        let anchor = style.anchor();
        let align = match anchor.h_pos {
            HPos::Left => "start",
            HPos::Center => "middle",
            HPos::Right => "end",
        };
        let turn = match style.transform() {
            FontTransform::None => 0,
            FontTransform::Rotate90 => 90,
            FontTransform::Rotate180 => 180,
            FontTransform::Rotate270 => 270,
        };
        let lines: Vec<String> = text.lines().map(clean).collect();
        // From the anchor to the first baseline: digits and capitals are 0.73 em high.
        let below = (lines.len().saturating_sub(1)) as f64 * LEADING;
        let down = match anchor.v_pos {
            VPos::Top => 0.95,
            VPos::Center => 0.365 - below / 2.0,
            VPos::Bottom => -0.25 - below,
        };
        let colour = paint(style.color().rgb);
        for (index, line) in lines.into_iter().enumerate() {
            if line.is_empty() {
                continue;
            }
            let down = steps((down + index as f64 * LEADING) * size);
            let place = if turn == 0 {
                format!(" x=\"{}\" y=\"{}\"", number(x), number(y + down))
            } else {
                format!(
                    " y=\"{}\" transform=\"translate({} {}) rotate({turn})\"",
                    number(down),
                    number(x),
                    number(y)
                )
            };
            let mut sheet = self.sheet.borrow_mut();
            sheet.body += &format!(
                "<text{place} font-size=\"{size}\" text-anchor=\"{align}\" fill=\"{colour}\">{}</text>\n",
                escape(&line)
            );
            sheet.lines.push(line);
        }
        Ok(())
    }

    fn estimate_text_size<S: BackendTextStyle>(
        &self,
        text: &str,
        style: &S,
    ) -> Result<(u32, u32), DrawingErrorKind<Infallible>> {
        let size = style.size() / STEPS;
        let widest = text.lines().map(|line| width(line, size)).fold(0.0, f64::max);
        let height = text.lines().count().max(1) as f64 * LEADING * size;
        Ok((steps(widest).max(0) as u32, steps(height).max(0) as u32))
    }
}

/// The attributes of a rectangle.
pub(super) fn rectangle((left, top): BackendCoord, (right, bottom): BackendCoord) -> String {
    let ((left, right), (top, bottom)) =
        ((left.min(right), left.max(right)), (top.min(bottom), top.max(bottom)));
    format!(
        " x=\"{}\" y=\"{}\" width=\"{}\" height=\"{}\"",
        number(left),
        number(top),
        number(right - left),
        number(bottom - top)
    )
}

//! Two axes with their names, and the plane between them.

use plotters::{
    chart::{ChartBuilder, ChartContext, LabelAreaPosition},
    coord::cartesian::Cartesian2d,
    style::{
        Color, RGBColor, ShapeStyle,
        text_anchor::{HPos, VPos},
    },
};
use plotters_backend::DrawingErrorKind;

use super::{
    axis::{Axis, RIGHT, Turn},
    canvas::{Area, Canvas, Drawn, STEPS, steps},
    colours::{GRID, INK},
    elements::{Element, Look},
    head::{ENTRY, Head, MARGIN, drawn, style},
    scale::Scale,
    text::{LEADING, wrap},
};

const TICK: f64 = 4.0;
const GAP: f64 = 6.0;
/// Lines of the name of an axis.
const NAME_LINES: usize = 2;

/// Where marks are drawn.
pub(super) type Plane<'a> = ChartContext<'a, Canvas, Cartesian2d<Scale, Scale>>;

/// A plot with its head, laid out; sizes in units.
pub(super) struct Plot {
    pub(super) head: Head,
    pub(super) horizontal: Axis,
    pub(super) vertical: Axis,
    /// Of the plane.
    pub(super) size: (f64, f64),
    /// Room to the right of the plane.
    pub(super) right: f64,
    /// Whether lines cross the plane at the vertical ticks.
    pub(super) grid: bool,
}

impl Plot {
    pub(super) fn new(head: Head, horizontal: Axis, vertical: Axis, size: (f64, f64)) -> Self {
        Self { head, horizontal, vertical, size, right: RIGHT, grid: true }
    }

    /// The room that an axis with these labels needs to the left of the plane, with the margin.
    pub(super) fn left(name: &str, length: f64, labels: f64) -> f64 {
        MARGIN + names(name, length).len() as f64 * LEADING * ENTRY + GAP + labels + 2.0 * TICK
    }

    fn left_room(&self) -> f64 {
        Self::left(&self.vertical.name, self.size.1, self.vertical.labels.widest())
    }

    fn room_below(&self) -> f64 {
        let lines = names(&self.horizontal.name, self.size.0).len() as f64;
        2.0 * TICK + self.horizontal.labels.height() + GAP + lines * LEADING * ENTRY
    }

    pub(super) fn width(&self) -> f64 {
        self.left_room() + self.size.0 + self.right
    }

    pub(super) fn height(&self) -> f64 {
        self.head.height() + self.size.1 + self.room_below() + MARGIN
    }

    /// The left and upper end of the plane.
    pub(super) fn corner(&self) -> (f64, f64) {
        (self.left_room(), self.head.height())
    }

    /// Draws everything but marks, which the caller draws on the plane.
    pub(super) fn draw<'a>(
        &self,
        area: &'a Area,
    ) -> Result<Plane<'a>, DrawingErrorKind<std::convert::Infallible>> {
        self.head.draw(area)?;
        let (left, below) = (self.left_room(), self.room_below());
        // The whole of the sheet's width may be more than the plot's, where the title is long.
        let (width, _) = area.dim_in_pixel();
        let right = f64::from(width) / STEPS - left - self.size.0;
        let mut chart = drawn(
            ChartBuilder::on(area)
                .margin_top(steps(self.head.height()))
                .margin_right(steps(right))
                .margin_left(steps(MARGIN))
                .margin_bottom(steps(MARGIN))
                .set_label_area_size(LabelAreaPosition::Left, steps(left - MARGIN))
                .set_label_area_size(LabelAreaPosition::Bottom, steps(below))
                .build_cartesian_2d(self.horizontal.scale(), self.vertical.scale()),
        )?;
        let mut mesh = chart.configure_mesh();
        mesh.disable_x_mesh()
            .bold_line_style(thin(&GRID))
            .axis_style(thin(&INK))
            .set_all_tick_mark_size(steps(TICK))
            .x_label_style(style(self.horizontal.labels.size, &INK, HPos::Center, VPos::Center))
            .y_label_style(style(self.vertical.labels.size, &INK, HPos::Center, VPos::Center))
            .axis_desc_style(style(ENTRY, &INK, HPos::Center, VPos::Center))
            .x_desc(names(&self.horizontal.name, self.size.0).join("\n"))
            .y_desc(names(&self.vertical.name, self.size.1).join("\n"));
        if !self.grid {
            mesh.disable_y_mesh();
        }
        drawn(mesh.draw())?;
        self.draw_turned(area)?;
        Ok(chart)
    }

    /// Labels that are not level: plotters centres those that it turns on the axis, and turns by right angles
    /// only.
    fn draw_turned(&self, area: &Area) -> Drawn {
        let labels = &self.horizontal.labels;
        if labels.turn == Turn::Level {
            return Ok(());
        }
        let (left, top) = self.corner();
        let y = top + self.size.1 + 2.0 * TICK;
        for (tick, label) in self.horizontal.ticks.iter().zip(&labels.texts) {
            let x = left + self.horizontal.share(*tick) * self.size.0;
            let (turn, down) = match labels.turn {
                Turn::Slanted => (-45.0, 0.3 * labels.size),
                _ => (-90.0, 0.0),
            };
            let look = Look::Text { line: label.clone(), size: labels.size, turn };
            drawn(area.draw(&Element::new(vec![(steps(x), steps(y + down))], look)))?;
        }
        Ok(())
    }
}

/// The lines of the name of an axis of this length.
fn names(name: &str, length: f64) -> Vec<String> {
    wrap(name, ENTRY, length, NAME_LINES)
}

/// A line one unit wide.
pub(super) fn thin(colour: &RGBColor) -> ShapeStyle {
    ShapeStyle { color: colour.to_rgba(), filled: false, stroke_width: STEPS as u32 }
}

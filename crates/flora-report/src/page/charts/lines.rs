use std::collections::BTreeMap;

use super::super::html::{Chart, Picture, Table};
use crate::{
    ReportError,
    figures::{Figure, LineChart, Point, Reference, Series, Style, is_drawn},
};

/// Values by round.
pub(in crate::page) struct Lines {
    pub(in crate::page) id: &'static str,
    pub(in crate::page) title: String,
    /// What there is to see, in a sentence.
    pub(in crate::page) says: String,
    /// What is on the y axis, with its unit.
    pub(in crate::page) y: &'static str,
    pub(in crate::page) lines: Vec<Line>,
    /// A value that does not change, and what it is.
    pub(in crate::page) level: Option<(String, f64)>,
    /// A value as the table shows it.
    pub(in crate::page) format: fn(f64) -> String,
}

/// One of the lines.
#[derive(Debug, Clone, Default)]
pub(in crate::page) struct Line {
    pub(in crate::page) name: String,
    /// Round and value.
    pub(in crate::page) points: Vec<(usize, f64)>,
}

impl Line {
    pub(in crate::page) fn new(
        name: impl Into<String>,
        points: impl IntoIterator<Item = (usize, f64)>,
    ) -> Self {
        Self { name: name.into(), points: points.into_iter().collect() }
    }
}

impl Lines {
    /// Another chart of the same quantity, to be filled in.
    pub(in crate::page) fn like(&self) -> Self {
        let (id, y, format) = (self.id, self.y, self.format);
        Self {
            id,
            title: String::new(),
            says: String::new(),
            y,
            lines: Vec::new(),
            level: None,
            format,
        }
    }

    /// The chart; `None` where there is no point.
    ///
    /// # Errors
    /// [`ReportError::Figure`].
    pub(in crate::page) fn chart(mut self) -> Result<Option<Chart>, ReportError> {
        // A damaged file may have any number.
        self.lines.iter_mut().for_each(|line| line.points.retain(|(_, y)| is_drawn(*y)));
        self.lines.retain(|line| !line.points.is_empty());
        if self.lines.is_empty() {
            return Ok(None);
        }
        let picture = Picture::Both { usual: self.draw(false)?, narrow: self.draw(true)? };
        let table = self.table();
        let Self { id, title, says, .. } = self;
        Ok(Some(Chart { id, title, says, picture, table }))
    }

    fn draw(&self, narrow: bool) -> Result<Figure, ReportError> {
        let series = |line: &Line| Series {
            name: line.name.clone(),
            points: line
                .points
                .iter()
                .map(|&(x, y)| Point { x: x as f64, y, deviation: None })
                .collect(),
            style: Style::Solid,
        };
        let level = |(name, y): &(String, f64)| Reference { name: name.clone(), y: *y };
        let chart = LineChart {
            x_label: "round".to_owned(),
            y_label: self.y.to_owned(),
            series: self.lines.iter().map(series).collect(),
            references: self.level.iter().map(level).collect(),
            narrow,
            // The page has the title.
            ..LineChart::default()
        };
        chart.draw()
    }

    fn table(&self) -> Table {
        let mut rows: BTreeMap<usize, Vec<Option<f64>>> = BTreeMap::new();
        for (at, line) in self.lines.iter().enumerate() {
            for &(x, y) in &line.points {
                rows.entry(x).or_insert_with(|| vec![None; self.lines.len()])[at] = Some(y);
            }
        }
        let names = self.lines.iter().map(|line| line.name.clone());
        let head = std::iter::once("round".to_owned()).chain(names);
        let mut table = Table::new(format!("{}: {} by round", self.title, self.y), head);
        for (round, values) in rows {
            let cell = |value: Option<f64>| value.map_or_else(|| "–".to_owned(), self.format);
            let cells = values.into_iter().map(cell);
            table.row(std::iter::once(round.to_string()).chain(cells));
        }
        if let Some((name, level)) = &self.level {
            table.notes.push(format!("{name}: {}", (self.format)(*level)));
        }
        table
    }
}

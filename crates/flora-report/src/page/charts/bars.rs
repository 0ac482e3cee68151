use super::super::html::{Chart, Picture, Table};
use crate::{
    ReportError,
    figures::{Figure, Part, StackedBars},
    units,
};

/// Parts of wholes, on top of each other.
pub(in crate::page) struct Bars {
    pub(in crate::page) id: &'static str,
    pub(in crate::page) title: String,
    /// What there is to see, in a sentence.
    pub(in crate::page) says: String,
    /// What the bars are, such as rounds.
    pub(in crate::page) x: &'static str,
    /// What is on the y axis.
    pub(in crate::page) y: Quantity,
    pub(in crate::page) bars: Vec<String>,
    /// A name, and a value for each bar.
    pub(in crate::page) parts: Vec<(String, Vec<f64>)>,
}

/// What bars are as high as.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(in crate::page) enum Quantity {
    Bytes,
    Seconds,
    /// How many, of these.
    Count(&'static str),
}

impl Quantity {
    /// The name of the axis, and what the values are divided by.
    fn axis(self, most: f64) -> (&'static str, f64) {
        match self {
            Self::Bytes => match most {
                most if most >= 1.5 * 1024f64.powi(3) => ("GiB", 1024f64.powi(3)),
                most if most >= 1.5 * 1024f64.powi(2) => ("MiB", 1024f64.powi(2)),
                most if most >= 1.5 * 1024.0 => ("KiB", 1024.0),
                _ => ("bytes", 1.0),
            },
            Self::Seconds => ("seconds", 1.0),
            Self::Count(what) => (what, 1.0),
        }
    }

    fn name(self) -> &'static str {
        match self {
            Self::Bytes => "bytes",
            Self::Seconds => "seconds",
            Self::Count(what) => what,
        }
    }

    /// A value as the table shows it.
    fn cell(self, value: f64) -> String {
        match self {
            Self::Bytes => units::bytes(value as u64),
            Self::Seconds => units::figure(value),
            Self::Count(_) => value.to_string(),
        }
    }
}

impl Bars {
    /// The chart; `None` where all values are 0.
    ///
    /// # Errors
    /// [`ReportError::Figure`].
    pub(in crate::page) fn chart(mut self) -> Result<Option<Chart>, ReportError> {
        self.parts.retain(|(_, values)| values.iter().any(|&value| value > 0.0));
        if self.parts.is_empty() {
            return Ok(None);
        }
        let picture = Picture::Both { usual: self.draw(false)?, narrow: self.draw(true)? };
        let table = self.table();
        let Self { id, title, says, .. } = self;
        Ok(Some(Chart { id, title, says, picture, table }))
    }

    fn draw(&self, narrow: bool) -> Result<Figure, ReportError> {
        let total = |bar| self.parts.iter().map(|(_, values)| values[bar]).sum::<f64>();
        let (unit, factor) = self.y.axis((0..self.bars.len()).map(total).fold(0.0, f64::max));
        let part = |(name, values): &(String, Vec<f64>)| Part {
            name: name.clone(),
            values: values.iter().map(|value| value / factor).collect(),
        };
        let figure = StackedBars {
            x_label: self.x.to_owned(),
            y_label: unit.to_owned(),
            places: self.bars.clone(),
            parts: self.parts.iter().map(part).collect(),
            narrow,
            // The page has the title.
            ..StackedBars::default()
        };
        figure.draw()
    }

    fn table(&self) -> Table {
        let names = self.parts.iter().map(|(name, _)| name.clone());
        let mut head: Vec<String> = std::iter::once(self.x.to_owned()).chain(names).collect();
        let has_sum = self.parts.len() > 1;
        head.extend(has_sum.then(|| "sum".to_owned()));
        let mut table = Table::new(format!("{}: {}", self.title, self.y.name()), head);
        for (at, bar) in self.bars.iter().enumerate() {
            let values: Vec<f64> = self.parts.iter().map(|(_, values)| values[at]).collect();
            let mut cells = vec![bar.clone()];
            cells.extend(values.iter().map(|&value| self.y.cell(value)));
            cells.extend(has_sum.then(|| self.y.cell(values.iter().sum())));
            table.row(cells);
        }
        table
    }
}

use super::super::html::{Chart, Table};
use crate::{
    ReportError,
    figures::{Part, StackedBars},
};

/// Parts of wholes, on top of each other.
pub(in crate::page) struct Bars {
    pub(in crate::page) id: &'static str,
    pub(in crate::page) title: String,
    /// What there is to see, in a sentence.
    pub(in crate::page) says: String,
    /// What the bars are, such as rounds.
    pub(in crate::page) x: &'static str,
    /// What is on the y axis, with its unit.
    pub(in crate::page) y: String,
    pub(in crate::page) bars: Vec<String>,
    /// A name, and a value for each bar.
    pub(in crate::page) parts: Vec<(String, Vec<f64>)>,
    /// A value as the table shows it.
    pub(in crate::page) format: fn(f64) -> String,
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
        let (svg, table) = (self.draw()?, self.table());
        let Self { id, title, says, .. } = self;
        Ok(Some(Chart { id, title, says, svg, table, wide: false }))
    }

    fn draw(&self) -> Result<String, ReportError> {
        let part = |(name, values): &(String, Vec<f64>)| Part {
            name: name.clone(),
            values: values.clone(),
        };
        let figure = StackedBars {
            x_label: self.x.to_owned(),
            y_label: self.y.clone(),
            places: self.bars.clone(),
            parts: self.parts.iter().map(part).collect(),
            // The page has the title.
            ..StackedBars::default()
        };
        Ok(figure.draw()?.inline(&format!("{}-svg", self.id)))
    }

    fn table(&self) -> Table {
        let names = self.parts.iter().map(|(name, _)| name.clone());
        let mut head: Vec<String> = std::iter::once(self.x.to_owned()).chain(names).collect();
        let has_sum = self.parts.len() > 1;
        head.extend(has_sum.then(|| "sum".to_owned()));
        let mut table = Table::new(format!("{}: {}", self.title, self.y), head);
        for (at, bar) in self.bars.iter().enumerate() {
            let values: Vec<f64> = self.parts.iter().map(|(_, values)| values[at]).collect();
            let mut cells = vec![bar.clone()];
            cells.extend(values.iter().map(|&value| (self.format)(value)));
            cells.extend(has_sum.then(|| (self.format)(values.iter().sum())));
            table.row(cells);
        }
        table
    }
}

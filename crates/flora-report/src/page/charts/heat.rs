use super::super::html::{Chart, Picture, Table};
use crate::{
    ReportError,
    figures::{Cell, Figure, HeatMap},
};

/// Heat maps with more columns than these take the whole width.
const MOST_BESIDE: usize = 16;

/// Counts by row and column.
pub(in crate::page) struct Heat {
    pub(in crate::page) id: &'static str,
    pub(in crate::page) title: String,
    /// What there is to see, in a sentence.
    pub(in crate::page) says: String,
    /// What rows and columns are.
    pub(in crate::page) of: [&'static str; 2],
    pub(in crate::page) rows: Vec<String>,
    pub(in crate::page) columns: Vec<String>,
    /// By row and column.
    pub(in crate::page) counts: Vec<Vec<u64>>,
}

impl Heat {
    /// The chart; `None` where it has no cells.
    ///
    /// # Errors
    /// [`ReportError::Figure`].
    pub(in crate::page) fn chart(self) -> Result<Option<Chart>, ReportError> {
        if self.rows.is_empty() || self.columns.is_empty() {
            return Ok(None);
        }
        let kind = match self.columns.len() > MOST_BESIDE {
            true => Picture::Wide,
            false => Picture::Single,
        };
        let (picture, table) = (kind(self.draw()?), self.table());
        let Self { id, title, says, .. } = self;
        Ok(Some(Chart { id, title, says, picture, table }))
    }

    fn draw(&self) -> Result<Figure, ReportError> {
        let most = self.counts.iter().flatten().copied().max().unwrap_or(0);
        // A count of nothing stays pale and without a number.
        let cell = |&count: &u64| Cell {
            value: Some(count as f64),
            count: Some(count).filter(|&count| count > 0),
        };
        let [rows, columns] = self.of;
        let figure = HeatMap {
            kind: "heat map",
            row_axis: rows.to_owned(),
            rows: self.rows.clone(),
            column_axis: columns.to_owned(),
            columns: self.columns.clone(),
            cells: self.counts.iter().flatten().map(cell).collect(),
            range: (0.0, most.max(1) as f64),
            scale: "images".to_owned(),
            square: rows != "client",
            // The page has the title.
            ..HeatMap::default()
        };
        figure.draw()
    }

    fn table(&self) -> Table {
        let [row, column] = self.of;
        let corner = format!("{row} \\ {column}");
        let head = std::iter::once(corner).chain(self.columns.iter().cloned());
        let mut table = Table::new(self.title.clone(), head);
        for (name, counts) in self.rows.iter().zip(&self.counts) {
            let cells = counts.iter().map(u64::to_string);
            table.row(std::iter::once(name.clone()).chain(cells));
        }
        table
    }
}

use super::super::html::{Chart, Table};
use crate::ReportError;

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
    pub(in crate::page) counts: Vec<Vec<f64>>,
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
        let wide = self.columns.len() > MOST_BESIDE;
        let (svg, table) = (self.draw()?, self.table());
        let Self { id, title, says, .. } = self;
        Ok(Some(Chart { id, title, says, svg, table, wide }))
    }

    fn draw(&self) -> Result<String, ReportError> {
        Ok(String::new())
    }

    fn table(&self) -> Table {
        let [row, column] = self.of;
        let corner = format!("{row} \\ {column}");
        let head = std::iter::once(corner).chain(self.columns.iter().cloned());
        let mut table = Table::new(self.title.clone(), head);
        for (name, counts) in self.rows.iter().zip(&self.counts) {
            let cells = counts.iter().map(f64::to_string);
            table.row(std::iter::once(name.clone()).chain(cells));
        }
        table
    }
}

//! A table for documents: one content, as Markdown and as LaTeX.

mod latex;
mod markdown;

use flora_core::text::printable;

use crate::tables::{Column as Kind, Listing, Page};

/// The text of a missing value.
const NONE: &str = "–";

/// A table with a caption. Its first columns are text on the left, the others numbers on the right.
pub(crate) struct Sheet {
    pub(crate) caption: String,
    rows: usize,
    stubs: usize,
    columns: Vec<Column>,
    /// Sentences below the table.
    notes: Vec<String>,
}

struct Column {
    /// Neighbours of one group share a heading; may be empty.
    group: String,
    title: String,
    cells: Vec<Option<String>>,
}

impl Column {
    /// Group and title.
    fn heading(&self) -> String {
        match self.group.as_str() {
            "" => self.title.clone(),
            group => format!("{group}: {}", self.title),
        }
    }
}

impl Sheet {
    /// A table without columns.
    pub(crate) fn new(caption: impl Into<String>, rows: usize) -> Self {
        Self { caption: caption.into(), rows, stubs: 0, columns: Vec::new(), notes: Vec::new() }
    }

    /// Adds a column of text, before all numbers.
    pub(crate) fn stub(&mut self, title: &str, cells: Vec<String>) {
        let cells = cells.into_iter().map(Some).collect();
        let (group, title) = (String::new(), title.to_owned());
        self.columns.insert(self.stubs, Column { group, title, cells });
        self.stubs += 1;
    }

    /// Adds a column of numbers, one for each row; one without any value is left out.
    pub(crate) fn column(&mut self, group: &str, title: &str, cells: Vec<Option<String>>) {
        debug_assert_eq!(cells.len(), self.rows);
        if cells.iter().any(Option::is_some) {
            self.columns.push(Column { group: group.to_owned(), title: title.to_owned(), cells });
        }
    }

    /// Adds a sentence below the table, which is shown even if the table has no rows.
    pub(crate) fn note(&mut self, note: String) {
        self.notes.push(note);
    }

    /// Whether there is no content.
    pub(crate) fn is_empty(&self) -> bool {
        self.rows == 0 && self.notes.is_empty()
    }

    /// The caption, the table and its notes, for a terminal; without rows and notes, nothing.
    pub(crate) fn listing(&self, page: Page) -> String {
        if self.is_empty() {
            return String::new();
        }
        let mut text = format!("{}\n", printable(&self.caption));
        if self.rows > 0 {
            text += &format!("\n{}\n", self.table(page));
        }
        for note in &self.notes {
            let note = Listing::new(vec![Kind::Text], Vec::new(), vec![vec![note.clone()]]);
            text += &format!("\n{}\n", note.show(page));
        }
        text
    }

    fn table(&self, page: Page) -> String {
        let kind = |at| if at < self.stubs { Kind::Name } else { Kind::Figure };
        let columns = (0..self.columns.len()).map(kind).collect();
        let header = self.columns.iter().map(Column::heading).collect();
        let rows = (0..self.rows).map(|row| self.row(row).map(str::to_owned).collect());
        Listing::new(columns, header, rows.collect()).show(page)
    }

    /// The headings of the columns.
    pub(crate) fn headings(&self) -> impl Iterator<Item = String> {
        self.columns.iter().map(Column::heading)
    }

    /// Number of rows.
    pub(crate) fn len(&self) -> usize {
        self.rows
    }

    /// The sentences below it.
    pub(crate) fn notes(&self) -> &[String] {
        &self.notes
    }

    /// The cells of a row, in order.
    pub(crate) fn row(&self, row: usize) -> impl Iterator<Item = &str> {
        self.columns
            .iter()
            .map(move |column| column.cells.get(row).and_then(Option::as_deref).unwrap_or(NONE))
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    pub(crate) fn sheet() -> Sheet {
        let mut sheet = Sheet::new("Some 5 %", 2);
        sheet.stub("", vec!["a_b | c".into(), "[x] \\ & {y}\nz".into()]);
        let some = |cells: [&str; 2]| cells.map(|cell| Some(cell.to_owned())).to_vec();
        sheet.column("global", "last", some(["60.0 ± 1.5", "1"]));
        sheet.column("global", "best", vec![None, Some("2.00×".into())]);
        sheet.column("", "runs", some(["3", "4"]));
        sheet.column("none", "at all", vec![None, None]);
        sheet
    }
}

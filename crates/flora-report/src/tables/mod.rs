//! Tables for a terminal of 100 columns.

mod classification;
mod names;
mod rounds;
mod runs;
mod summary;

use comfy_table::{CellAlignment, ContentArrangement, LineStyle, Table, TableStyle};

pub use classification::{ClassOrder, classes, classification};
pub use rounds::rounds;
pub use runs::{comparison, runs};
pub use summary::summary;

/// The widest line that a table may have.
const WIDTH: usize = 100;
/// Blanks between two columns.
const GAP: usize = 2;

const STYLE: TableStyle =
    TableStyle::new().header_separator(LineStyle::none().fill('─').junction('─'));

/// A table of the same looks as the others here, for lists of any kind: text columns, wrapped to a
/// terminal's width or not.
pub fn list<const N: usize>(header: [&str; N], rows: Vec<[String; N]>, wrapped: bool) -> String {
    let header = header.iter().map(|&name| name.to_owned()).collect();
    let mut table = build(Some(header), rows.into_iter().map(Vec::from).collect(), N);
    if !wrapped {
        table.set_content_arrangement(ContentArrangement::Disabled);
    }
    table.trim_fmt()
}

/// A table of the same looks for figures: columns aligned to the right, apart from the first.
pub fn figures<const N: usize>(header: [&str; N], rows: Vec<[String; N]>) -> String {
    let header = header.iter().map(|&name| name.to_owned()).collect();
    table(Some(header), rows.into_iter().map(Vec::from).collect(), 1)
}

/// A table without borders whose columns are aligned to the right, apart from the first
/// `left` ones.
fn table(header: Option<Vec<String>>, rows: Vec<Vec<String>>, left: usize) -> String {
    build(header, rows, left).trim_fmt()
}

fn build(header: Option<Vec<String>>, rows: Vec<Vec<String>>, left: usize) -> Table {
    let mut table = Table::new();
    table.load_style(STYLE);
    table.set_content_arrangement(ContentArrangement::Dynamic).set_width(WIDTH as u16);
    if let Some(header) = header {
        table.set_header(header);
    }
    table.add_rows(rows);
    for (index, column) in table.column_iter_mut().enumerate() {
        // The junction of the line below the header is a blank between columns, too.
        let gap = if index == 0 { 0 } else { GAP as u16 - 1 };
        column.set_padding((gap, 0));
        column.set_cell_alignment(if index < left {
            CellAlignment::Left
        } else {
            CellAlignment::Right
        });
    }
    table
}

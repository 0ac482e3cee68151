//! Tables for a terminal, or for files and other programs.

mod classification;
mod listing;
mod names;
mod page;
mod rounds;
mod runs;
mod summary;

pub use classification::{ClassOrder, classes, classification};
pub(crate) use listing::{Column, Listing};
pub use page::Page;
pub use rounds::rounds;
pub use runs::{comparison, runs};
pub use summary::summary;

/// A table for lists of any kind: a column of names, and columns of text.
pub fn list<const N: usize>(header: [&str; N], rows: Vec<[String; N]>, page: Page) -> String {
    table(header, rows, Column::Text, page)
}

/// A table for figures: a column of names, and columns of numbers.
pub fn figures<const N: usize>(header: [&str; N], rows: Vec<[String; N]>, page: Page) -> String {
    table(header, rows, Column::Figure, page)
}

fn table<const N: usize>(
    header: [&str; N],
    rows: Vec<[String; N]>,
    others: Column,
    page: Page,
) -> String {
    let mut columns = vec![others; N];
    columns[..N.min(1)].fill(Column::Name);
    let header = header.map(str::to_owned).into();
    Listing::new(columns, header, rows.into_iter().map(Vec::from).collect()).show(page)
}

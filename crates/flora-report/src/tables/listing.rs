//! A table that fits its medium.

use comfy_table::{
    CellAlignment, ColumnConstraint, ContentArrangement, LineStyle, Table, TableStyle, Width,
};
use flora_core::text::printable;
use unicode_width::UnicodeWidthStr;

use super::{Page, names};

/// Blanks between two columns.
pub(super) const GAP: usize = 2;
/// Names and texts are not made narrower than this.
const NARROWEST: usize = 12;

const RULED: TableStyle =
    TableStyle::new().header_separator(LineStyle::none().fill('─').junction('─'));

/// The content of a column.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Column {
    /// Names, left-aligned. If there is too little room, they are shortened in the middle.
    Name,
    /// Texts, left-aligned. If there is too little room, they are wrapped.
    Text,
    /// Numbers, right-aligned. They are never shortened.
    Figure,
    /// Texts, including numbers, right-aligned.
    Value,
}

/// A table without borders.
#[derive(Debug, Default)]
pub(crate) struct Listing {
    columns: Vec<Column>,
    header: Vec<String>,
    rows: Vec<Vec<String>>,
    spare: Vec<usize>,
}

impl Listing {
    /// A table; its header may be empty, its rows have a cell for each column.
    pub(crate) fn new(columns: Vec<Column>, header: Vec<String>, rows: Vec<Vec<String>>) -> Self {
        let shown = |cells: Vec<String>| -> Vec<String> {
            cells.iter().map(|cell| printable(cell).into_owned()).collect()
        };
        let (header, rows) = (shown(header), rows.into_iter().map(shown).collect());
        Self { columns, header, rows, spare: Vec::new() }
    }

    /// The columns that a narrow terminal may omit, the first one first.
    pub(crate) fn spare(mut self, columns: impl IntoIterator<Item = usize>) -> Self {
        self.spare = columns.into_iter().collect();
        self
    }

    /// The table as text.
    pub(crate) fn show(mut self, page: Page) -> String {
        let all: Vec<usize> = (0..self.columns.len()).collect();
        let width = match page {
            Page::Terminal(width) => width,
            Page::Plain => return self.build(&all, None).trim_fmt(),
        };
        let mut kept = all;
        for spare in std::mem::take(&mut self.spare) {
            if self.least(&kept) > width {
                kept.retain(|&column| column != spare);
            }
        }
        let parts = self.parts(&kept, width);
        let parts = parts.iter().map(|part| self.fit(part, width));
        parts.collect::<Vec<_>>().join("\n\n")
    }

    /// The columns of each of the tables that fit, each with the first column.
    fn parts(&self, columns: &[usize], width: usize) -> Vec<Vec<usize>> {
        let Some((&first, others)) = columns.split_first() else { return Vec::new() };
        let mut parts = vec![vec![first]];
        for &column in others {
            let part = parts.last_mut().expect("there is one");
            part.push(column);
            if part.len() > 2 && self.least(part) > width {
                part.pop();
                parts.push(vec![first, column]);
            }
        }
        parts
    }

    /// A table of some columns, as wide as they would like to be and the terminal lets them.
    fn fit(&self, columns: &[usize], width: usize) -> String {
        let mut widths: Vec<usize> = columns.iter().map(|&column| self.natural(column)).collect();
        let least: Vec<usize> = columns.iter().map(|&column| self.narrowest(column)).collect();
        loop {
            let used = widths.iter().sum::<usize>() + GAP * (widths.len().max(1) - 1);
            // Headings of numbers give way first, then the widest.
            let widest = (0..widths.len())
                .filter(|&at| widths[at] > least[at])
                .max_by_key(|&at| (self.columns[columns[at]] == Column::Figure, widths[at]));
            match widest {
                Some(at) if used > width => widths[at] -= 1,
                _ => break,
            }
        }
        self.build(columns, Some(&widths)).trim_fmt()
    }

    /// The room that columns need at least.
    fn least(&self, columns: &[usize]) -> usize {
        let widths: usize = columns.iter().map(|&column| self.narrowest(column)).sum();
        widths + GAP * (columns.len().max(1) - 1)
    }

    /// The width of a column whose cells are whole.
    fn natural(&self, column: usize) -> usize {
        self.cells(column).map(UnicodeWidthStr::width).max().unwrap_or(0)
    }

    /// The least width of a column.
    fn narrowest(&self, column: usize) -> usize {
        let heading = self.header.get(column).into_iter();
        let words = heading.flat_map(|text| text.split(' ')).map(UnicodeWidthStr::width);
        let words = words.max().unwrap_or(0);
        match self.columns[column] {
            Column::Figure => {
                let figures = self.rows.iter().map(|row| row[column].width());
                figures.max().unwrap_or(0).max(words)
            }
            Column::Name | Column::Text | Column::Value => self.natural(column).min(NARROWEST),
        }
    }

    fn cells(&self, column: usize) -> impl Iterator<Item = &str> {
        let heading = self.header.get(column).into_iter();
        heading.chain(self.rows.iter().map(move |row| &row[column])).map(String::as_str)
    }

    /// A column's cells, header first, in so much room.
    fn shortened(&self, column: usize, width: usize) -> Vec<String> {
        let cells: Vec<&str> = self.cells(column).collect();
        let short = (self.columns[column] == Column::Name)
            .then(|| names::without_middles(&cells, width))
            .flatten();
        short.unwrap_or_else(|| cells.into_iter().map(str::to_owned).collect())
    }

    fn build(&self, columns: &[usize], widths: Option<&[usize]>) -> Table {
        let mut table = Table::new();
        table.load_style(if widths.is_some() { RULED } else { TableStyle::new() });
        let mut cells: Vec<_> = (0..columns.len())
            .map(|at| self.shortened(columns[at], widths.map_or(usize::MAX, |it| it[at])))
            .map(Vec::into_iter)
            .collect();
        let mut row = || cells.iter_mut().filter_map(Iterator::next).collect::<Vec<_>>();
        if !self.header.is_empty() {
            table.set_header(row());
        }
        table.add_rows(self.rows.iter().map(|_| row()).collect::<Vec<_>>());
        let arrangement = match widths {
            Some(_) => ContentArrangement::Dynamic,
            None => ContentArrangement::Disabled,
        };
        table.set_content_arrangement(arrangement).set_width(u16::MAX);
        for (at, &column) in columns.iter().enumerate() {
            let Some(shown) = table.column_mut(at) else { continue };
            // The junction of the rule is a blank between columns, too.
            let junction = usize::from(widths.is_some());
            let gap = if at == 0 { 0 } else { (GAP - junction) as u16 };
            shown.set_padding((gap, 0));
            shown.set_cell_alignment(match self.columns[column] {
                Column::Figure | Column::Value => CellAlignment::Right,
                Column::Name | Column::Text => CellAlignment::Left,
            });
            if let Some(widths) = widths {
                let width = u16::try_from(widths[at]).unwrap_or(u16::MAX).saturating_add(gap);
                shown.set_constraint(ColumnConstraint::Absolute(Width::Fixed(width)));
            }
        }
        table
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn listing() -> Listing {
        let columns = vec![Column::Name, Column::Text, Column::Figure];
        let row = |cells: [&str; 3]| cells.map(str::to_owned).to_vec();
        let rows = vec![
            row(["datasets/things/images/acme/ball/1.png", "a red ball on a green lawn", "5"]),
            row(["b.png", "a\u{1b}[31m\nb", "1,000"]),
        ];
        Listing::new(columns, row(["image", "what it shows", "so many images"]), rows)
    }

    #[test]
    fn a_pipe_gets_whole_values_on_a_line_each() {
        assert_eq!(
            listing().spare([1]).show(Page::Plain),
            "\
image                                   what it shows               so many images
datasets/things/images/acme/ball/1.png  a red ball on a green lawn               5
b.png                                   a\\u{1b}[31m\\nb                       1,000"
        );
    }

    #[test]
    fn a_terminal_gets_what_it_has_room_for() {
        assert_eq!(
            listing().show(Page::Terminal(48)),
            "\
image                what it shows            so
                                            many
                                          images
────────────────────────────────────────────────
datasets/…all/1.png  a red ball on a           5
                     green lawn
b.png                a\\u{1b}[31m\\nb        1,000"
        );
        let narrow = listing().spare([1]).show(Page::Terminal(20));
        assert!(!narrow.contains("shows"), "{narrow}");
    }

    #[test]
    fn what_is_too_wide_comes_in_parts() {
        let row = |text: &str| (0..10).map(|at| format!("{text}{at}")).collect::<Vec<_>>();
        let columns = std::iter::once(Column::Name).chain([Column::Figure; 9]).collect();
        let table = Listing::new(columns, row("column"), vec![row("1234567")]);
        let shown = table.show(Page::Terminal(40));
        let parts: Vec<_> = shown.split("\n\n").collect();
        assert_eq!(parts.len(), 3, "{shown}");
        for part in parts {
            assert!(part.starts_with("column0"), "{shown}");
        }
        assert!(shown.lines().all(|line| line.width() <= 40), "{shown}");
        assert_eq!(Listing::default().show(Page::Terminal(40)), "");
    }
}

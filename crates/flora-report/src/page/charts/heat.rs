use std::{cmp::Reverse, collections::BTreeMap};

use super::super::html::{Chart, Picture, Table};
use crate::{
    ReportError,
    figures::{Cell, Figure, HeatMap},
    units::count,
};

/// Heat maps with more columns than these take the whole width.
const MOST_BESIDE: usize = 16;
/// More rows or columns than these have less than a unit each: of a longer list the first ones are drawn.
const MOST_SIDE: usize = 1_000;
/// A table of more cells than these takes a browser seconds: the largest counts are listed instead.
const MOST_CELLS: usize = 20_000;
/// So many of them.
const MOST_LISTED: usize = 1_000;

/// Counts by the numbers of row and column; those that are 0 may be absent.
pub(in crate::page) type Counts = BTreeMap<(usize, usize), u64>;

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
    pub(in crate::page) counts: Counts,
}

impl Heat {
    /// The chart; `None` where it has no cells.
    pub(in crate::page) fn chart(mut self) -> Option<Chart> {
        if self.rows.is_empty() || self.columns.is_empty() {
            return None;
        }
        if self.rows.len().max(self.columns.len()) > MOST_SIDE {
            self.says += &format!(
                " Of {} rows and {} columns, the first {} of each are shown.",
                count(self.rows.len()),
                count(self.columns.len()),
                count(MOST_SIDE)
            );
            self.rows.truncate(MOST_SIDE);
            self.columns.truncate(MOST_SIDE);
            self.counts.retain(|&(row, column), _| row < MOST_SIDE && column < MOST_SIDE);
        }
        let kind = match self.columns.len() > MOST_BESIDE {
            true => Picture::Wide,
            false => Picture::Single,
        };
        let table = match self.rows.len() * self.columns.len() > MOST_CELLS {
            true => self.list(),
            false => self.table(),
        };
        let picture = self.draw().map_or_else(|it| Picture::Missing(it.to_string()), kind);
        let Self { id, title, says, .. } = self;
        Some(Chart { id, title, says, picture, table })
    }

    /// All counts, row by row.
    fn cells(&self) -> impl Iterator<Item = u64> {
        let all = (0..self.rows.len())
            .flat_map(|row| (0..self.columns.len()).map(move |column| (row, column)));
        all.map(|place| self.counts.get(&place).copied().unwrap_or(0))
    }

    fn draw(&self) -> Result<Figure, ReportError> {
        let most = self.counts.values().copied().max().unwrap_or(0);
        // A count of nothing stays pale and without a number.
        let cell = |count: u64| Cell {
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
            cells: self.cells().map(cell).collect(),
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
        let cells: Vec<u64> = self.cells().collect();
        for (name, counts) in self.rows.iter().zip(cells.chunks(self.columns.len())) {
            let cells = counts.iter().map(u64::to_string);
            table.row(std::iter::once(name.clone()).chain(cells));
        }
        table
    }

    /// The largest counts, where a table of all would be too long.
    fn list(&self) -> Table {
        let [row, column] = self.of;
        let mut counts: Vec<_> = self.counts.iter().filter(|(_, count)| **count > 0).collect();
        counts.sort_by_key(|&(place, count)| (Reverse(*count), *place));
        let mut table = Table::new(self.title.clone(), [row, column, "images"]).text();
        for &(&(row, column), count) in counts.iter().take(MOST_LISTED) {
            table.row([self.rows[row].clone(), self.columns[column].clone(), count.to_string()]);
        }
        let others = counts.len().saturating_sub(MOST_LISTED);
        if others > 0 {
            let listed = count(MOST_LISTED);
            table.notes.push(format!("The {listed} largest; {} more are not 0.", count(others)));
        }
        table
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn square(side: usize) -> Heat {
        let names: Vec<String> = (0..side).map(|class| format!("class {class}")).collect();
        Heat {
            id: "confusion",
            title: "Confusions".to_owned(),
            says: "All.".to_owned(),
            of: ["true class", "prediction"],
            rows: names.clone(),
            columns: names,
            counts: (0..side).map(|class| ((class, class), 1 + class as u64)).collect(),
        }
    }

    #[test]
    fn few_cells_are_a_table_of_all() {
        let chart = square(3).chart().unwrap();
        assert_eq!(chart.table.rows[1], ["class 1", "0", "2", "0"]);
        assert_eq!((chart.table.head.len(), chart.says.as_str()), (4, "All."));
    }

    /// More classes than a heat map can have would otherwise leave a run without a page, and a million cells a browser
    /// without memory.
    #[test]
    fn many_cells_are_a_list_of_the_largest() {
        let chart = square(2_500).chart().unwrap();
        assert!(chart.says.ends_with("the first 1,000 of each are shown."), "{}", chart.says);
        assert_eq!(chart.table.rows.len(), MOST_LISTED);
        assert_eq!(chart.table.rows[0], ["class 999", "class 999", "1000"]);
        let chart = square(1_000).chart().unwrap();
        assert_eq!((chart.says.as_str(), chart.table.notes.len()), ("All.", 0));
    }
}

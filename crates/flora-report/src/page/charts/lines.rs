use std::collections::BTreeMap;

use super::super::html::{Chart, Picture, Table};
use crate::{
    ReportError,
    figures::{Figure, LineChart, Point, Reference, Series, Style, is_drawn},
    units::count,
};

/// More points of a line than these are not told apart: of more rounds, only some are shown.
const MOST_POINTS: usize = 400;

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
    pub(in crate::page) fn chart(mut self) -> Option<Chart> {
        // A damaged file may have any number.
        self.lines.iter_mut().for_each(|line| line.points.retain(|(_, y)| is_drawn(*y)));
        self.lines.retain(|line| !line.points.is_empty());
        if self.lines.is_empty() {
            return None;
        }
        self.thin();
        let picture = Picture::both(|narrow| self.draw(narrow));
        let table = self.table();
        let Self { id, title, says, .. } = self;
        Some(Chart { id, title, says, picture, table })
    }

    /// Leaves out rounds if there are too many, but neither the first nor the last one of a line.
    fn thin(&mut self) {
        let most = self.lines.iter().map(|line| line.points.len()).max().unwrap_or(0);
        let each = most.div_ceil(MOST_POINTS);
        if each < 2 {
            return;
        }
        for Line { points, .. } in &mut self.lines {
            let ends = [points.first(), points.last()].map(|end| end.map(|(round, _)| *round));
            points.retain(|(round, _)| round % each == 0 || ends.contains(&Some(*round)));
        }
        let each = count(each);
        let space = if self.says.is_empty() { "" } else { " " };
        self.says += &format!("{space}One round in {each} is shown; metrics.jsonl has all.");
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::page::one;

    fn lines(count: usize, rounds: usize) -> Lines {
        let line = |at: usize| {
            Line::new(format!("line {at}"), (0..rounds).map(|round| (round, round as f64)))
        };
        Lines {
            id: "accuracy",
            title: "Accuracy by round".to_owned(),
            says: "All.".to_owned(),
            y: "accuracy, %",
            lines: (0..count).map(line).collect(),
            level: None,
            format: one::hundredths,
        }
    }

    /// Points by the hundred thousand would make a page of hundreds of megabytes.
    #[test]
    fn of_many_rounds_some_are_shown() {
        let chart = lines(3, 100_002).chart().unwrap();
        assert_eq!(chart.says, "All. One round in 251 is shown; metrics.jsonl has all.");
        let Picture::Both { usual, narrow } = chart.picture else { panic!("it is drawn twice") };
        // 0, 251, ..., 99,898, and the last one.
        assert_eq!((usual.marks(), narrow.marks()), (3 * 400, 3 * 400));
        let rows = chart.table.rows;
        assert_eq!((rows[0][0].as_str(), rows[1][0].as_str(), rows.len()), ("0", "251", 400));
        assert_eq!(rows[399], ["100001", "100001.00", "100001.00", "100001.00"]);
        assert_eq!(lines(1, 400).chart().unwrap().says, "All.");
    }

    #[test]
    fn a_chart_that_cannot_be_drawn_has_its_numbers() {
        let chart = lines(169, 2).chart().unwrap();
        let html = chart.html().into_string();
        let Picture::Missing(reason) = chart.picture else { panic!("it is not drawn") };
        assert!(reason.contains("169 series"), "{reason}");
        assert!(html.contains("this chart cannot be drawn (chart: 169 series"), "{html}");
        assert!(html.contains("<details class=\"data\" id=\"accuracy-data\" open>"), "{html}");
        assert_eq!((chart.table.rows.len(), chart.table.rows[1].len()), (2, 170));
    }
}

use super::super::html::{Chart, Picture, Table};
use crate::{
    ReportError,
    figures::{Figure, Part, StackedBars, is_drawn},
    units,
};

/// Thinner bars than these are not seen: of more, some that follow each other are drawn as one.
const MOST_BARS: usize = 500;
/// With more rows than these, the table has the sums that are drawn.
const MOST_ROWS: usize = 3_000;

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
    pub(in crate::page) fn chart(mut self) -> Option<Chart> {
        // A damaged file may have any number. Sums of bars must be drawn, too.
        let all = self.parts.iter_mut().flat_map(|(_, values)| values);
        all.filter(|value| !is_drawn(1e9 * **value)).for_each(|value| *value = 0.0);
        self.parts.retain(|(_, values)| values.iter().any(|&value| value > 0.0));
        if self.parts.is_empty() {
            return None;
        }
        let table = (self.bars.len() <= MOST_ROWS).then(|| self.table());
        self.join();
        let table = table.unwrap_or_else(|| self.table());
        let picture = Picture::both(|narrow| self.draw(narrow));
        let Self { id, title, says, .. } = self;
        Some(Chart { id, title, says, picture, table })
    }

    /// Adds up bars that follow each other, if there are too many.
    fn join(&mut self) {
        let each = self.bars.len().div_ceil(MOST_BARS);
        if each < 2 {
            return;
        }
        let name = |bars: &[String]| match bars {
            [first, .., last] => format!("{first}–{last}"),
            bars => bars.concat(),
        };
        self.bars = self.bars.chunks(each).map(name).collect();
        for (_, values) in &mut self.parts {
            *values = values.chunks(each).map(|values| values.iter().sum()).collect();
        }
        self.says += &format!(" A bar is the sum of {each} {}s.", self.x);
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

#[cfg(test)]
mod tests {
    use super::*;

    /// More bars than a figure can have would otherwise leave a run without a page.
    #[test]
    fn many_bars_are_joined_and_the_table_has_all() {
        let bars = |count: usize| Bars {
            id: "bytes",
            title: "Bytes by round".to_owned(),
            says: "All.".to_owned(),
            x: "round",
            y: Quantity::Bytes,
            bars: (1..=count).map(|round| round.to_string()).collect(),
            parts: vec![("up".to_owned(), vec![1.0; count])],
        };
        let chart = bars(2_501).chart().unwrap();
        assert_eq!(chart.says, "All. A bar is the sum of 6 rounds.");
        assert_eq!(chart.table.rows.len(), 2_501);
        let mut joined = bars(2_501);
        joined.join();
        assert_eq!((joined.bars.len(), joined.bars[0].as_str()), (417, "1–6"));
        assert_eq!((joined.bars[416].as_str(), joined.parts[0].1[416]), ("2497–2501", 5.0));
        let rows = bars(3_001).chart().unwrap().table.rows;
        assert_eq!((rows.len(), rows[0][0].as_str(), rows[0][1].as_str()), (429, "1–7", "7 B"));
        assert_eq!(bars(500).chart().unwrap().says, "All.");
    }
}

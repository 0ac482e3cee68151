use image::RgbImage;

use super::{
    FigureSpec, Grid, Spread, SweepResult, SweepRow, figure,
    format::{mebibytes, ratio, seconds, share},
    pivot::pivots,
    rows,
};
use crate::{
    ReportError,
    sheet::Sheet,
    tables::Page,
    units::{bytes, count},
};

/// What a sweep found, to be written in several forms.
#[derive(Debug, Clone)]
pub struct SweepReport<'a> {
    grid: &'a Grid,
    rows: Vec<SweepRow>,
}

impl<'a> SweepReport<'a> {
    /// A report on the runs that are there; more may follow.
    pub fn new(grid: &'a Grid, results: &[SweepResult]) -> Self {
        Self { grid, rows: rows(grid, results) }
    }

    /// The rows that have results.
    pub fn rows(&self) -> &[SweepRow] {
        &self.rows
    }

    /// Two tables: accuracies, and what they cost. In Markdown, but for a terminal.
    pub fn overview(&self, page: Page) -> String {
        let sheets = [self.accuracies(), self.costs()].map(|sheet| match page {
            Page::Terminal(_) => sheet.listing(page),
            Page::Plain => sheet.markdown(),
        });
        sheets.join("\n")
    }

    /// The content of `results.md`: the tables of the [overview](Self::overview), and where there are several axes a
    /// table for each figure, with the last axis from left to right.
    pub fn markdown(&self) -> String {
        let mut parts = vec![format!("# {}\n\n{}", self.grid.title, self.legend())];
        parts.extend(self.sheets().iter().map(Sheet::markdown));
        parts.retain(|part| !part.is_empty());
        parts.join("\n")
    }

    /// The same tables for LaTeX's package `booktabs`.
    pub fn latex(&self) -> String {
        let comment = |line: &str| format!("% {line}\n");
        let mut parts = vec![
            comment(&format!("{}: the preamble needs \\usepackage{{booktabs}}", self.grid.title))
                + &self.legend().lines().map(comment).collect::<String>(),
        ];
        let name: String = self.grid.title.chars().filter(char::is_ascii_alphanumeric).collect();
        let (title, tables) = (&self.grid.title, self.sheets());
        let tables = tables.iter().enumerate();
        parts.extend(
            tables.map(|(index, sheet)| sheet.latex(title, &format!("{name}-{}", index + 1))),
        );
        parts.retain(|part| !part.is_empty());
        parts.join("\n")
    }

    /// The accuracy of the global model after the last round, with its deviation over seeds; `None` while
    /// no run is done.
    ///
    /// # Errors
    /// [`ReportError::Figure`] for an axis that the sweep does not have, and where there are more
    /// places or series than can be told apart.
    pub fn figure(&self, spec: &FigureSpec) -> Result<Option<RgbImage>, ReportError> {
        figure::draw(self.grid, &self.rows, spec)
    }

    fn sheets(&self) -> Vec<Sheet> {
        let mut sheets = vec![self.accuracies(), self.costs()];
        sheets.extend(pivots(self.grid, &self.rows));
        sheets
    }

    /// What the numbers are.
    fn legend(&self) -> String {
        let seeds = self.rows.iter().map(|row| row.seeds).max().unwrap_or(0);
        let mut lines = vec![match seeds {
            0 => "No run is done yet.",
            1 => "One seed: no deviations.",
            _ => "Mean ± sample deviation over seeds.",
        }];
        lines.extend([
            "The global model is the one that the server averaged. Local models are the clients' own \
             after their last training, before averaging, each on its own client's images.",
            "Mean: unweighted over clients. Weighted: by the images that they are scored on. Own clients: those that train in \
             the run; the others only test.",
            "All accuracies are on the test images, or with data.validation on the validation images. The best \
             round is chosen on the same: an optimistic figure.",
            "Training is the wall clock of all clients of a round. The peak of memory is that of the \
             run's own process.",
        ]);
        let baseline =
            self.grid.baseline.as_ref().map(|baseline| format!("Ratios are to {baseline}."));
        lines.extend(baseline.as_deref());
        lines.iter().map(|line| format!("- {line}\n")).collect()
    }

    fn sheet(&self, caption: &str) -> Sheet {
        let mut sheet = Sheet::new(caption, self.rows.len());
        let name = |row: &SweepRow| self.grid.rows[row.row].name.clone();
        sheet.stub("", self.rows.iter().map(name).collect());
        sheet
    }

    fn accuracies(&self) -> Sheet {
        let mut sheet = self.sheet("Accuracy in %");
        let mut shares = |group: &str, title, value: fn(&SweepRow) -> Option<Spread>| {
            let cells = self.rows.iter().map(|row| value(row).map(share));
            sheet.column(group, title, cells.collect());
        };
        let last = format!("global model, {}", last_round(&self.rows));
        shares(&last, "mean", |row| row.accuracy);
        shares(&last, "weighted", |row| row.weighted);
        shares(&last, "worst client", |row| row.worst);
        // Where everybody trained, own clients are all clients.
        if self.rows.iter().any(|row| row.others.is_some()) {
            shares(&last, "own clients", |row| row.trained);
            shares(&last, "other clients", |row| row.others);
        }
        shares("global model, best round", "mean", |row| row.best);
        shares("local models, last round", "mean", |row| row.local);
        let cells = |value: fn(&SweepRow) -> Option<usize>| {
            self.rows.iter().map(|row| value(row).map(|value| value.to_string())).collect()
        };
        if common_round(&self.rows).is_none() {
            sheet.column("", "rounds", cells(|row| row.rounds));
        }
        sheet.column("", "runs", cells(|row| Some(row.runs)));
        sheet
    }

    fn costs(&self) -> Sheet {
        let mut sheet = self.sheet("What it costs");
        let mut cells = |group: &str, title: &str, value: &dyn Fn(&SweepRow) -> Option<String>| {
            sheet.column(group, title, self.rows.iter().map(value).collect());
        };
        cells("", "trained parameters", &|row| row.trainable_parameters.map(count));
        let sent = "sent by a client in a round";
        cells(sent, "size", &|row| row.bytes.map(bytes));
        cells(sent, "ratio", &|row| row.relative.bytes.map(ratio));
        cells("training of a round", "s", &|row| row.seconds.map(seconds));
        cells("training of a round", "ratio", &|row| row.relative.seconds.map(ratio));
        cells("peak memory", "MiB", &|row| row.memory.map(mebibytes));
        cells("peak memory", "ratio", &|row| row.relative.memory.map(ratio));
        sheet
    }
}

/// The last round, if it is that of all rows.
pub(super) fn common_round(rows: &[SweepRow]) -> Option<usize> {
    let first = rows.first()?.rounds;
    first.filter(|_| rows.iter().all(|row| row.rounds == first))
}

/// `last round (10)`, or without its number where rows have several.
pub(super) fn last_round(rows: &[SweepRow]) -> String {
    match common_round(rows) {
        Some(round) => format!("last round ({round})"),
        None => "last round".to_owned(),
    }
}

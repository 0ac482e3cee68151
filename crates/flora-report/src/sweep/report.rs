use super::{
    Difference, FigureSpec, Grid, Spread, SweepResult, SweepRow, figure,
    format::{difference, error, interval, mean_bytes, mebibytes, pairs, ratio, seconds, share},
    pivot::pivots,
    rows,
};
use crate::{
    ReportError,
    figures::Figure,
    sheet::Sheet,
    tables::Page,
    units::{bound, bytes, count},
};

/// The results of a sweep, to be written in several formats.
#[derive(Debug, Clone)]
pub struct SweepReport<'a> {
    grid: &'a Grid,
    rows: Vec<SweepRow>,
}

impl<'a> SweepReport<'a> {
    /// A report on the existing runs; more may follow.
    pub fn new(grid: &'a Grid, results: &[SweepResult]) -> Self {
        Self { grid, rows: rows(grid, results) }
    }

    /// The rows that have results.
    pub fn rows(&self) -> &[SweepRow] {
        &self.rows
    }

    /// Accuracies, their differences from the baseline, and costs: the tables of `results.md`, laid out for a terminal.
    pub fn overview(&self, page: Page) -> String {
        let sheets = self.tables().into_iter().map(|sheet| match page {
            Page::Terminal(_) => sheet.listing(page),
            Page::Plain => sheet.markdown(),
        });
        let mut sheets: Vec<String> = sheets.collect();
        sheets.retain(|sheet| !sheet.is_empty());
        sheets.join("\n")
    }

    /// The content of `results.md`: the tables of the [overview](Self::overview), and, with several axes, a table for
    /// each quantity, with the last axis from left to right.
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

    /// The accuracy of the global model after the last round, with its deviation over seeds; `None` while no run has
    /// finished.
    ///
    /// # Errors
    /// [`ReportError::Figure`] for an axis that the sweep does not have, and for more positions or series than can be
    /// distinguished.
    pub fn figure(&self, spec: &FigureSpec) -> Result<Option<Figure>, ReportError> {
        figure::draw(self.grid, &self.rows, spec, false)
    }

    /// The same for narrow pages.
    pub(crate) fn narrow_figure(&self, spec: &FigureSpec) -> Result<Option<Figure>, ReportError> {
        figure::draw(self.grid, &self.rows, spec, true)
    }

    pub(crate) fn sheets(&self) -> Vec<Sheet> {
        let mut sheets = self.tables();
        sheets.extend(pivots(self.grid, &self.rows));
        sheets
    }

    fn tables(&self) -> Vec<Sheet> {
        let mut tables = vec![self.accuracies()];
        tables.extend(self.differences());
        tables.extend([self.costs_of_round(), self.costs_of_run()]);
        tables
    }

    /// What the numbers are.
    fn legend(&self) -> String {
        self.sentences().iter().map(|line| format!("- {line}\n")).collect()
    }

    /// Explanations of the numbers, a sentence or two each.
    pub(crate) fn sentences(&self) -> Vec<String> {
        let most = |count: fn(&SweepRow) -> usize| self.rows.iter().map(count).max().unwrap_or(0);
        let any = |has: fn(&SweepRow) -> bool| self.rows.iter().any(has);
        let mut lines = vec![match (most(|row| row.seeds), most(|row| row.draws)) {
            (0, _) => "No run has finished yet.",
            (1, _) => "One seed: no deviations.",
            (_, 0 | 1) => "Mean ± sample deviation over seeds.",
            _ => {
                "Mean ± sample deviation over all seeds of all draws of the partition (`partition_seeds`)."
            }
        }];
        lines.extend([
            "The global model is the one that the server averages. Local models are the clients' own models after their \
             last training, before averaging, each tested on its own client's images.",
            "Mean: unweighted over clients. Weighted: by the number of images that a client is scored on. Own clients: \
             those that train in the run; other clients only test.",
            match common_images(&self.rows) {
                Some("validation") => "All accuracies are on the validation images (`data.validation`).",
                Some(_) => "All accuracies are on the test images.",
                None => "Some accuracies are on the test images and some on the validation images.",
            },
            "The best round is chosen on the images that it is scored on, so its accuracy is optimistic.",
        ]);
        if any(|row| row.harmonic_mean.is_some()) {
            lines.push(
                "Base: all images of the classes that clients train on. Novel: those of the other classes. Each image is \
                 classified among the classes of its own half.",
            );
        }
        lines.push(
            "Training is the wall clock of all clients. The costs of a run are counted until its last \
             round. Model and images: loading both, and encoding the images whose features were not in the cache. Peak \
             memory is that of the run's own process.",
        );
        if any(|row| row.aggregation_error.is_some()) {
            lines.push(
                "The aggregation error is the relative distance between the product of the averaged LoRA factors and the \
                 average of the clients' products, as the mean over the rounds.",
            );
        }
        if any(|row| row.epsilon.is_some()) {
            lines.push(
                "Epsilon is the largest privacy budget that a run spent, at the delta of its settings.",
            );
        }
        let compared = self.grid.baseline.as_ref().map(|baseline| {
            format!(
                "Ratios are relative to {baseline}; differences from it are in percentage points."
            )
        });
        lines.extend(compared.as_deref());
        if any(|row| row.difference.is_some()) {
            lines.extend([
                "A difference is the mean over pairs of runs with the same draw and seed, after the last round. With \
                 base and novel classes, the harmonic mean replaces the mean over clients. Without a global model, the \
                 clients' own models are compared. With several draws, a pair is a draw, averaged over its seeds first; \
                 with one draw, a pair is a seed.",
                "The 95 % interval is Student's t over the pairs. It covers chance in draws and seeds, on \
                 the same test images. There is no interval for a single pair, nor if all pairs have the same \
                 difference, because then nothing was random.",
            ]);
        }
        lines.into_iter().map(str::to_owned).collect()
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
        // Where everybody trained, own clients are all clients; from base to novel they are the base classes'.
        if self.rows.iter().any(|row| row.others.is_some() && row.harmonic_mean.is_none()) {
            shares(&last, "own clients", |row| row.trained);
            shares(&last, "other clients", |row| row.others);
        }
        let halves = format!("base to novel, {}", last_round(&self.rows));
        shares(&halves, "base", |row| row.base);
        shares(&halves, "novel", |row| row.novel);
        shares(&halves, "harmonic mean", |row| row.harmonic_mean);
        let best = format!("global model, best round{}", images(&self.rows));
        shares(&best, "mean", |row| row.best);
        shares("local models, last round", "mean", |row| row.local);
        let mut texts = |title, value: &dyn Fn(&SweepRow) -> Option<String>| {
            sheet.column("", title, self.rows.iter().map(value).collect());
        };
        if common_images(&self.rows).is_none() {
            texts("scored on", &|row| row.scored_on.clone().or(Some("both".to_owned())));
        }
        if common_round(&self.rows).is_none() {
            texts("rounds", &|row| match row.rounds? {
                (fewest, most) if fewest == most => Some(most.to_string()),
                (fewest, most) => Some(format!("{fewest} … {most}")),
            });
        }
        texts("runs", &|row| Some(row.runs.to_string()));
        sheet
    }

    /// The rows that are compared with a baseline.
    fn differences(&self) -> Option<Sheet> {
        let baseline = self.grid.baseline.as_ref()?;
        let rows: Vec<_> =
            self.rows.iter().filter_map(|row| Some((row.row, row.difference?))).collect();
        let compared = self.grid.compared.name();
        let caption = format!("Difference from {baseline}, {compared}, percentage points");
        let mut sheet = Sheet::new(caption, rows.len());
        let name = |(row, _): &(usize, Difference)| self.grid.rows[*row].name.clone();
        sheet.stub("", rows.iter().map(name).collect());
        let mut cells = |title, value: &dyn Fn(&Difference) -> Option<String>| {
            sheet.column("", title, rows.iter().map(|(_, difference)| value(difference)).collect());
        };
        cells("difference", &|it| Some(difference(it)));
        cells("95 % interval", &interval);
        cells("better / equal / worse", &|it| {
            Some(format!("{} / {} / {}", it.better, it.equal, it.worse))
        });
        cells("pairs", &|it| Some(pairs(it)));
        let others = self.rows.iter().filter(|row| row.on_other_images);
        let others: Vec<&str> = others.map(|row| self.grid.rows[row.row].name.as_str()).collect();
        let is_empty = rows.is_empty() && others.is_empty();
        if !others.is_empty() {
            let others = others.join("; ");
            sheet.note(format!(
                "Not compared, because these rows were scored on other images than {baseline}: {others}."
            ));
        }
        (!is_empty).then_some(sheet)
    }

    fn costs_of_round(&self) -> Sheet {
        let mut sheet = self.sheet("Costs of a round");
        let mut cells = |group: &str, title: &str, value: &dyn Fn(&SweepRow) -> Option<String>| {
            sheet.column(group, title, self.rows.iter().map(value).collect());
        };
        cells("sent by a client", "size", &|row| row.bytes.map(bytes));
        cells("sent by a client", "ratio", &|row| row.relative.bytes.map(ratio));
        cells("training", "s", &|row| row.seconds.map(seconds));
        cells("training", "ratio", &|row| row.relative.seconds.map(ratio));
        sheet
    }

    fn costs_of_run(&self) -> Sheet {
        let mut sheet = self.sheet("Costs of a run");
        let mut cells = |group: &str, title: &str, value: &dyn Fn(&SweepRow) -> Option<String>| {
            sheet.column(group, title, self.rows.iter().map(value).collect());
        };
        cells("", "trained parameters", &|row| row.trainable_parameters.map(count));
        cells("sent by a client", "size", &|row| row.total_bytes.map(mean_bytes));
        cells("sent by a client", "ratio", &|row| row.relative.total_bytes.map(ratio));
        cells("sent to a client", "size", &|row| row.bytes_down.map(mean_bytes));
        cells("aggregation", "error", &|row| row.aggregation_error.map(error));
        cells("privacy", "epsilon", &|row| row.epsilon.map(bound));
        cells("training and aggregation", "s", &|row| row.total_seconds.map(seconds));
        cells("training and aggregation", "ratio", &|row| row.relative.total_seconds.map(ratio));
        cells("model and images", "s", &|row| row.data_seconds.map(seconds));
        cells("peak memory", "MiB", &|row| row.memory.map(mebibytes));
        cells("peak memory", "ratio", &|row| row.relative.memory.map(ratio));
        sheet
    }
}

/// The last round, if it is the same for all runs.
pub(super) fn common_round(rows: &[SweepRow]) -> Option<usize> {
    let (fewest, most) = rows.first()?.rounds?;
    let common = |row: &SweepRow| row.rounds == Some((most, most));
    (fewest == most && rows.iter().all(common)).then_some(most)
}

/// The images that all rows are scored on.
fn common_images(rows: &[SweepRow]) -> Option<&str> {
    let Some(first) = rows.first() else { return Some("test") };
    let images = first.scored_on.as_deref()?;
    rows.iter().all(|row| row.scored_on.as_deref() == Some(images)).then_some(images)
}

/// `, validation images`, where all rows are scored on these.
pub(super) fn images(rows: &[SweepRow]) -> String {
    match common_images(rows) {
        None | Some("test") => String::new(),
        Some(images) => format!(", {images} images"),
    }
}

/// `last round (10)`, or without its number where rows have several; with the images, where they are not those for
/// testing.
pub(super) fn last_round(rows: &[SweepRow]) -> String {
    let images = images(rows);
    match common_round(rows) {
        Some(round) => format!("last round ({round}){images}"),
        None => format!("last round{images}"),
    }
}

//! Checks of a sweep before its experiments are read.

use std::collections::BTreeSet;

use super::{Baseline, Compared, Sweep, SweepRow, grid::slug};
use crate::experiment::is_plain_name;

/// Limit on rows; a larger number is a mistake.
const MOST_ROWS: usize = 10_000;

impl Sweep {
    /// Checks the sweep; an error names the key.
    pub(super) fn check(&self) -> Result<(), String> {
        if !is_plain_name(&self.name) {
            let name = &self.name;
            return Err(format!(
                "name: {name:?} is not a plain name; the folder is called after it"
            ));
        }
        if self.seeds.is_empty() || has_repeats(&self.seeds) {
            return Err("seeds: list at least one seed, and each once".into());
        }
        let draws = self.partition_seeds.as_deref();
        if draws.is_some_and(|draws| draws.is_empty() || has_repeats(draws)) {
            return Err(
                "partition_seeds: list at least one seed, and each once, or leave it out".into()
            );
        }
        match (self.rows.is_empty(), self.axes.is_empty()) {
            (true, true) => {
                return Err(
                    "rows: the list is empty; add a [[rows]] with a name, or [[axes]]".into()
                );
            }
            (false, false) => {
                return Err(
                    "rows and axes: a sweep has only one of them; make the rows the values of \
                            one more [[axes]]"
                        .into(),
                );
            }
            (false, true) => check_names("rows.name", self.rows.iter().map(|row| &row.name))?,
            (true, false) => self.check_axes()?,
        }
        self.check_assignments()?;
        self.check_skip()?;
        let combinations = self.combinations();
        if combinations.is_empty() {
            return Err("skip: every combination is left out".into());
        }
        let mut names = BTreeSet::new();
        if let Some(twice) = combinations.iter().find(|row| !names.insert(&row.name)) {
            return Err(format!(
                "axes: two combinations are called {:?}; rename a value",
                twice.name
            ));
        }
        self.check_baseline(&names)?;
        if self.baseline.is_none() && self.compare != Compared::Mean {
            return Err("compare: there is nothing to compare with; add `baseline`".into());
        }
        self.check_figure()
    }

    fn check_axes(&self) -> Result<(), String> {
        check_names("axes.name", self.axes.iter().map(|axis| &axis.name))?;
        for axis in &self.axes {
            let name = &axis.name;
            if axis.values.is_empty() {
                return Err(format!("axis {name:?}: it has no values"));
            }
            let labels: Vec<String> = (0..axis.values.len()).map(|it| axis.label(it)).collect();
            check_names(&format!("axis {name:?}, value"), labels.iter())?;
        }
        match self.product() {
            rows if rows > MOST_ROWS => {
                Err(format!("axes: {rows} combinations are more than {MOST_ROWS}"))
            }
            _ => Ok(()),
        }
    }

    /// Rejects changes of the name and the seeds, which the sweep sets itself.
    fn check_assignments(&self) -> Result<(), String> {
        let drawn = self.partition_seeds.is_some();
        let taken = |assignments: &[String]| {
            let key = |assignment: &&String| match assignment.split('=').next().map(str::trim) {
                Some("name" | "seed") => true,
                Some("data.seed") => drawn,
                _ => false,
            };
            assignments.iter().find(key).cloned()
        };
        let of_value = |value: &SweepRow| taken(&value.set).or_else(|| taken(&value.each));
        let of_rows =
            self.rows.iter().find_map(|row| Some((format!("row {:?}", row.name), of_value(row)?)));
        let of_axes = self.axes.iter().find_map(|axis| {
            axis.values.iter().find_map(|value| {
                let place = format!("axis {:?}, value {:?}", axis.name, value.name);
                Some((place, of_value(value)?))
            })
        });
        let of_all = taken(&self.set).map(|taken| ("set".to_owned(), taken));
        match of_all.or(of_rows).or(of_axes) {
            Some((place, taken)) => Err(format!(
                "{place}: {taken:?} has no effect; a sweep sets the name itself, seeds by its key \
                 `seeds`, and data.seed by `partition_seeds` where it has them"
            )),
            None => Ok(()),
        }
    }

    fn check_skip(&self) -> Result<(), String> {
        for rule in &self.skip {
            if rule.is_empty() {
                return Err("skip: a rule without an axis would leave out everything".into());
            }
            for (axis, names) in rule {
                for name in names.list() {
                    self.find("skip", axis, name)?;
                }
                if names.list().is_empty() {
                    return Err(format!("skip: the list of values of axis {axis:?} is empty"));
                }
            }
        }
        Ok(())
    }

    fn check_baseline(&self, rows: &BTreeSet<&String>) -> Result<(), String> {
        match &self.baseline {
            Some(Baseline::Row(name)) if !rows.contains(name) => {
                let names: Vec<String> =
                    rows.iter().take(12).map(|row| format!("{row:?}")).collect();
                Err(format!("baseline: there is no row {name:?}; rows are {}", names.join(", ")))
            }
            Some(Baseline::Values(values)) if values.is_empty() => {
                Err("baseline: name a row, or a value of at least one axis".into())
            }
            Some(Baseline::Values(values)) => {
                values.iter().try_for_each(|(axis, name)| self.find("baseline", axis, name))
            }
            _ => Ok(()),
        }
    }

    fn check_figure(&self) -> Result<(), String> {
        let Some(figure) = &self.figure else { return Ok(()) };
        let axis = |key: &str, name: &String| match self.axis(name) {
            Some(_) => Ok(()),
            None => Err(self.no_axis(key, name)),
        };
        axis("figure.x", &figure.x)?;
        let Some(series) = &figure.series else { return Ok(()) };
        axis("figure.series", series)?;
        if *series == figure.x {
            return Err(format!("figure.series: {series:?} is the axis x already"));
        }
        match self.axes.iter().find(|axis| axis.name != figure.x && axis.name != *series) {
            Some(axis) if axis.values.len() > 1 => Err(format!(
                "figure.series: the sweep has the axis {:?}, too; leave out `series` for a series of \
                 every combination",
                axis.name
            )),
            _ => Ok(()),
        }
    }

    /// Checks that the axis has this value.
    fn find(&self, key: &str, axis: &str, name: &str) -> Result<(), String> {
        let found = self.axis(axis).ok_or_else(|| self.no_axis(key, axis))?;
        let found = &self.axes[found];
        if found.value(name).is_some() {
            return Ok(());
        }
        let names: Vec<String> = found.values.iter().map(|it| format!("{:?}", it.name)).collect();
        let names = names.join(", ");
        Err(format!("{key}: axis {axis:?} has no value {name:?}; it has {names}"))
    }

    fn no_axis(&self, key: &str, name: &str) -> String {
        let names: Vec<String> = self.axes.iter().map(|axis| format!("{:?}", axis.name)).collect();
        match names.is_empty() {
            true => format!("{key}: {name:?} is not an axis; it needs [[axes]]"),
            false => format!("{key}: {name:?} is not an axis; the axes are {}", names.join(", ")),
        }
    }
}

/// Checks that the names give distinct folder names.
fn check_names<'a>(key: &str, names: impl Iterator<Item = &'a String>) -> Result<(), String> {
    let mut earlier: Vec<(String, &String)> = Vec::new();
    for name in names {
        let slug = slug(name);
        if slug.is_empty() {
            return Err(format!("{key}: {name:?} has no letter or digit to name a folder by"));
        }
        if let Some((_, other)) = earlier.iter().find(|(other, _)| *other == slug) {
            return Err(format!("{key}: {name:?} and {other:?} would share folders; rename one"));
        }
        earlier.push((slug, name));
    }
    Ok(())
}

fn has_repeats<T: Ord + Clone>(list: &[T]) -> bool {
    let distinct: BTreeSet<_> = list.iter().cloned().collect();
    distinct.len() < list.len()
}

//! Many runs of one experiment, for a table.

use std::path::Path;

use serde::Deserialize;

use crate::experiment::is_plain_name;
use crate::{Experiment, TuningError};

/// A table of experiments: each row one change to a common base, run with several seeds.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Sweep {
    /// What it is called.
    pub name: String,
    /// The experiment that all rows start from: a preset's name or a file.
    pub base: String,
    /// Seeds of the training, each of which runs every row.
    #[serde(default = "one_seed")]
    pub seeds: Vec<u64>,
    /// Changes for all rows, as `--set` takes them.
    #[serde(default)]
    pub set: Vec<String>,
    /// The rows.
    pub rows: Vec<SweepRow>,
}

/// A row of a [`Sweep`].
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SweepRow {
    /// What the table calls it.
    pub name: String,
    /// Changes to the base, as `--set` takes them.
    #[serde(default)]
    pub set: Vec<String>,
    /// One run for each of these changes, for every seed; the row is their mean.
    #[serde(default)]
    pub each: Vec<String>,
}

/// One run of a [`Sweep`].
#[derive(Debug, Clone, PartialEq)]
pub struct SweepRun {
    /// The row, from 0.
    pub row: usize,
    /// Which of the row's `each`, from 0.
    pub part: usize,
    /// The run's folder within the sweep's.
    pub folder: String,
    /// What is run.
    pub experiment: Experiment,
}

fn one_seed() -> Vec<u64> {
    vec![0]
}

impl Sweep {
    /// Read a sweep's TOML file.
    ///
    /// # Errors
    ///
    /// A file that cannot be read, unknown or missing keys, and a sweep without rows or seeds.
    pub fn from_file(path: &Path) -> Result<Self, TuningError> {
        let wrong = |problem: String| TuningError::Experiment {
            origin: path.display().to_string(),
            problem: problem.trim_end().to_owned(),
        };
        let text = std::fs::read_to_string(path)
            .map_err(|error| wrong(format!("cannot be read: {error}")))?;
        let sweep: Self = toml::from_str(&text).map_err(|error| wrong(error.to_string()))?;
        sweep.check().map_err(wrong)?;
        Ok(sweep)
    }

    fn check(&self) -> Result<(), String> {
        if !is_plain_name(&self.name) {
            let name = &self.name;
            return Err(format!(
                "name: {name:?} is not a plain name; the folder is called after it"
            ));
        }
        if self.rows.is_empty() {
            return Err("rows: there is none; add a [[rows]] with a name".into());
        }
        if self.seeds.is_empty() || has_repeats(&self.seeds) {
            return Err("seeds: list at least one seed, and each once".into());
        }
        let slugs: Vec<String> = self.rows.iter().map(SweepRow::slug).collect();
        for (index, (row, slug)) in self.rows.iter().zip(&slugs).enumerate() {
            let name = &row.name;
            if slug.is_empty() {
                return Err(format!(
                    "rows.name: {name:?} has no letter or digit to name a folder by"
                ));
            }
            if let Some(earlier) = slugs[..index].iter().position(|other| other == slug) {
                let other = &self.rows[earlier].name;
                return Err(format!(
                    "rows.name: {name:?} and {other:?} would share folders; rename one"
                ));
            }
        }
        let assignments = || {
            let of_rows = self.rows.iter().flat_map(|row| row.set.iter().chain(&row.each));
            self.set.iter().chain(of_rows)
        };
        let key = |assignment: &&String| {
            matches!(assignment.split('=').next().map(str::trim), Some("name" | "seed"))
        };
        match assignments().find(key) {
            Some(taken) => Err(format!(
                "set: {taken:?} has no effect; a sweep sets the name itself, and seeds by its key `seeds`"
            )),
            None => Ok(()),
        }
    }

    /// Every run, seed by seed: a sweep that is stopped early has whole rows of the first seeds.
    ///
    /// # Errors
    ///
    /// The base cannot be read, or a change does not fit; the row is named.
    pub fn runs(&self) -> Result<Vec<SweepRun>, TuningError> {
        let mut runs = Vec::new();
        for &seed in &self.seeds {
            for (index, row) in self.rows.iter().enumerate() {
                let parts = if row.each.is_empty() {
                    vec![None]
                } else {
                    row.each.iter().map(Some).collect()
                };
                for (part, change) in parts.iter().enumerate() {
                    let mut set: Vec<String> = self.set.iter().chain(&row.set).cloned().collect();
                    set.extend(change.map(String::clone));
                    // No slug has a dot: "rank.2" is never another row's.
                    let name = match parts.len() {
                        1 => row.slug(),
                        _ => format!("{}.{}", row.slug(), part + 1),
                    };
                    set.extend([format!("name={name}"), format!("seed={seed}")]);
                    let experiment = Experiment::find(&self.base, &set).map_err(|error| {
                        let problem = format!("row {:?}: {error}", row.name);
                        TuningError::Experiment { origin: self.name.clone(), problem }
                    })?;
                    let folder = format!("{name}-seed-{seed}");
                    runs.push(SweepRun { row: index, part, folder, experiment });
                }
            }
        }
        Ok(runs)
    }
}

impl SweepRow {
    /// The row's name as that of a folder: its letters and digits, in small letters, and hyphens between.
    fn slug(&self) -> String {
        let lower = self.name.to_lowercase();
        let words = lower.split(|c: char| !c.is_alphanumeric()).filter(|word| !word.is_empty());
        words.collect::<Vec<_>>().join("-")
    }
}

fn has_repeats<T: Ord + Clone>(list: &[T]) -> bool {
    let distinct: std::collections::BTreeSet<_> = list.iter().cloned().collect();
    distinct.len() < list.len()
}

#[cfg(test)]
mod tests {
    use super::*;
    use flora_data::Participants;

    fn read(text: &str) -> Result<Sweep, TuningError> {
        let file = tempfile::NamedTempFile::with_suffix(".toml").unwrap();
        std::fs::write(file.path(), text).unwrap();
        Sweep::from_file(file.path())
    }

    #[test]
    fn rows_and_seeds_become_runs() {
        let sweep = read(
            "name = 'x'\nbase = 'quickstart'\nseeds = [3, 4]\nset = ['training.rounds=2']\n\
             [[rows]]\nname = 'FLoRA, text'\n\
             [[rows]]\nname = 'alone'\nset = ['training.rounds=1']\n\
             each = ['federation.participants=[\"openmoji\"]', \
             'federation.participants=[\"fxemoji\"]']",
        );
        let runs = sweep.unwrap().runs().unwrap();
        let folders: Vec<_> = runs.iter().map(|run| run.folder.as_str()).collect();
        assert_eq!(
            folders,
            [
                "flora-text-seed-3",
                "alone.1-seed-3",
                "alone.2-seed-3",
                "flora-text-seed-4",
                "alone.1-seed-4",
                "alone.2-seed-4",
            ]
        );
        assert_eq!((runs[0].experiment.training.rounds, runs[0].experiment.seed), (2, 3));
        assert_eq!(runs[5].experiment.training.rounds, 1);
        assert_eq!((runs[5].row, runs[5].part), (1, 1));
        let only = Participants::Only(vec!["fxemoji".into()]);
        assert_eq!(runs[5].experiment.federation.participants, only);
    }

    #[test]
    fn mistakes_are_named() {
        let base = "name = 'x'\nbase = 'quickstart'\n";
        for (text, what) in [
            ("rows = []", "rows: there is none"),
            ("seeds = [1, 1]\n[[rows]]\nname = 'a'", "seeds"),
            ("seeds = []\n[[rows]]\nname = 'a'", "seeds"),
            ("[[rows]]\nname = 'a b'\n[[rows]]\nname = 'A, B!'", "\"A, B!\" and \"a b\""),
            ("[[rows]]\nname = '+'", "no letter or digit"),
            ("row = 3\n[[rows]]\nname = 'a'", "`row`"),
            ("[[rows]]\nname = 'a'\neach = ['seed=1']", "seed=1"),
            ("set = [' name = y']\n[[rows]]\nname = 'a'", "name = y"),
        ] {
            let message = read(&format!("{base}{text}")).unwrap_err().to_string();
            assert!(message.contains(what), "{message}");
        }
        assert!(read(&format!("{base}[[rows]]\nname = '学习率'")).is_ok());
        let outside = read("name = '../x'\nbase = 'quickstart'\n[[rows]]\nname = 'a'");
        assert!(outside.unwrap_err().to_string().contains("plain name"));
        let sweep = read("name = 'x'\nbase = 'nothing'\n[[rows]]\nname = 'a'").unwrap();
        assert!(sweep.runs().unwrap_err().to_string().contains("nothing"));
        let sweep =
            read("name = 'x'\nbase = 'quickstart'\n[[rows]]\nname = 'a'\nset = ['no.such=1']")
                .unwrap();
        let message = sweep.runs().unwrap_err().to_string();
        assert!(message.contains("row \"a\"") && message.contains("`no`"), "{message}");
    }
}

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use flora::core::files::write_atomic;
use flora::federation::RunStatus;
use flora::report::sweep::{SweepResult, csv, markdown, rows};
use flora::report::{Existing, RunFolder, RunSummary};
use flora::tuning;
use flora::tuning::SweepRun;

use super::run::{Keep, Place, execute};
use crate::failure::Failure;
use crate::output;

/// Run a table of experiments: rows of changes to one base, several seeds; may be stopped and resumed
#[derive(Debug, clap::Args)]
pub(crate) struct Sweep {
    /// The sweep's file, for example examples/emoji-vendors.toml
    #[arg(value_name = "FILE.toml")]
    file: PathBuf,
    /// Where to compute
    #[arg(long, value_name = "NAME", default_value = "cpu")]
    device: String,
    /// Folder of the runs and of the table; by default runs/sweeps/NAME. Runs that are there already and
    /// finished with the same settings, model, device and version of flora are not repeated
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
    /// Repeat all runs, for example after the images changed
    #[arg(long)]
    overwrite: bool,
}

impl Sweep {
    pub(crate) fn run(self) -> Result<(), Failure> {
        let sweep = tuning::Sweep::from_file(&self.file).map_err(Failure::input)?;
        let place = Place::parse(&self.device)?;
        let runs = sweep.runs().map_err(Failure::input)?;
        let out = self.out.unwrap_or_else(|| Path::new("runs/sweeps").join(&sweep.name));
        // Before the first of many runs, not after it.
        for run in &runs {
            RunFolder::check(out.join(&run.folder), Existing::ReplaceRun)
                .map_err(Failure::input)?;
        }
        let names: Vec<String> = sweep.rows.iter().map(|row| row.name.clone()).collect();
        let mut digests = BTreeMap::new();
        let (mut results, mut failures) = (Vec::new(), Vec::new());
        for (number, run) in runs.iter().enumerate() {
            let folder = out.join(&run.folder);
            let what = format!("[{}/{}] {}", number + 1, runs.len(), run.folder);
            let path = &run.experiment.model.path;
            if !digests.contains_key(path) {
                let digest = tuning::base_digest(&run.experiment).map_err(Failure::input)?;
                digests.insert(path.clone(), digest);
            }
            let earlier = if self.overwrite { None } else { finished(&folder, run) };
            let valid = |summary: &RunSummary| {
                summary.base_digest.as_ref() == digests.get(path)
                    && summary.device == place.name
                    && summary.versions.flora == env!("CARGO_PKG_VERSION")
            };
            let summary = match earlier.filter(valid) {
                Some(summary) => {
                    output::line(format!("{what}: there already"));
                    summary
                }
                None => {
                    output::line(format!("{what}:"));
                    let experiment = run.experiment.clone();
                    match execute(experiment, &place, &folder, Existing::ReplaceRun, Keep::Numbers)
                    {
                        Ok(summary) => summary,
                        // The other runs do not depend on it.
                        Err(Failure::Input(message) | Failure::Run(message)) => {
                            output::line(format!("failed: {message}"));
                            failures.push(format!("{}: {message}", run.folder));
                            continue;
                        }
                    }
                }
            };
            results.push(SweepResult { row: run.row, part: run.part, run: summary });
            // After every run: what was computed is in the table, whenever it is stopped.
            write(&out.join("results.md"), &markdown(&rows(&names, &results)))?;
            write(&out.join("results.csv"), &csv(&names, &results).map_err(Failure::run)?)?;
        }
        output::line(format!("\n{}", markdown(&rows(&names, &results))));
        output::line(format!("everything is in {}", out.display()));
        match failures.len() {
            0 => Ok(()),
            count => Err(Failure::Run(format!(
                "{count} of {} runs failed and are not in the table:\n{}",
                runs.len(),
                failures.join("\n")
            ))),
        }
    }
}

/// The summary of a run that finished with these very settings.
fn finished(folder: &Path, run: &SweepRun) -> Option<RunSummary> {
    let experiment = std::fs::read_to_string(folder.join("experiment.toml")).ok()?;
    let summary = RunSummary::load(folder.join("run.json")).ok()?;
    let same = experiment == run.experiment.to_toml();
    (same && summary.status == RunStatus::Finished).then_some(summary)
}

fn write(path: &Path, text: &str) -> Result<(), Failure> {
    write_atomic(path, text.as_bytes())
        .map_err(|error| Failure::Run(format!("cannot write {}: {error}", path.display())))
}

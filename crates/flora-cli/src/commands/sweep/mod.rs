mod child;
mod record;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};

use flora::core::text::{self, printable};
use flora::core::workers::Workers;
use flora::report::{Existing, FolderLock, RunFolder, RunSummary, is_run};
use flora::tuning::{self, SweepRun};

use self::child::{Child, finished};
use self::record::Record;
use crate::device::DeviceArgs;
use crate::failure::Failure;
use crate::output;
use crate::signals::Signals;

/// Run a table of experiments: changes to a base by row, or a product of axes, with several seeds and partition draws;
/// can be stopped and resumed
#[derive(Debug, clap::Args)]
pub(crate) struct Sweep {
    /// The sweep file, for example examples/emoji-vendors.toml
    #[arg(value_name = "FILE.toml")]
    file: PathBuf,
    #[command(flatten)]
    device: DeviceArgs,
    /// Folder of the runs and tables [default: runs/sweeps/NAME]. Runs that already finished there with the same
    /// settings, model, device and version of flora are not repeated
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
    /// Repeat all runs, for example after the images changed, and replace tables that no sweep wrote
    #[arg(long)]
    overwrite: bool,
    /// Number of parallel runs. It does not affect accuracies, but it affects seconds, because the runs compete
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u16).range(1..=256))]
    jobs: u16,
}

impl Sweep {
    pub(crate) fn run(self) -> Result<(), Failure> {
        let sweep = tuning::Sweep::from_file(&self.file).map_err(Failure::input)?;
        let place = self.device.open()?;
        let runs = sweep.runs().map_err(Failure::input)?;
        let out = self.out.clone().unwrap_or_else(|| Path::new("runs/sweeps").join(&sweep.name));
        if is_run(&out) {
            return Err(Failure::Input(format!(
                "--out: {} is the folder of a run; name another folder for the sweep",
                text::path(&out)
            )));
        }
        if !self.overwrite {
            record::check_free(&out)?;
        }
        // Two sweeps in one folder would overwrite each other's tables.
        std::fs::create_dir_all(&out)
            .map_err(|error| Failure::Input(format!("cannot create {}: {error}", out.display())))?;
        let _lock = FolderLock::acquire(&out).map_err(Failure::input)?;
        // Checked before the first of many runs, not after it.
        for run in &runs {
            RunFolder::check(out.join(&run.folder), Existing::ReplaceRun)
                .map_err(Failure::input)?;
        }
        let mut record = Record::new(&sweep, &out, &runs)?;
        let digests = digests(&runs)?;
        let valid = |run: &SweepRun, summary: &RunSummary| {
            summary.base_digest.as_ref() == digests.get(run.experiment.model.path.as_str())
                && summary.device == place.name
                && summary.versions.flora == env!("CARGO_PKG_VERSION")
        };
        let what = |index: usize| format!("[{}/{}] {}", index + 1, runs.len(), runs[index].folder);
        output::line(plan(&sweep, runs.len()));
        let mut pending = Vec::new();
        for (index, run) in runs.iter().enumerate() {
            let earlier = if self.overwrite { None } else { finished(&out.join(&run.folder), run) };
            match earlier.filter(|summary| valid(run, summary)) {
                Some(summary) => {
                    let earlier = in_short(&summary);
                    output::line(format!("{}: already done: {earlier}", what(index)));
                    record.add(index, run, summary);
                }
                None => pending.push(index),
            }
        }
        record.write()?;

        let jobs = usize::from(self.jobs);
        let signals = Signals::hear()?;
        let child = Child::new(&place, jobs, self.overwrite, signals.clone());
        // No run is started whose result could not be written.
        let stop = AtomicBool::new(false);
        let mut trouble = None;
        let work = |index: usize| {
            if stop.load(Ordering::Relaxed) || signals.came() {
                return (index, None);
            }
            output::line(format!("{} starts", what(index)));
            (index, Some(child.run(&runs[index], &out.join(&runs[index].folder))))
        };
        let done = |_, (index, result): &(usize, Option<Result<RunSummary, String>>)| {
            match result {
                Some(Ok(summary)) => {
                    output::line(format!("{}: {}", what(*index), in_short(summary)));
                    record.add(*index, &runs[*index], summary.clone());
                    // After every run, so that its result is in the table whenever the sweep is stopped.
                    if let Err(failure) = record.write() {
                        stop.store(true, Ordering::Relaxed);
                        trouble.get_or_insert(failure);
                    }
                }
                // The run was stopped together with the sweep.
                Some(Err(_)) if signals.came() => {}
                // The other runs do not depend on it.
                Some(Err(message)) => {
                    output::line(format!("{} failed: {}", what(*index), printable(message)));
                    record.fail(*index, &runs[*index], message);
                }
                None => {}
            }
        };
        Workers::new(jobs).map_err(Failure::run)?.map(pending, work, done);
        trouble.map_or(Ok(()), Err)?;
        if signals.came() {
            return Err(Failure::Stopped {
                code: signals.exit_code(),
                message: "stopped; repeat the command to resume".to_owned(),
            });
        }
        output::line(format!("\n{}", record.overview()));
        output::line(format!("results are in {}", text::path(&out)));
        record.outcome(runs.len())
    }
}

/// The number of runs, and how it comes about.
fn plan(sweep: &tuning::Sweep, runs: usize) -> String {
    let count = |count: usize, what: &str| match count {
        1 => format!("1 {what}"),
        count => format!("{count} {what}s"),
    };
    let draws = sweep.partition_seeds.as_ref().map(|draws| count(draws.len(), "draw"));
    let parts = [
        Some(count(sweep.combinations().len(), "row")),
        draws,
        Some(count(sweep.seeds.len(), "seed")),
    ];
    let parts: Vec<String> = parts.into_iter().flatten().collect();
    format!("{}: {}", count(runs, "run"), parts.join(", "))
}

/// The digest of each model.
fn digests(runs: &[SweepRun]) -> Result<BTreeMap<&str, String>, Failure> {
    let mut digests = BTreeMap::new();
    for run in runs {
        let path = run.experiment.model.path.as_str();
        if !digests.contains_key(path) {
            let digest = tuning::base_digest(&run.experiment).map_err(Failure::input)?;
            digests.insert(path, digest);
        }
    }
    Ok(digests)
}

/// The result of a run as one line.
fn in_short(run: &RunSummary) -> String {
    let seconds = flora::report::units::seconds(run.seconds.total);
    match (run.accuracy.last, run.last_round) {
        (Some(accuracy), Some(round)) => {
            let of = match run.scored_on.as_str() {
                "test" => String::new(),
                images => format!(" of the {images} images"),
            };
            format!("{:.1} %{of} after round {round}, {seconds}", 100.0 * accuracy.mean)
        }
        _ => format!("done, {seconds}"),
    }
}

use std::path::{Path, PathBuf};
use std::time::{Instant, SystemTime};

use flora::federation::RunStatus;
use flora::report::{Existing, ReportError, RunFolder, RunSummary, Versions, tables};
use flora::tuning::{Experiment, Finished, prepare, save_trained};

use super::experiment_args::ExperimentArgs;
use crate::failure::Failure;
use crate::output;
use crate::progress::Progress;

/// Run a federated experiment
#[derive(Debug, clap::Args)]
pub(crate) struct Run {
    #[command(flatten)]
    experiment: ExperimentArgs,
    /// Where to compute
    #[arg(long, value_name = "NAME", default_value = "cpu")]
    device: String,
    /// Folder of the run's files; by default runs/NAME, numbered if that is taken and not to be
    /// overwritten
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
    /// Replace an earlier run in the folder
    #[arg(long)]
    overwrite: bool,
    /// Seed of the training, instead of the experiment's
    #[arg(long, value_name = "N")]
    seed: Option<u64>,
    /// Threads that clients run on, instead of the experiment's; changes the time, never the result
    #[arg(long, value_name = "N")]
    threads: Option<usize>,
    /// Leave no trained parameters behind
    #[arg(long)]
    numbers_only: bool,
}

impl Run {
    pub(crate) fn run(self) -> Result<(), Failure> {
        let place = Place { threads: self.threads, ..Place::parse(&self.device)? };
        let mut experiment = self.experiment.resolve()?;
        experiment.seed = self.seed.unwrap_or(experiment.seed);
        let out = match self.out {
            Some(out) => out,
            None if self.overwrite => Path::new("runs").join(&experiment.name),
            None => free_folder(&experiment.name),
        };
        let existing = if self.overwrite { Existing::ReplaceRun } else { Existing::Refuse };
        let keep = if self.numbers_only { Keep::Numbers } else { Keep::Trained };
        let summary = execute(experiment, &place, &out, existing, keep)?;
        output::line(format!("{}\n", tables::summary(&summary)));
        output::line(format!("everything is in {}", out.display()));
        Ok(())
    }
}

/// Where to compute.
pub(crate) struct Place {
    pub(crate) name: String,
    device: flora::Device,
    /// Instead of the experiment's threads, where it is the CPU.
    threads: Option<usize>,
}

impl Place {
    /// What `--device` says.
    pub(crate) fn parse(name: &str) -> Result<Self, Failure> {
        let device = flora::device::parse(name).map_err(Failure::input)?;
        Ok(Self { name: name.to_owned(), device, threads: None })
    }
}

/// What a run leaves behind besides its numbers.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Keep {
    /// What was trained.
    Trained,
    /// Nothing.
    Numbers,
}

/// Run an experiment into the folder `out`, telling what happens.
fn execute(
    mut experiment: Experiment,
    place: &Place,
    out: &Path,
    existing: Existing,
    keep: Keep,
) -> Result<RunSummary, Failure> {
    let started = Instant::now();
    flora::report::reset_peak_memory();
    // As it was asked for: the threads change nothing but the time.
    let written = experiment.to_toml();
    if !flora::device::is_cpu(&place.name) {
        // One thread keeps a GPU busy.
        experiment.federation.threads = 1;
    } else if let Some(threads) = place.threads {
        experiment.federation.threads = threads;
    }
    let refused = |error| match error {
        ReportError::HoldsRun { .. } => Failure::Input(format!("{error} (--overwrite)")),
        error => Failure::input(error),
    };
    RunFolder::check(out, existing).map_err(refused)?;

    let mut progress = Progress::new();
    let prepared =
        prepare(experiment.clone(), &place.device, &mut progress).map_err(Failure::input)?;
    // Image features take more memory than what follows.
    crate::MEMORY.release();
    let folder = RunFolder::create(out, existing, &written).map_err(refused)?;
    let partition = serde_json::to_string_pretty(&prepared.partition).map_err(Failure::run)?;
    folder.write_partition(&partition).map_err(Failure::run)?;
    progress.record_in(folder.clone());

    let facts = Facts {
        device: place.name.clone(),
        trainable_parameters: prepared.trainable_parameters,
        total_parameters: prepared.total_parameters,
        data_seconds: prepared.data_seconds,
        base_digest: prepared.base_digest.clone(),
        started,
    };
    let finished = prepared.run(&mut progress);
    let told = progress.finish();
    let mut summary = summarize(&experiment, &finished, facts);
    summary.tell_clients(told.clients);
    // The numbers are shown whatever cannot be written; the first trouble is told at the end.
    let trained = finished.outcome.as_ref().filter(|_| keep == Keep::Trained);
    let saved = trained.map_or(Ok(()), |outcome| {
        save_trained(&experiment, &outcome.last, folder.path(), &place.device)
    });
    let summarized = folder.write_summary(&summary);
    output::line(format!("\n{}\n", tables::rounds(&told.events)));
    if let Some(failure) = finished.failure {
        output::line(format!("{}\n", tables::summary(&summary)));
        return Err(Failure::run(failure));
    }
    saved.map_err(Failure::run)?;
    summarized.map_err(Failure::run)?;
    told.unwritten.map_or(Ok(()), |error| Err(Failure::run(error)))?;
    Ok(summary)
}

/// What a summary tells besides the outcome.
struct Facts {
    device: String,
    trainable_parameters: usize,
    total_parameters: usize,
    data_seconds: f64,
    base_digest: String,
    started: Instant,
}

fn summarize(experiment: &Experiment, finished: &Finished, facts: Facts) -> RunSummary {
    let status = if finished.failure.is_none() { RunStatus::Finished } else { RunStatus::Failed };
    let mut summary = RunSummary::new(&experiment.name, status, finished.outcome.as_ref());
    let total = facts.started.elapsed();
    summary.error = finished.failure.as_ref().map(ToString::to_string);
    summary.seconds.data = facts.data_seconds;
    summary.seconds.total = total.as_secs_f64();
    summary.peak_memory_bytes = flora::report::peak_memory_bytes();
    summary.trainable_parameters = facts.trainable_parameters;
    summary.total_parameters = facts.total_parameters;
    summary.base_digest = Some(facts.base_digest);
    summary.seed = experiment.seed;
    summary.device = facts.device;
    summary.versions =
        Versions { flora: env!("CARGO_PKG_VERSION").into(), burn: flora::BURN_VERSION.into() };
    summary.command = Some(command());
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    summary.started_at = Some(now.saturating_sub(total).as_secs());
    summary
}

/// What the program was called with.
fn command() -> String {
    let arguments = std::env::args_os().map(|argument| argument.to_string_lossy().into_owned());
    arguments.collect::<Vec<_>>().join(" ")
}

/// `runs/NAME`, or `runs/NAME-2` and so on if that is taken.
fn free_folder(name: &str) -> PathBuf {
    let runs = Path::new("runs");
    let numbered = (2..).map(|number| format!("{name}-{number}"));
    std::iter::once(name.to_owned())
        .chain(numbered)
        .map(|name| runs.join(name))
        .find(|path| !path.exists())
        .expect("the numbers do not end")
}

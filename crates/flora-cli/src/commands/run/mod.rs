mod begin;
mod child;
mod clients;
mod resume;
mod session;

use std::path::{Path, PathBuf};

use flora::clip::Precision;
use flora::core::shell::quoted;
use flora::core::text;
use flora::report::{Existing, RunSummary, tables};
use flora::tuning::Experiment;

use super::experiment_args;
use crate::device::{DeviceArgs, Place};
use crate::failure::Failure;
use crate::output;
use crate::progress::Verbosity;

pub(in crate::commands) use child::{END, STOP};
use clients::Here;
pub(in crate::commands) use clients::{Clients, SERVED};
pub(crate) use session::client_folder;

/// Run a federated experiment, or resume an interrupted one
#[derive(Debug, clap::Args)]
pub(crate) struct Run {
    #[command(flatten)]
    shared: RunArgs,
    /// Threads that run clients, instead of the experiment's; affects the time, never the result
    #[arg(long, value_name = "N")]
    threads: Option<usize>,
    /// For a sweep's runs: resume if the folder holds this very run, and end with the sweep
    #[arg(long, hide = true, conflicts_with = "resume")]
    child: bool,
}

/// Arguments of a run, wherever its clients are.
#[derive(Debug, clap::Args)]
pub(in crate::commands) struct RunArgs {
    /// A preset (see `flora presets`) or an experiment file; - reads it from standard input
    #[arg(value_name = "NAME|FILE.toml", required_unless_present = "resume")]
    experiment: Option<String>,
    /// Change a value of the experiment, for example training.rounds=5; may be repeated
    #[arg(long = "set", value_name = "KEY=VALUE")]
    assignments: Vec<String>,
    /// Resume the run in this folder, which was interrupted, killed or failed. The result is bit-identical to that of
    /// an uninterrupted run
    #[arg(
        long,
        value_name = "DIR",
        conflicts_with_all = [
            "experiment", "assignments", "out", "overwrite", "seed", "precision", "numbers_only", "init_adapter",
            "save_every", "keep_every", "keep_clients", "tensorboard",
        ]
    )]
    resume: Option<PathBuf>,
    #[command(flatten)]
    device: DeviceArgs,
    /// Folder of the run's files [default: runs/NAME, numbered if that exists and --overwrite is not given]
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
    /// Replace an earlier run in the folder
    #[arg(long)]
    overwrite: bool,
    /// Seed of the training, instead of the experiment's
    #[arg(long, value_name = "N")]
    seed: Option<u64>,
    /// Precision of the frozen vision tower, f32, bf16 or f16, instead of the experiment's model.precision
    #[arg(long, value_name = "PRECISION")]
    precision: Option<Precision>,
    /// Save no trained parameters
    #[arg(long)]
    numbers_only: bool,
    /// Start from this adapter in PEFT's format, from any source, instead of a new one
    #[arg(long, value_name = "DIR")]
    init_adapter: Option<PathBuf>,
    /// Save the state for resuming after every K rounds; 0: never [default: 1]
    #[arg(long, value_name = "K")]
    save_every: Option<usize>,
    /// Keep the trained parameters after every K rounds, in rounds/
    #[arg(long, value_name = "K")]
    keep_every: Option<usize>,
    /// Keep each client's own parameters after its last training, in clients/
    #[arg(long)]
    keep_clients: bool,
    /// Write event files for TensorBoard, in tensorboard/
    #[arg(long)]
    tensorboard: bool,
    #[command(flatten)]
    voice: VoiceArgs,
}

/// The amount of output.
#[derive(Debug, clap::Args)]
#[group(multiple = false)]
struct VoiceArgs {
    /// Print warnings and errors only
    #[arg(short, long)]
    quiet: bool,
    /// Also print a line for each client
    #[arg(short, long)]
    verbose: bool,
    /// Print only JSON: every event and the summary, one per line
    #[arg(long)]
    json: bool,
}

impl VoiceArgs {
    fn voice(&self) -> Verbosity {
        match (self.quiet, self.verbose, self.json) {
            (true, _, _) => Verbosity::Quiet,
            (_, true, _) => Verbosity::Verbose,
            (_, _, true) => Verbosity::Json,
            _ => Verbosity::Normal,
        }
    }
}

/// The parameters that a run keeps.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Keep {
    /// The trained parameters.
    Trained,
    /// None; only the numbers.
    Numbers,
}

impl Run {
    pub(crate) fn run(self) -> Result<(), Failure> {
        let Self { shared, threads, child } = self;
        match child {
            true => shared.run_child(threads),
            false => shared.run(threads, &mut Here),
        }
    }
}

impl RunArgs {
    /// Starts or resumes the run, and prints its result.
    pub(in crate::commands) fn run(
        &self,
        threads: Option<usize>,
        clients: &mut dyn Clients,
    ) -> Result<(), Failure> {
        let voice = self.voice.voice();
        let (summary, out) = match &self.resume {
            Some(folder) => {
                let (device, keep) = (&self.device, Keep::Trained);
                let summary = resume::resume(folder, device, threads, keep, voice, clients)?;
                (summary, folder.clone())
            }
            None => {
                let name = self.experiment.as_deref().expect("clap asks for it");
                let mut experiment = experiment_args::resolve(name, &self.assignments)?;
                self.change(&mut experiment)?;
                let out = self.folder(&experiment);
                let existing = if self.overwrite { Existing::ReplaceRun } else { Existing::Refuse };
                let place = self.place(threads)?;
                let keep = self.keep();
                let summary =
                    begin::begin(experiment, &place, &out, existing, keep, voice, clients)?;
                (summary, out)
            }
        };
        tell(&summary, &out, voice)
    }

    /// A run of a sweep.
    fn run_child(&self, threads: Option<usize>) -> Result<(), Failure> {
        let (voice, keep) = (self.voice.voice(), self.keep());
        let place = self.place(threads)?;
        let mut experiment = child::experiment()?;
        self.change(&mut experiment)?;
        let out = self.folder(&experiment);
        if !self.overwrite && child::is_begun(&out, &experiment) {
            match resume::resume(
                &out,
                &self.device.named(&place.name),
                threads,
                keep,
                voice,
                &mut Here,
            ) {
                // The run was started with another device, version or model, or its state is damaged. Like a finished
                // run with other settings, the sweep repeats it.
                Err(Failure::Input(problem)) => {
                    let problem = text::printable(&problem);
                    output::line(format!("warning: the run starts anew: {problem}"));
                }
                other => return tell(&other?, &out, voice),
            }
        }
        let existing = Existing::ReplaceRun;
        let summary = begin::begin(experiment, &place, &out, existing, keep, voice, &mut Here)?;
        tell(&summary, &out, voice)
    }

    pub(in crate::commands) fn voice(&self) -> Verbosity {
        self.voice.voice()
    }

    fn place(&self, threads: Option<usize>) -> Result<Place, Failure> {
        Ok(Place { threads, ..self.device.open()? })
    }

    fn keep(&self) -> Keep {
        if self.numbers_only { Keep::Numbers } else { Keep::Trained }
    }

    fn folder(&self, experiment: &Experiment) -> PathBuf {
        match &self.out {
            Some(out) => out.clone(),
            None if self.overwrite => Path::new("runs").join(&experiment.name),
            None => free_folder(&experiment.name),
        }
    }

    /// Applies the options to the experiment.
    fn change(&self, experiment: &mut Experiment) -> Result<(), Failure> {
        experiment.seed = self.seed.unwrap_or(experiment.seed);
        experiment.model.precision = self.precision.unwrap_or(experiment.model.precision);
        let output = &mut experiment.output;
        output.save_every = self.save_every.unwrap_or(output.save_every);
        output.keep_every = self.keep_every.unwrap_or(output.keep_every);
        output.keep_clients |= self.keep_clients;
        output.tensorboard |= self.tensorboard;
        if let Some(adapter) = &self.init_adapter {
            // As an absolute path, so that the run can be resumed from any folder.
            let path = std::path::absolute(adapter)
                .map_err(|error| Failure::Input(format!("{}: {error}", adapter.display())))?;
            if path.to_str().is_none() {
                let path = text::path(&path);
                let why = "it is not UTF-8, and cannot be written into experiment.toml; rename it";
                return Err(Failure::Input(format!("--init-adapter: {path}: {why}")));
            }
            experiment.method.init_adapter = Some(path);
        }
        Ok(())
    }
}

/// Prints the result of a run.
fn tell(summary: &RunSummary, out: &Path, voice: Verbosity) -> Result<(), Failure> {
    match voice {
        Verbosity::Quiet => {}
        Verbosity::Json => output::summary(summary)?,
        Verbosity::Normal | Verbosity::Verbose => {
            output::line(tables::summary(summary, output::page()));
            output::line(format!("results are in {}", text::path(out)));
            if summary.scored_on != "test" {
                // The test images had no influence on the best round.
                let best = if summary.best_saved { " --best" } else { "" };
                output::line(format!(
                    "the test images were not used; to evaluate them: flora eval --run {}{best}",
                    quoted(out)
                ));
            }
        }
    }
    Ok(())
}

/// `runs/NAME`, or `runs/NAME-2` and so on if that exists.
fn free_folder(name: &str) -> PathBuf {
    let runs = Path::new("runs");
    let numbered = (2..).map(|number| format!("{name}-{number}"));
    std::iter::once(name.to_owned())
        .chain(numbered)
        .map(|name| runs.join(name))
        .find(|path| !path.exists())
        .expect("the numbers do not end")
}

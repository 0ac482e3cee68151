use std::path::{Path, PathBuf};
use std::time::{Instant, SystemTime};

use flora::federation::RunStatus;
use flora::report::{Existing, ReportError, RunFolder, RunSummary, Versions, tables};
use flora::tuning::{Experiment, Finished, prepare};

use super::experiment_args::ExperimentArgs;
use crate::failure::Failure;
use crate::progress::Progress;

/// Run a federated experiment
#[derive(Debug, clap::Args)]
pub(crate) struct Run {
    #[command(flatten)]
    experiment: ExperimentArgs,
    /// Where to compute
    #[arg(long, value_name = "NAME", default_value = "cpu")]
    device: String,
    /// Folder of the run's files; by default runs/NAME, numbered if that is taken
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
    /// Replace an earlier run in the folder
    #[arg(long)]
    overwrite: bool,
    /// Seed of the training, instead of the experiment's
    #[arg(long, value_name = "N")]
    seed: Option<u64>,
}

impl Run {
    pub(crate) fn run(self) -> Result<(), Failure> {
        let started = Instant::now();
        let device = flora::device::parse(&self.device).map_err(Failure::input)?;
        let mut experiment = self.experiment.resolve()?;
        experiment.seed = self.seed.unwrap_or(experiment.seed);
        if !flora::device::is_cpu(&self.device) {
            // One thread keeps a GPU busy.
            experiment.federation.threads = 1;
        }
        let out = self.out.unwrap_or_else(|| free_folder(&experiment.name));
        let existing = if self.overwrite { Existing::ReplaceRun } else { Existing::Refuse };
        let folder = RunFolder::create(&out, existing, &experiment.to_toml());
        let folder = folder.map_err(|error| match error {
            ReportError::HoldsRun { .. } => {
                Failure::Input(format!("{error}; --overwrite replaces it"))
            }
            error => Failure::input(error),
        })?;

        let mut progress = Progress::new(folder);
        let prepared =
            prepare(experiment.clone(), &device, &mut progress).map_err(Failure::input)?;
        let partition = serde_json::to_string_pretty(&prepared.partition).map_err(Failure::run)?;
        progress.folder().write_partition(&partition).map_err(Failure::run)?;
        let mut summary = RunSummary::new(&experiment.name, RunStatus::Failed, None);
        summary.trainable_parameters = prepared.trainable_parameters;
        summary.total_parameters = prepared.total_parameters;
        let data_seconds = prepared.data_seconds;
        let finished = prepared.run(&mut progress);

        let measured = of_outcome(&experiment, &finished);
        let summary = RunSummary {
            trainable_parameters: summary.trainable_parameters,
            total_parameters: summary.total_parameters,
            seconds: flora::report::RunSeconds {
                data: data_seconds,
                total: started.elapsed().as_secs_f64(),
                ..measured.seconds
            },
            peak_memory_bytes: flora::report::peak_memory_bytes(),
            seed: experiment.seed,
            device: self.device,
            versions: Versions {
                flora: env!("CARGO_PKG_VERSION").into(),
                burn: flora::BURN_VERSION.into(),
            },
            command: Some(std::env::args().collect::<Vec<_>>().join(" ")),
            started_at: SystemTime::now()
                .duration_since(SystemTime::UNIX_EPOCH)
                .ok()
                .map(|now| now.as_secs().saturating_sub(started.elapsed().as_secs())),
            ..measured
        };
        finish(progress, &experiment, &finished, &summary)?;
        match finished.failure {
            None => Ok(()),
            Some(failure) => Err(Failure::run(failure)),
        }
    }
}

fn of_outcome(experiment: &Experiment, finished: &Finished) -> RunSummary {
    let status = if finished.failure.is_none() { RunStatus::Finished } else { RunStatus::Failed };
    let mut summary = RunSummary::new(&experiment.name, status, finished.outcome.as_ref());
    summary.error = finished.failure.as_ref().map(ToString::to_string);
    summary
}

/// Write what is left to write and show the tables.
fn finish(
    progress: Progress,
    experiment: &Experiment,
    finished: &Finished,
    summary: &RunSummary,
) -> Result<(), Failure> {
    let (folder, events, unwritten) = progress.finish();
    folder.write_summary(summary).map_err(Failure::run)?;
    if let Some(outcome) = &finished.outcome {
        let adapter = folder.adapter_dir().map_err(Failure::run)?;
        let base = experiment.model.path.display().to_string();
        flora::lora::save_peft(&adapter, &outcome.last, &experiment.method.lora, &base)
            .map_err(Failure::run)?;
    }
    println!("\n{}\n\n{}\n", tables::rounds(&events), tables::summary(summary));
    println!("everything is in {}", folder.path().display());
    match unwritten {
        None => Ok(()),
        Some(error) => Err(Failure::run(error)),
    }
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

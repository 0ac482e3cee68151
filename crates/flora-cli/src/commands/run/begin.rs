//! Starting a new run.

use std::path::Path;
use std::time::{Instant, SystemTime};

use flora::report::{Existing, ReportError, RunFacts, RunFolder, RunSummary, Versions};
use flora::tuning::Experiment;

use super::session::Session;
use super::{Clients, Keep};
use crate::device::Place;
use crate::failure::Failure;
use crate::progress::{Progress, Verbosity};

/// Runs an experiment into the folder `out` and reports progress.
pub(super) fn begin(
    mut experiment: Experiment,
    place: &Place,
    out: &Path,
    existing: Existing,
    keep: Keep,
    voice: Verbosity,
    clients: &mut dyn Clients,
) -> Result<RunSummary, Failure> {
    let started = Instant::now();
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    flora::report::reset_peak_memory();
    // As requested: the number of threads changes only the time.
    let written = experiment.to_toml();
    place.set_threads(&mut experiment);
    let refused = |error| match error {
        ReportError::HoldsRun { .. } => Failure::Input(format!("{error} (--overwrite)")),
        error => Failure::input(error),
    };
    RunFolder::check(out, existing).map_err(refused)?;

    let mut progress = Progress::new(voice);
    progress.start_with(&experiment);
    let prepared = clients.prepare(experiment, place, None, &mut progress)?;
    let folder = RunFolder::create(out, existing, &written).map_err(refused)?;
    clients.remember(&folder)?;
    folder.write_partition(&prepared.partition_json()).map_err(Failure::run)?;
    progress.record_in(folder.clone());
    let facts = RunFacts {
        versions: versions(),
        device: place.name.clone(),
        base_digest: prepared.base_digest.clone(),
        inputs: prepared.inputs.clone(),
        numbers_only: keep == Keep::Numbers,
        command: command(),
        started_at: now.as_secs(),
        data_seconds: prepared.data_seconds,
        total_seconds: 0.0,
    };
    let session = Session { folder, facts, started, device: place.device.clone(), clients };
    session.run(prepared, None, progress)
}

/// The versions of this program and its parts.
pub(super) fn versions() -> Versions {
    Versions { flora: env!("CARGO_PKG_VERSION").into(), burn: flora::BURN_VERSION.into() }
}

/// The command line of this program.
fn command() -> String {
    let arguments = std::env::args_os().map(|argument| argument.to_string_lossy().into_owned());
    arguments.collect::<Vec<_>>().join(" ")
}

//! A run that goes on from where another process left off.

use std::path::Path;
use std::time::Instant;

use flora::federation::RunStatus;
use flora::report::{
    Existing, FolderLock, ReportError, RunFolder, RunStates, RunSummary, SavedRun, read_events,
};
use flora::tuning::{Experiment, prepare};

use super::Keep;
use super::begin::{begin, versions};
use super::session::{Place, Session, partition_json};
use crate::failure::Failure;
use crate::output;
use crate::progress::{Progress, Voice};

const EXPERIMENT: &str = "experiment.toml";
const METRICS: &str = "metrics.jsonl";

/// Goes on with the run in `path`.
pub(super) fn resume(
    path: &Path,
    device: Option<&str>,
    threads: Option<usize>,
    voice: Voice,
) -> Result<RunSummary, Failure> {
    let started = Instant::now();
    flora::report::reset_peak_memory();
    let not_a_run = || ReportError::NotARun { path: path.to_owned() };
    let text =
        std::fs::read_to_string(path.join(EXPERIMENT)).map_err(|_| Failure::input(not_a_run()))?;
    // The work before the first round takes longer than this. It is locked for good below.
    drop(FolderLock::acquire(path).map_err(Failure::input)?);
    let origin = path.join(EXPERIMENT).display().to_string();
    let mut experiment = Experiment::from_toml(&origin, &text, &[]).map_err(Failure::input)?;
    let Some(saved) = RunStates::load(path).map_err(Failure::input)? else {
        return without_state(path, experiment, device, threads, voice);
    };
    let SavedRun { state, facts, events, passed_over } = saved;
    let place = Place { threads, ..Place::parse(&facts.device)? };
    check(path, device, &facts.device, &facts.versions.flora)?;
    if let Some(problem) = &passed_over {
        output::warning(&format!("{problem}; the run goes on from the state before it"));
    }
    if voice.is_for_people() {
        let (done, rounds) = (state.rounds_done(), experiment.rounds());
        output::line(format!("{}: {done} of {rounds} rounds are done", path.display()));
    }
    place.set_threads(&mut experiment);
    let mut progress = Progress::new(voice);
    if experiment.method.init_adapter.is_some() {
        progress.start_with_adapter();
    }
    let prepared = prepare(experiment, &place.device, &mut progress).map_err(Failure::input)?;
    crate::MEMORY.release();
    if prepared.base_digest != facts.base_digest {
        return Err(Failure::Input(format!(
            "{}: the weights of {} are not those that the run began with: put the original back, or \
             start a new run in another folder",
            path.display(),
            prepared.experiment.model.path
        )));
    }
    let partition = std::fs::read_to_string(path.join("partition.json")).unwrap_or_default();
    if partition_json(&prepared)? != partition {
        return Err(Failure::Input(format!(
            "{}: the images of {} are not split across clients as when the run began: put the original \
             data back, or start a new run in another folder",
            path.display(),
            prepared.experiment.data.path.display()
        )));
    }
    let folder = RunFolder::resume(path, &events).map_err(Failure::input)?;
    let told = read_events(path.join(METRICS)).map_err(Failure::input)?;
    progress.go_on_in(folder.clone(), told);
    let session = Session { folder, facts, started, device: place.device.clone() };
    session.run(prepared, Some(state), progress)
}

/// What the state was saved with, and this process is not.
fn check(
    path: &Path,
    device: Option<&str>,
    saved_device: &str,
    saved_version: &str,
) -> Result<(), Failure> {
    let other = |device: &&str| {
        Place::parse(device).map(|place| place.device).ok()
            != Place::parse(saved_device).map(|place| place.device).ok()
    };
    if let Some(device) = device.filter(other) {
        return Err(Failure::Input(format!(
            "--device {device}: the run in {} computed on {saved_device}, and other devices round \
             otherwise; leave out --device",
            path.display()
        )));
    }
    let version = versions().flora;
    if saved_version != version {
        return Err(Failure::Input(format!(
            "{} was begun by flora {saved_version}, and this is flora {version}: resume it with that \
             version, or start it anew with --overwrite",
            path.display()
        )));
    }
    Ok(())
}

/// A run that is finished, or died before its first state.
fn without_state(
    path: &Path,
    experiment: Experiment,
    device: Option<&str>,
    threads: Option<usize>,
    voice: Voice,
) -> Result<RunSummary, Failure> {
    let summary = RunSummary::load(path.join("run.json")).ok();
    match summary {
        Some(summary) if summary.status == RunStatus::Finished => {
            if voice.is_for_people() {
                output::line(format!("{} is finished; nothing is to be done\n", path.display()));
            }
            Ok(summary)
        }
        Some(_) => Err(Failure::Input(format!(
            "{} holds no state to go on from: it was run with output.save_every = 0, or state/ was \
             removed. Start it anew with --overwrite",
            path.display()
        ))),
        None => {
            if voice.is_for_people() {
                output::line(format!("{}: nothing was saved yet; it begins anew", path.display()));
            }
            let place = Place { threads, ..Place::parse(device.unwrap_or("cpu"))? };
            begin(experiment, &place, path, Existing::ReplaceRun, Keep::Trained, voice)
        }
    }
}

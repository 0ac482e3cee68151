//! Resuming a run that another process started.

use std::path::Path;
use std::time::Instant;

use flora::core::shell::quoted;
use flora::core::text;
use flora::federation::{Event, RunStatus, Simulation};
use flora::report::{
    EXPERIMENT, Existing, FolderLock, METRICS, PARTITION, ReportError, RunFacts, RunFolder,
    RunStates, RunSummary, SUMMARY, SavedRun, read_events,
};
use flora::tuning::{Experiment, Prepared};

use super::begin::{begin, versions};
use super::session::Session;
use super::{Clients, Keep, SERVED};
use crate::device::{DeviceArgs, Place};
use crate::failure::Failure;
use crate::output;
use crate::progress::{Progress, Verbosity};

/// The remedy for changed inputs.
const PUT_BACK: &str = "put the original back, or start a new run in another folder";
/// The remedy for a run that cannot be resumed.
const START_ANEW: &str = "start it anew with --overwrite, or in another folder";

/// Resumes the run in `path`. `keep` is what the run keeps, which the folder does not say if the run died before its
/// first state.
pub(super) fn resume(
    path: &Path,
    device: &DeviceArgs,
    threads: Option<usize>,
    keep: Keep,
    voice: Verbosity,
    clients: &mut dyn Clients,
) -> Result<RunSummary, Failure> {
    let started = Instant::now();
    flora::report::reset_peak_memory();
    let not_a_run = || ReportError::NotARun { path: path.to_owned() };
    if !path.join(EXPERIMENT).is_file() {
        return Err(Failure::input(not_a_run()));
    }
    if clients.are_here() && path.join(SERVED).is_file() {
        return Err(Failure::Input(format!(
            "{}: the clients of this run are sites; resume it with: flora serve --superlink URL --resume {}",
            path.display(),
            quoted(path)
        )));
    }
    let replacement = || RunFolder::interrupted_replacement(path).map_err(Failure::input);
    // Without the lock, since a read-only folder may not have one.
    if replacement()?.is_none()
        && let Some(summary) = finished(path, voice)
    {
        RunFolder::tidy(path);
        return Ok(summary);
    }
    // Held until the end: everything read from here on must stay unchanged.
    let lock = FolderLock::acquire(path).map_err(Failure::input)?;
    let replacement = replacement()?;
    // The process that held the lock may have finished the run.
    if replacement.is_none()
        && let Some(summary) = finished(path, voice)
    {
        return Ok(summary);
    }
    let is_replacement = replacement.is_some();
    let text = match replacement {
        Some(text) => text,
        None => std::fs::read_to_string(path.join(EXPERIMENT))
            .map_err(|_| Failure::input(not_a_run()))?,
    };
    let origin = path.join(EXPERIMENT).display().to_string();
    let mut experiment = Experiment::from_toml(&origin, &text, &[]).map_err(Failure::input)?;
    let saved = match is_replacement {
        // An existing state would belong to the replaced run.
        true => None,
        false => RunStates::load(path).map_err(Failure::input)?,
    };
    let Some(saved) = saved else {
        if !is_replacement {
            check_nothing_was_computed(path, &experiment)?;
        }
        drop(lock);
        if voice.is_for_people() {
            let path = text::path(path);
            output::line(format!("{path}: nothing was computed yet; it starts anew"));
        }
        let place = Place { threads, ..device.open()? };
        return begin(experiment, &place, path, Existing::ReplaceRun, keep, voice, clients);
    };
    let SavedRun { state, facts, events, passed_over } = saved;
    check(path, device.given(), &facts.device, &facts.versions.flora)?;
    let place = Place { threads, ..device.named(&facts.device).open()? };
    if experiment.output.save_every > 0 && clients.are_here() {
        Simulation::check_states(&state, &RunStates::clients_file(path))
            .map_err(|error| Failure::Input(format!("{error}; {START_ANEW}")))?;
    }
    if let Some(problem) = &passed_over {
        output::warning(&format!("{problem}; the run resumes from the previous state"));
    }
    if voice.is_for_people() {
        let (done, rounds) = (state.rounds_done(), experiment.rounds());
        output::line(format!("{}: {done} of {rounds} rounds are done", text::path(path)));
    }
    place.set_threads(&mut experiment);
    let mut progress = Progress::new(voice);
    progress.start_with(&experiment);
    let prepared = clients.prepare(experiment, &place, Some(path), &mut progress)?;
    check_inputs(path, &facts, &prepared, clients.are_here())?;
    let folder = RunFolder::resume_locked(path, lock, &events).map_err(Failure::input)?;
    if passed_over.is_some() {
        let mut states = RunStates::open(&folder).map_err(Failure::run)?;
        states.forget_damaged().map_err(Failure::run)?;
    }
    let told = read_events(path.join(METRICS)).map_err(Failure::input)?;
    progress.go_on_in(folder.clone(), told);
    let session = Session { folder, facts, started, device: place.device.clone(), clients };
    session.run(prepared, Some(state), progress)
}

/// The summary of a finished run.
fn finished(path: &Path, voice: Verbosity) -> Option<RunSummary> {
    if path.join("state").is_dir() {
        return None;
    }
    let summary = RunSummary::load(path.join(SUMMARY)).ok()?;
    let finished = summary.status == RunStatus::Finished;
    if finished && voice.is_for_people() {
        output::line(format!("{} is already finished\n", text::path(path)));
    }
    finished.then_some(summary)
}

/// Checks that the model, images and other inputs are those at the start of the run.
fn check_inputs(
    path: &Path,
    facts: &RunFacts,
    prepared: &Prepared,
    with_partition: bool,
) -> Result<(), Failure> {
    let experiment = &prepared.experiment;
    let other = |what: String| {
        let path = path.display();
        Failure::Input(format!("{path}: {what} since the run began: {PUT_BACK}"))
    };
    if prepared.base_digest != facts.base_digest {
        return Err(other(format!("the weights of {} changed", experiment.model.path)));
    }
    let data = experiment.data.path.display();
    let partition = std::fs::read_to_string(path.join(PARTITION)).unwrap_or_default();
    if with_partition && prepared.partition_json() != partition {
        return Err(other(format!("the images of {data}, or how they are split, changed")));
    }
    let inputs = &prepared.inputs;
    let names = inputs.keys().chain(facts.inputs.keys());
    match names.into_iter().find(|name| inputs.get(*name) != facts.inputs.get(*name)) {
        Some(name) => Err(other(format!("the {name} (data: {data}) changed"))),
        None => Ok(()),
    }
}

/// Checks that this process has the same version and device as the one that saved the state.
fn check(
    path: &Path,
    device: Option<&str>,
    saved_device: &str,
    saved_version: &str,
) -> Result<(), Failure> {
    let other = |device: &&str| {
        flora::device::parse(device).ok() != flora::device::parse(saved_device).ok()
    };
    if let Some(device) = device.filter(other) {
        return Err(Failure::Input(format!(
            "--device {device}: the run in {} computed on {saved_device}, and other devices round \
             differently; leave out --device",
            path.display()
        )));
    }
    let version = versions().flora;
    if saved_version != version {
        return Err(Failure::Input(format!(
            "{} was started by flora {saved_version}, and this is flora {version}: resume it with that \
             version, or start anew with --overwrite",
            path.display()
        )));
    }
    Ok(())
}

/// Whether a run without a state died before its first one, or keeps none, or lost them.
fn check_nothing_was_computed(path: &Path, experiment: &Experiment) -> Result<(), Failure> {
    // The first state is saved before anything is computed.
    let events = read_events(path.join(METRICS)).map_err(Failure::input)?;
    if !events.iter().any(|event| matches!(event, Event::Evaluated { .. })) {
        return Ok(());
    }
    let why = match experiment.output.save_every {
        0 => "it was run with output.save_every = 0",
        _ => "its folder state/ is gone",
    };
    let path = path.display();
    Err(Failure::Input(format!("{path} holds no state to resume from: {why}; {START_ANEW}")))
}

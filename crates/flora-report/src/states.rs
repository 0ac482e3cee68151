//! The states of a run in its folder.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use flora_core::files::remove_folder;
use flora_federation::{RunState, StateFolder};
use serde::{Deserialize, Serialize};

use crate::folder::{EXPERIMENT, PARTITION, STATE};
use crate::{EventsMark, ReportError, RunFolder, Versions, summary};

/// The key of the facts in a state.
const RUN: &str = "run";
/// The key of the mark in a state.
const EVENTS: &str = "events";
/// The file of client states, beside the run's states.
const CLIENTS_FILE: &str = "clients.bin";

/// The facts of a run that must match for it to be resumed, and that its summary will report.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct RunFacts {
    /// Versions that it runs with.
    pub versions: Versions,
    /// The device, as named by `--device`: other devices round differently.
    pub device: String,
    /// SHA-256 of the base model's weights.
    pub base_digest: String,
    /// SHA-256 of its other inputs, by their names in messages.
    pub inputs: BTreeMap<String, String>,
    /// Whether it writes numbers only, and no trained parameters.
    pub numbers_only: bool,
    /// The command line that started it.
    pub command: String,
    /// The start time, in seconds since 1970-01-01 UTC.
    pub started_at: u64,
    /// Wall-clock seconds of data and features, over all sessions.
    pub data_seconds: f64,
    /// Wall-clock seconds in total, over all sessions, until the state was saved.
    pub total_seconds: f64,
}

/// The `state/` folder of a run: the contents of [`flora_federation::StateFolder`], with marks in `metrics.jsonl` and
/// checksums of the files that the state belongs to.
#[derive(Debug)]
pub struct RunStates {
    folder: RunFolder,
    states: StateFolder,
    /// Of experiment and partition.
    digests: BTreeMap<String, String>,
}

/// A state from which a run is to be resumed.
#[derive(Debug)]
pub struct SavedRun {
    /// The state.
    pub state: RunState,
    /// The facts of its run.
    pub facts: RunFacts,
    /// The end of the valid part of `metrics.jsonl`.
    pub events: EventsMark,
    /// The reason why a later state could not be used, if there is one.
    pub passed_over: Option<String>,
}

impl RunStates {
    /// For a run whose folder already holds the experiment and the partition.
    ///
    /// # Errors
    /// [`ReportError::State`] and [`ReportError::Io`].
    pub fn open(folder: &RunFolder) -> Result<Self, ReportError> {
        let states = StateFolder::open(folder.path().join(STATE))?;
        Ok(Self { states, digests: digests(folder.path())?, folder: folder.clone() })
    }

    /// The last undamaged state of the run in the folder `path`, if there is any. Changes nothing.
    ///
    /// # Errors
    /// [`ReportError::State`] if all states are damaged, and for a state of another version of flora;
    /// [`ReportError::Foreign`] if experiment or partition are not those that the state was saved with.
    pub fn load(path: impl AsRef<Path>) -> Result<Option<SavedRun>, ReportError> {
        let path = path.as_ref();
        let states = path.join(STATE);
        if !states.is_dir() {
            return Ok(None);
        }
        let loaded = match StateFolder::open(&states)?.load() {
            Ok(loaded) => loaded,
            Err(flora_federation::StateError::Missing { .. }) => return Ok(None),
            Err(error) => return Err(error.into()),
        };
        for (name, now) in digests(path)? {
            if loaded.facts.get(&name) != Some(&now) {
                return Err(ReportError::Foreign { path: path.join(name) });
            }
        }
        let foreign = || ReportError::Foreign { path: states.clone() };
        let fact = |key: &str| loaded.facts.get(key).ok_or_else(foreign);
        Ok(Some(SavedRun {
            facts: serde_json::from_str(fact(RUN)?).map_err(|_| foreign())?,
            events: serde_json::from_str(fact(EVENTS)?).map_err(|_| foreign())?,
            passed_over: loaded.passed_over.map(|error| error.to_string()),
            state: loaded.state,
        }))
    }

    /// The file of the client states of the run in the folder `path`.
    pub fn clients_file(path: impl AsRef<Path>) -> PathBuf {
        path.as_ref().join(STATE).join(CLIENTS_FILE)
    }

    /// Saves a state. The events are written first, so that the state never refers to missing lines.
    ///
    /// # Errors
    /// [`ReportError::Io`] if events could not be written, now or earlier, and [`ReportError::State`]. Earlier states
    /// stay intact.
    pub fn save(&mut self, state: &RunState, facts: &RunFacts) -> Result<(), ReportError> {
        let mut all = self.digests.clone();
        let text = |value: serde_json::Result<String>| value.expect("plain data");
        all.insert(EVENTS.to_owned(), text(serde_json::to_string(&self.folder.mark()?)));
        all.insert(RUN.to_owned(), text(serde_json::to_string(facts)));
        Ok(self.states.save(state, &all)?)
    }

    /// Removes unusable states, before the run is resumed from an earlier one.
    ///
    /// # Errors
    /// [`ReportError::State`].
    pub fn forget_damaged(&mut self) -> Result<(), ReportError> {
        Ok(self.states.forget_damaged()?)
    }

    /// Removes the folder of states, once the run is finished and its results are written.
    ///
    /// # Errors
    /// [`ReportError::Io`].
    pub fn remove(self) -> Result<(), ReportError> {
        let path = self.states.path();
        remove_folder(path).map_err(ReportError::io("remove", path))
    }
}

/// SHA-256 of the files that a state belongs to, by their names.
fn digests(folder: &Path) -> Result<BTreeMap<String, String>, ReportError> {
    let digest = |name: &str| Ok((name.to_owned(), summary::digest(&folder.join(name))?));
    [EXPERIMENT, PARTITION].into_iter().map(digest).collect()
}

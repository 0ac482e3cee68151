mod events;
mod lock;
pub(crate) mod read;
mod replace;

use std::{
    collections::BTreeMap,
    fs, io,
    path::{Component, Path, PathBuf},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use flora_core::files::{remove_folder, remove_leftovers, write_atomic};
use flora_core::sealed;
use flora_federation::{Event, RunStatus};

use self::events::EventLog;
pub use self::events::{EventsMark, read_events};
pub use self::lock::FolderLock;
use crate::{ReportError, RunSummary, summary};

/// The resolved experiment.
pub const EXPERIMENT: &str = "experiment.toml";
/// The experiment that is to replace the run in the folder; it exists while the old run is being removed.
const NEXT: &str = "next.toml";
/// The events.
pub const METRICS: &str = "metrics.jsonl";
/// The examples of each client.
pub const PARTITION: &str = "partition.json";
/// The summary.
pub const SUMMARY: &str = "run.json";
/// Predictions of the trained model, if there are any: see [`save_predictions`](crate::predictions::save_predictions).
pub const PREDICTIONS: &str = "predictions.csv";
/// Predictions of the model before training, if there are any.
pub const PREDICTIONS_BEFORE: &str = "predictions-before.csv";
/// The page about the run, if one was made.
pub(crate) const REPORT: &str = "report.html";
/// Folders of trained parameters: adapters, or a whole model.
const TRAINED: [&str; 2] = ["adapter", "model"];
/// Trained parameters of another kind.
const TRAINED_FILE: &str = "trained.safetensors";
/// In a folder of trained parameters: the origin of the parameters, and checksums of the files beside it.
const ORIGIN: &str = "flora.json";
/// Trained parameters of the best round, of selected rounds, and of single clients.
const BEST: &str = "best";
const ROUNDS: &str = "rounds";
const CLIENTS: &str = "clients";
/// The states from which a run is resumed.
pub(crate) const STATE: &str = "state";
pub(crate) const TENSORBOARD: &str = "tensorboard";

/// The treatment of an output folder that is not empty.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Existing {
    /// Refuse it.
    Refuse,
    /// If it holds an earlier run, remove that run's files and start anew; refuse anything else.
    ReplaceRun,
}

/// The folder of a run in progress, locked until the last clone is dropped or the process ends. Clones write into the
/// same folder.
#[derive(Debug, Clone)]
pub struct RunFolder {
    path: PathBuf,
    metrics: Arc<Mutex<EventLog>>,
    _lock: Arc<FolderLock>,
}

impl RunFolder {
    /// Checks that [`RunFolder::create`] would accept the folder `path`, without changing it. Call this before starting
    /// work whose result is to be written there.
    ///
    /// # Errors
    /// [`ReportError::NotAFolder`], [`ReportError::Locked`], [`ReportError::HoldsRun`] and
    /// [`ReportError::NotEmpty`].
    pub fn check(path: impl AsRef<Path>, existing: Existing) -> Result<(), ReportError> {
        replace::check(path.as_ref(), existing).map(drop)
    }

    /// Whether a running process is writing to the folder `path`. False if the file system has no locks.
    pub fn is_locked(path: impl AsRef<Path>) -> bool {
        lock::is_locked(path.as_ref())
    }

    /// Creates the folder `path`, with `experiment` as its `experiment.toml` and an empty `metrics.jsonl`.
    ///
    /// # Errors
    /// [`ReportError::NotAFolder`], [`ReportError::HoldsRun`] and [`ReportError::NotEmpty`] if the
    /// path is taken and `existing` does not allow it; [`ReportError::Locked`] if another process, or this one,
    /// writes it; [`ReportError::Io`] names the file.
    pub fn create(
        path: impl Into<PathBuf>,
        existing: Existing,
        experiment: &str,
    ) -> Result<Self, ReportError> {
        let path = path.into();
        replace::check(&path, existing)?;
        fs::create_dir_all(&path).map_err(ReportError::io("create the folder", &path))?;
        let lock = FolderLock::acquire(&path)?;
        // Checked again: a run may have begun and ended in between.
        let replaces = replace::holds_run(&path, existing)?;
        if replaces {
            // From here on, the folder holds the new run.
            let next = path.join(NEXT);
            write_atomic(&next, experiment.as_bytes()).map_err(ReportError::io("write", next))?;
            replace::remove_run(&path)?;
        }
        remove_leftovers(&path).map_err(ReportError::io("clean up", &path))?;
        let metrics = EventLog::create(&path.join(METRICS))?;
        let folder = Self::new(path, metrics, lock);
        folder.write_text(EXPERIMENT, experiment)?;
        if replaces {
            replace::remove_file(&folder.path, NEXT)?;
        }
        Ok(folder)
    }

    /// The `experiment.toml` of a run that was killed while it removed an earlier run from the folder `path`. The
    /// remains of the earlier run are worthless, and the new run has computed nothing yet. `None` if there is no such
    /// run.
    ///
    /// # Errors
    /// [`ReportError::Io`].
    pub fn interrupted_replacement(path: impl AsRef<Path>) -> Result<Option<String>, ReportError> {
        let next = path.as_ref().join(NEXT);
        match read::text(&next) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            other => other.map(Some).map_err(ReportError::io("read", next)),
        }
    }

    /// Continues the run in the folder `path`: cuts `metrics.jsonl` to the length in `events`, in order to append to
    /// it, and removes `run.json`, which describes the interrupted run.
    ///
    /// # Errors
    /// [`ReportError::NotARun`] if there is no run in the folder; [`ReportError::Locked`] if a process writes it;
    /// [`ReportError::EventsChanged`] if `metrics.jsonl` is shorter than the length in `events` or has another
    /// beginning; [`ReportError::Io`] names the file. With the first three, the run is unchanged.
    pub fn resume(path: impl Into<PathBuf>, events: &EventsMark) -> Result<Self, ReportError> {
        let path = path.into();
        if !is_run(&path) {
            return Err(not_a_run(&path));
        }
        let lock = FolderLock::acquire(&path)?;
        Self::resume_locked(path, lock, events)
    }

    /// [`resume`](Self::resume) for a caller that already holds the folder's lock. The state with `events` was read
    /// under that lock, so no other process has continued from it since.
    ///
    /// # Errors
    /// As [`resume`](Self::resume), except for the lock.
    pub fn resume_locked(
        path: impl Into<PathBuf>,
        lock: FolderLock,
        events: &EventsMark,
    ) -> Result<Self, ReportError> {
        let path = path.into();
        if !is_run(&path) {
            return Err(not_a_run(&path));
        }
        let metrics = EventLog::resume(&path.join(METRICS), events)?;
        replace::remove_file(&path, SUMMARY)?;
        // They belong to the model at the time when the run stopped.
        replace::remove_file(&path, PREDICTIONS)?;
        remove_leftovers(&path).map_err(ReportError::io("clean up", &path))?;
        Ok(Self::new(path, metrics, lock))
    }

    /// Removes leftovers of a finished run whose process was killed while cleaning up: states and partial files. Does
    /// nothing for other runs, or if the folder is locked or read-only: leftovers only take up space.
    pub fn tidy(path: impl AsRef<Path>) {
        let path = path.as_ref();
        let is_finished = || {
            let summary = RunSummary::load(path.join(SUMMARY));
            summary.is_ok_and(|summary| summary.status == RunStatus::Finished)
        };
        if let Ok(_lock) = FolderLock::acquire(path)
            && is_finished()
        {
            let _ = remove_folder(&path.join(STATE));
            let _ = remove_leftovers(path);
        }
    }

    fn new(path: PathBuf, metrics: EventLog, lock: FolderLock) -> Self {
        Self { path, metrics: Arc::new(Mutex::new(metrics)), _lock: Arc::new(lock) }
    }

    /// The path of the folder.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Writes `partition.json`.
    ///
    /// # Errors
    /// [`ReportError::Io`].
    pub fn write_partition(&self, json: &str) -> Result<(), ReportError> {
        self.write_text(PARTITION, json)
    }

    /// Writes a file of the folder, completely or not at all.
    ///
    /// # Errors
    /// [`ReportError::Name`] if `name` is not a plain file name; [`ReportError::Io`].
    pub fn write_text(&self, name: &str, text: &str) -> Result<(), ReportError> {
        let mut components = Path::new(name).components();
        if !matches!((components.next(), components.next()), (Some(Component::Normal(_)), None)) {
            let name = name.to_owned();
            return Err(ReportError::Name { name });
        }
        let path = self.path.join(name);
        write_atomic(&path, text.as_bytes()).map_err(ReportError::io("write", path))
    }

    /// Appends the event to `metrics.jsonl`. The line is in the file when this returns, so a run that dies leaves all
    /// earlier events.
    ///
    /// # Errors
    /// [`ReportError::Io`]. After the first one (the disk is full), the file ends with its last complete line, nothing
    /// more is appended, and every later call returns the same error.
    pub fn record(&self, event: &Event) -> Result<(), ReportError> {
        self.metrics().record(event)
    }

    /// Waits until all events are on the disk and marks where they end, for [`RunFolder::resume`]. A state that is
    /// saved after this call never refers to lines that are lost in a power cut.
    ///
    /// # Errors
    /// [`ReportError::Io`], also if an earlier [`RunFolder::record`] failed.
    pub fn mark(&self) -> Result<EventsMark, ReportError> {
        self.metrics().mark()
    }

    fn metrics(&self) -> MutexGuard<'_, EventLog> {
        // A panic never leaves half an event behind.
        self.metrics.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Writes `run.json`, with the checksums of the other files that are read back, and its own. Returns the summary as
    /// written.
    ///
    /// # Errors
    /// [`ReportError::Io`].
    pub fn write_summary(&self, summary: &RunSummary) -> Result<RunSummary, ReportError> {
        let mut files = BTreeMap::new();
        let mut add = |name: String| -> Result<(), ReportError> {
            let path = self.path.join(&name);
            if path.is_file() {
                files.insert(name, summary::digest(&path)?);
            }
            Ok(())
        };
        for name in [EXPERIMENT, PARTITION, METRICS] {
            add(name.to_owned())?;
        }
        // To detect parameters that were replaced by those of another run. Files beside a file of origin are covered by
        // its checksums.
        let mut folders = vec![String::new(), format!("{BEST}/")];
        if let Ok(clients) = fs::read_dir(self.path.join(CLIENTS)) {
            let names = clients.flatten().filter_map(|entry| entry.file_name().into_string().ok());
            folders.extend(names.map(|name| format!("{CLIENTS}/{name}/")));
        }
        for folder in folders {
            for trained in TRAINED {
                add(format!("{folder}{trained}/{ORIGIN}"))?;
            }
            add(format!("{folder}{TRAINED_FILE}"))?;
        }
        let summary = RunSummary { files, ..summary.clone() };
        let text = sealed::to_string(&summary).map_err(|source| ReportError::Json {
            path: self.path.join(SUMMARY),
            line: None,
            source,
        })?;
        self.write_text(SUMMARY, &text)?;
        Ok(summary)
    }
}

/// The reason why there is no run in the folder.
pub(crate) fn not_a_run(path: &Path) -> ReportError {
    match irregular(path) {
        Some((file, error)) => ReportError::io("read", file)(error),
        None => ReportError::NotARun { path: path.to_owned() },
    }
}

/// In a folder that has the names of a run's files, the one that is no regular file. A pipe or a device does not make a
/// run, but should not go unmentioned.
pub(crate) fn irregular(path: &Path) -> Option<(PathBuf, io::Error)> {
    let files = [EXPERIMENT, METRICS].map(|name| path.join(name));
    if !files.iter().all(|file| file.exists()) {
        return None;
    }
    let wrong = |file: PathBuf| {
        let error = read::open(&file).err()?;
        (error.kind() == io::ErrorKind::InvalidInput).then_some((file, error))
    };
    files.into_iter().find_map(wrong)
}

/// Whether the folder has held a run. An experiment file alone is not a run: users keep such files beside others.
pub fn is_run(path: &Path) -> bool {
    path.join(EXPERIMENT).is_file() && path.join(METRICS).is_file()
}

use std::{
    fs::{self, File, OpenOptions},
    io::{self, Write},
    path::{Component, Path, PathBuf},
    sync::Arc,
};

use flora_core::files::write_atomic;
use flora_federation::Event;

use crate::{ReportError, RunSummary};

const EXPERIMENT: &str = "experiment.toml";
const METRICS: &str = "metrics.jsonl";
const PARTITION: &str = "partition.json";
const SUMMARY: &str = "run.json";
/// Folders of trained parameters: adapters, or a whole model.
const TRAINED: [&str; 2] = ["adapter", "model"];
/// Trained parameters of another kind.
const TRAINED_FILE: &str = "trained.safetensors";

/// What to do with an output folder that is not empty.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Existing {
    /// Refuse it.
    Refuse,
    /// If it holds an earlier run, remove that run's files and start anew; refuse anything else.
    ReplaceRun,
}

/// The folder of a run in progress. Clones write into the same folder.
#[derive(Debug, Clone)]
pub struct RunFolder {
    path: PathBuf,
    metrics: Arc<File>,
}

impl RunFolder {
    /// Whether [`RunFolder::create`] would take the folder `path`, without touching it: to be asked
    /// before work begins whose result is to go there.
    ///
    /// # Errors
    /// [`ReportError::NotAFolder`], [`ReportError::HoldsRun`] and [`ReportError::NotEmpty`].
    pub fn check(path: impl AsRef<Path>, existing: Existing) -> Result<(), ReportError> {
        check(path.as_ref(), existing).map(drop)
    }

    /// Makes the folder `path`, with `experiment` as its `experiment.toml` and an empty
    /// `metrics.jsonl`.
    ///
    /// # Errors
    /// [`ReportError::NotAFolder`], [`ReportError::HoldsRun`] and [`ReportError::NotEmpty`] if the
    /// path is taken and `existing` does not allow it; [`ReportError::Io`] names the file.
    pub fn create(
        path: impl Into<PathBuf>,
        existing: Existing,
        experiment: &str,
    ) -> Result<Self, ReportError> {
        let path = path.into();
        if check(&path, existing)? {
            remove_run(&path)?;
        }
        fs::create_dir_all(&path).map_err(ReportError::io("create the folder", &path))?;

        let metrics = path.join(METRICS);
        let metrics = OpenOptions::new()
            .create(true)
            .write(true)
            .truncate(true)
            .open(&metrics)
            .map_err(ReportError::io("create", &metrics))?;
        let folder = Self { path, metrics: Arc::new(metrics) };
        folder.write_text(EXPERIMENT, experiment)?;
        Ok(folder)
    }

    /// Where it is.
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

    /// Writes a file of the folder, whole or not at all.
    ///
    /// # Errors
    /// [`ReportError::Name`] if `name` is more than a file name; [`ReportError::Io`].
    pub fn write_text(&self, name: &str, text: &str) -> Result<(), ReportError> {
        let mut components = Path::new(name).components();
        if !matches!((components.next(), components.next()), (Some(Component::Normal(_)), None)) {
            let name = name.to_owned();
            return Err(ReportError::Name { name });
        }
        let path = self.path.join(name);
        write_atomic(&path, text.as_bytes()).map_err(ReportError::io("write", path))
    }

    /// Appends the event to `metrics.jsonl`. The line is in the file when this returns, so a run
    /// that dies leaves all that was told before.
    ///
    /// # Errors
    /// [`ReportError::Io`].
    pub fn record(&self, event: &Event) -> Result<(), ReportError> {
        let path = || self.path.join(METRICS);
        let mut line = serde_json::to_vec(event).map_err(|source| ReportError::Json {
            path: path(),
            line: None,
            source,
        })?;
        line.push(b'\n');
        (&*self.metrics).write_all(&line).map_err(ReportError::io("append to", path()))
    }

    /// Writes `run.json`.
    ///
    /// # Errors
    /// [`ReportError::Io`].
    pub fn write_summary(&self, summary: &RunSummary) -> Result<(), ReportError> {
        let mut text = serde_json::to_string_pretty(summary).map_err(|source| {
            ReportError::Json { path: self.path.join(SUMMARY), line: None, source }
        })?;
        text.push('\n');
        self.write_text(SUMMARY, &text)
    }
}

/// Reads a `metrics.jsonl`. A last line without its end, from a run that was killed while writing
/// it, is left out.
///
/// # Errors
/// [`ReportError::Io`], and [`ReportError::Json`] which names the line.
pub fn read_events(path: impl AsRef<Path>) -> Result<Vec<Event>, ReportError> {
    let path = path.as_ref();
    let text = fs::read_to_string(path).map_err(ReportError::io("read", path))?;
    let complete = text.rfind('\n').map_or("", |end| &text[..end]);
    let parse = |(index, line)| {
        serde_json::from_str(line).map_err(|source| ReportError::Json {
            path: path.to_owned(),
            line: Some(index + 1),
            source,
        })
    };
    complete.lines().enumerate().map(parse).collect()
}

/// Whether the folder may be taken, and if so whether it holds a run to be removed first.
fn check(path: &Path, existing: Existing) -> Result<bool, ReportError> {
    let path = path.to_owned();
    if !path.exists() {
        return Ok(false);
    }
    if !path.is_dir() {
        return Err(ReportError::NotAFolder { path });
    }
    let read = ReportError::io("read the folder", &path);
    if fs::read_dir(&path).map_err(read)?.next().is_none() {
        return Ok(false);
    }
    // An experiment file alone is no run: people keep theirs beside other things.
    let is_run = path.join(EXPERIMENT).is_file() && path.join(METRICS).is_file();
    match (is_run, existing) {
        (true, Existing::ReplaceRun) => Ok(true),
        (true, _) => Err(ReportError::HoldsRun { path }),
        (false, _) => Err(ReportError::NotEmpty { path }),
    }
}

/// Removes what a run writes, and nothing else. The files that mark a run go last, so that a
/// removal that is cut short can be taken up again.
fn remove_run(folder: &Path) -> Result<(), ReportError> {
    for name in TRAINED {
        let path = folder.join(name);
        ignore_absent(fs::remove_dir_all(&path)).map_err(ReportError::io("remove", path))?;
    }
    for name in [TRAINED_FILE, SUMMARY, PARTITION, METRICS, EXPERIMENT] {
        let path = folder.join(name);
        ignore_absent(fs::remove_file(&path)).map_err(ReportError::io("remove", path))?;
    }
    Ok(())
}

fn ignore_absent(result: io::Result<()>) -> io::Result<()> {
    match result {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        other => other,
    }
}

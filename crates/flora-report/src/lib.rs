//! What runs and evaluations leave behind: run folders, summaries, classification reports, tables and plots.
//!
//! A run leaves one folder behind, which can be moved, and read by other tools:
//!
//! | file | holds |
//! |---|---|
//! | `experiment.toml` | the experiment as resolved: every default filled in |
//! | `partition.json` | which example went to which client |
//! | `metrics.jsonl` | one [`Event`](flora_federation::Event) a line, written as it happens |
//! | `run.json` | the [`RunSummary`] |
//! | `adapter/`, `model/` or `trained.safetensors` | the trained parameters |
//! | `best/`, `rounds/`, `clients/` | trained parameters besides those of the last round |
//! | `state/` | what an interrupted run needs to go on |
//! | `tensorboard/` | event files for TensorBoard |
//! | `predictions.csv`, `predictions-before.csv` | the model's predictions after and before training, if `flora eval` wrote them |
//! | `report.html` | the [`page`] about the run, if one was made |
//! | `run.lock` | nothing; a process that writes the folder holds its lock |
//!
//! [`runs`] lists runs, [`compare()`] puts some side by side. [`classification`] counts what a classifier gets right,
//! [`predictions`] lists what it says of each image. [`tables`] renders runs and reports for a
//! terminal, [`sweep`] many runs as Markdown, LaTeX and CSV, [`figures`] draws charts as SVG and PNG,
//! [`plots`] those of the program, and [`page`] puts all of it on an HTML page.

mod append;
pub mod classification;
mod compare;
mod error;
pub mod figures;
mod folder;
pub mod page;
pub mod plots;
pub mod predictions;
pub mod retrieval;
pub mod runs;
mod sheet;
mod states;
mod summary;
pub mod sweep;
pub mod tables;
mod tally;
mod tensorboard;
pub mod units;

pub use compare::{Comparison, Round, Setting, compare};
pub use error::ReportError;
pub use flora_core::memory::{peak_memory_bytes, reset_peak_memory};
pub use folder::{
    EXPERIMENT, EventsMark, Existing, FolderLock, METRICS, PARTITION, RunFolder, SUMMARY, is_run,
    read_events,
};
pub use runs::{RunRecord, RunState};
pub use states::{RunFacts, RunStates, SavedRun};
pub use summary::{
    Accuracies, Accuracy, ClientAccuracy, LocalAccuracy, RunSeconds, RunSummary, Versions,
};
pub use tally::ClientTally;
pub use tensorboard::TensorBoard;

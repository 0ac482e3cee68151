//! Results of runs and evaluations: run folders, summaries, classification reports, tables, figures and pages.
//!
//! A run writes one folder, which can be moved, and read by other tools:
//!
//! | file | holds |
//! |---|---|
//! | `experiment.toml` | the resolved experiment, with all defaults filled in |
//! | `partition.json` | the examples of each client |
//! | `metrics.jsonl` | one [`Event`](flora_federation::Event) per line, written as it happens |
//! | `run.json` | the [`RunSummary`] |
//! | `adapter/`, `model/` or `trained.safetensors` | the trained parameters |
//! | `best/`, `rounds/`, `clients/` | trained parameters other than those of the last round |
//! | `state/` | the state from which an interrupted run can be resumed |
//! | `tensorboard/` | event files for TensorBoard |
//! | `predictions.csv`, `predictions-before.csv` | the model's predictions after and before training, if `flora report --predictions` or `flora eval` wrote them |
//! | `report.html` | the [`page`] about the run, if one was made |
//! | `run.lock` | nothing; a process that writes the folder holds a lock on this file |
//!
//! [`runs`] lists runs, and [`compare()`] compares several. [`classification`] scores a classifier, and [`predictions`]
//! lists its predictions image by image. [`tables`] renders runs and reports for a terminal, and [`sweep`] renders many
//! runs as Markdown, LaTeX and CSV. [`figures`] draws charts as SVG and PNG, [`plots`] draws the program's own figures,
//! and [`page`] makes HTML pages.

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
    EXPERIMENT, EventsMark, Existing, FolderLock, METRICS, PARTITION, PREDICTIONS,
    PREDICTIONS_BEFORE, RunFolder, SUMMARY, is_run, read_events,
};
pub use runs::{RunRecord, RunState};
pub use states::{RunFacts, RunStates, SavedRun};
pub use summary::{
    Accuracies, Accuracy, ClientAccuracy, LocalAccuracy, RunSeconds, RunSummary, Versions,
};
pub use tally::ClientTally;
pub use tensorboard::TensorBoard;

//! One file per command: its arguments and the library calls behind it.

pub(crate) mod bench;
pub(crate) mod classify;
pub(crate) mod completions;
mod dataset_args;
pub(crate) mod datasets;
pub(crate) mod devices;
#[cfg(feature = "flower")]
pub(crate) mod doctor;
pub(crate) mod embed;
pub(crate) mod eval;
mod evaluated_run;
mod experiment_args;
pub(crate) mod export;
pub(crate) mod init;
pub(crate) mod man;
mod model_args;
#[cfg(feature = "flower")]
pub(crate) mod node;
pub(crate) mod partition;
pub(crate) mod presets;
pub(crate) mod pretrain;
pub(crate) mod privacy;
mod prompt_args;
pub(crate) mod report;
pub(crate) mod retrieve;
pub(crate) mod run;
pub(crate) mod runs;
#[cfg(feature = "flower")]
pub(crate) mod serve;
#[cfg(feature = "flower")]
mod superlink_args;
pub(crate) mod sweep;
mod trained_run;
pub(crate) mod try_device;
pub(crate) mod watch;

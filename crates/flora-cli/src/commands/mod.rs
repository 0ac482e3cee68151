//! One file a command: its arguments and the library calls it stands for.

pub(crate) mod classify;
pub(crate) mod datasets;
mod experiment_args;
pub(crate) mod partition;
pub(crate) mod presets;
pub(crate) mod pretrain;
pub(crate) mod run;

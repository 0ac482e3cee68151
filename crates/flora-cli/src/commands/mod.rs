//! One file a command: its arguments and the library calls it stands for.

pub(crate) mod pretrain;

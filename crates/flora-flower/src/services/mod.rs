//! A SuperLink's services, one file each.

mod control;
mod fleet;
mod runtime;
mod superexec;

pub use self::control::ControlService;
pub use self::fleet::FleetService;
pub use self::runtime::{AcquiredTask, RuntimeService};
pub use self::superexec::SuperExecSecret;

//! A server: its run on a SuperLink, and the fleet of the nodes that are there.

mod app;
mod exchange;
mod fleet;
mod members;
mod run;

pub use self::fleet::{SiteEvent, SuperLinkFleet};
pub use self::run::{End, ServerRun};

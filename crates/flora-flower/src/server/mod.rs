//! A server: its run on a SuperLink, and the fleet of its nodes.

mod app;
mod event;
mod exchange;
mod fleet;
mod gather;
mod members;
mod run;
mod tasks;

pub use self::event::SiteEvent;
pub use self::fleet::SuperLinkFleet;
pub use self::run::{End, ServerRun};

//! The parameters of any burn module, by name.
//!
//! [`visit`] and [`map`] are the only walkers through a module: the one that reads, the one that writes. Both give a
//! closure each float parameter with its dotted name. [`collect`], [`assign`] and [`count`] do with them what a
//! record needs; a closure of theirs says what the record calls a parameter, and leaves out the others.
//! [`name_parameters`] makes identities of the names, so that the state of an optimizer can move to another process.

mod identity;
mod record;
mod walk;

pub use identity::{name_parameters, parameter_id};
pub use record::{Entry, assign, collect, count};
pub use walk::{FloatParameter, Place, map, visit};

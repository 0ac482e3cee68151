//! The parameters of any burn module, by name.
//!
//! [`visit`] and [`map`] are the only functions that walk through a module: one reads, the other writes. Both call a
//! closure for each float parameter with its dotted name. [`collect`], [`assign`] and [`count`] use them for records;
//! their closures give the name of a parameter in the record, or `None` to skip it. [`name_parameters`] derives
//! identities from the names, so that the state of an optimizer can move to another process.

mod identity;
mod record;
mod walk;

pub use identity::{name_parameters, parameter_id};
pub use record::{Entry, assign, collect, count};
pub use walk::{FloatParameter, Place, map, visit};

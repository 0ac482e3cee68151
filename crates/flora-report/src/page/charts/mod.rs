//! Charts with their numbers as tables.

mod bars;
mod heat;
mod lines;

pub(super) use self::{
    bars::{Bars, Quantity},
    heat::{Counts, Heat},
    lines::{Line, Lines},
};

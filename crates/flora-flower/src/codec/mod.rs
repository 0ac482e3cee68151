//! flora's messages as Flower's records, in two forms.
//!
//! - [`Form::Stock`] is that of Flower's own strategies: one numpy array a tensor, readable by any Flower app,
//!   for `f32` and `f16`. See [`stock`] for what becomes what.
//! - [`Form::Flora`] is for two ends that are both flora's: all element types, every setting and metric bit by
//!   bit, and 3 objects a message where the stock form has 2 a tensor: 1.1 % more bytes than the values of a
//!   small adapter (96 KiB in 24 tensors) have. See [`packed`].

pub(crate) mod config;
mod error;
pub(crate) mod npy;
pub mod packed;
pub mod stock;

use flora_federation::Message;

use crate::objects::RecordDict;

pub use error::CodecError;

/// How a message lies in records.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Form {
    /// That of flora's own ends.
    Flora,
    /// That of Flower's strategies.
    Stock,
}

/// A message as records.
///
/// # Errors
///
/// In the stock form: a tensor whose element type numpy lacks, and names that would collide. In flora's form:
/// a head of 4 GiB.
pub fn to_records(message: &Message, form: Form) -> Result<RecordDict, CodecError> {
    match form {
        Form::Flora => packed::to_records(message),
        Form::Stock => stock::to_records(message),
    }
}

/// A message from records, and the form it had.
///
/// # Errors
///
/// A [`CodecError`] that names the record, and the tensor or setting, that is not as it must be.
pub fn from_records(records: &RecordDict) -> Result<(Message, Form), CodecError> {
    match packed::is_packed(records) {
        true => Ok((packed::from_records(records)?, Form::Flora)),
        false => Ok((stock::from_records(records)?, Form::Stock)),
    }
}

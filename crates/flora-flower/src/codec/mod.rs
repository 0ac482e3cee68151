//! flora's messages as Flower records, in two forms.
//!
//! - [`Form::Stock`] is the form of Flower's own strategies: one numpy array per tensor, readable by any Flower app,
//!   for `f32` and `f16`. See [`stock`] for the mapping.
//! - [`Form::Flora`] is for two ends that both run flora. It holds all element types and every setting and metric bit
//!   by bit. It needs 3 objects per message, where the stock form needs 2 per tensor: 1.1 % more bytes than the values
//!   of a small adapter (96 KiB in 24 tensors). See [`packed`].

pub(crate) mod config;
mod error;
pub mod packed;
pub mod stock;

use flora_federation::Message;

use crate::objects::RecordDict;

pub use error::CodecError;

/// How a message is laid out in records.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Form {
    /// The form between flora's own ends.
    Flora,
    /// The form of Flower's strategies.
    Stock,
}

/// Converts a message to records.
///
/// # Errors
///
/// In the stock form: a tensor whose element type numpy lacks, or names that would collide. In flora's form: a head of
/// 4 GiB.
pub fn to_records(message: &Message, form: Form) -> Result<RecordDict, CodecError> {
    match form {
        Form::Flora => packed::to_records(message),
        Form::Stock => stock::to_records(message),
    }
}

/// Reads a message from records; also returns its form.
///
/// # Errors
///
/// A [`CodecError`] that names the record and the malformed tensor or setting.
pub fn from_records(records: &RecordDict) -> Result<(Message, Form), CodecError> {
    match packed::is_packed(records) {
        true => Ok((packed::from_records(records)?, Form::Flora)),
        false => Ok((stock::from_records(records)?, Form::Stock)),
    }
}

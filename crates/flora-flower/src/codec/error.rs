use flora_core::RecordError;
use thiserror::Error;

/// Why a message cannot be written as records, or read from them.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum CodecError {
    /// A tensor with an element type that this form cannot hold.
    #[error("record `{record}`, tensor `{tensor}`: {problem}")]
    Tensor {
        /// The record.
        record: String,
        /// The tensor.
        tensor: String,
        /// The problem and the remedy.
        problem: String,
    },
    /// An error of the record itself.
    #[error("record `{record}`: {source}")]
    Record {
        /// The record.
        record: String,
        /// The problem.
        source: RecordError,
    },
    /// A setting or metric.
    #[error("record `{record}`, `{key}`: {problem}")]
    Item {
        /// The record.
        record: String,
        /// The setting or metric.
        key: String,
        /// The problem and the remedy.
        problem: String,
    },
    /// Records that do not fit together.
    #[error("record `{record}`: {problem}")]
    Records {
        /// The record.
        record: String,
        /// The problem and the remedy.
        problem: String,
    },
    /// The bytes of a message in flora's form.
    #[error(
        "a message in flora's form is refused: {0}; the other end may run another version of flora"
    )]
    Packed(String),
}

impl CodecError {
    pub(super) fn tensor(record: &str, tensor: &str, problem: impl ToString) -> Self {
        Self::Tensor {
            record: record.to_owned(),
            tensor: tensor.to_owned(),
            problem: problem.to_string(),
        }
    }

    pub(super) fn item(record: &str, key: &str, problem: impl ToString) -> Self {
        Self::Item { record: record.to_owned(), key: key.to_owned(), problem: problem.to_string() }
    }

    pub(super) fn records(record: &str, problem: impl ToString) -> Self {
        Self::Records { record: record.to_owned(), problem: problem.to_string() }
    }
}

use thiserror::Error;

/// Why an update could not be encoded, or a message could not be decoded.
#[derive(Debug, Clone, PartialEq, Error)]
#[non_exhaustive]
pub enum CodecError {
    /// A setting is out of range. The message begins with the setting's name.
    #[error("{0}")]
    Setting(String),
    /// A tensor holds NaN or infinity.
    #[error(
        "tensor {tensor} holds {value} at flat index {index}; only finite values can be encoded"
    )]
    NotFinite {
        /// The index of the tensor in the list.
        tensor: usize,
        /// The index of the value in the tensor.
        index: usize,
        /// The value.
        value: f32,
    },
    /// A tensor holds a value that the number format cannot represent.
    #[error("tensor {tensor} holds {value}, but {format} ends at {most}; choose {instead}")]
    Range {
        /// The index of the tensor in the list.
        tensor: usize,
        /// The value.
        value: f32,
        /// The format's name.
        format: &'static str,
        /// The largest finite value of the format.
        most: f32,
        /// Formats that can represent the value.
        instead: &'static str,
    },
    /// The length of the message does not fit the codec and the lengths of the tensors.
    #[error("the message holds {actual} bytes, but {expected} are expected")]
    Length {
        /// The length that the codec and the tensors require, without the leading byte.
        expected: usize,
        /// The length found, without the leading byte.
        actual: usize,
    },
    /// The message is damaged: the damaged part, and its problem.
    #[error("the message is damaged: {0}")]
    Damaged(&'static str),
    /// The lengths of the tensors add up to more than this machine can address.
    #[error("the tensors are too large: their lengths add up to more than memory can hold")]
    TooLarge,
}

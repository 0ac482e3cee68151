use thiserror::Error;

/// Why objects are refused.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum ObjectError {
    /// The bytes do not have the SHA-256 of their id.
    #[error(
        "object {id}: the bytes that came have the SHA-256 {found}: they were damaged on the way, or the \
         server holds a damaged object"
    )]
    Digest {
        /// The requested id.
        id: String,
        /// The id of the received bytes.
        found: String,
    },
    /// An object of the wrong type.
    #[error("object {id} is of type `{found}`; expected {expected}")]
    Type {
        /// The object.
        id: String,
        /// Its type.
        found: String,
        /// The expected type.
        expected: &'static str,
    },
    /// A malformed head or body.
    #[error(
        "object {id}: {problem}; the other side may run a version of Flower that flora does not know"
    )]
    Malformed {
        /// The object.
        id: String,
        /// The problem.
        problem: String,
    },
    /// A message that exceeds the limits.
    #[error("the message is larger than allowed here: more than {most} {what}")]
    TooLarge {
        /// The limit.
        most: u64,
        /// The unit of the limit.
        what: &'static str,
    },
}

impl ObjectError {
    pub(super) fn malformed(id: &str, problem: impl ToString) -> Self {
        Self::Malformed { id: id.to_owned(), problem: problem.to_string() }
    }
}

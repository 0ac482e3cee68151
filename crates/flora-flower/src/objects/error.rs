use thiserror::Error;

/// Why objects are refused.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum ObjectError {
    /// The bytes are not those that the id stands for.
    #[error(
        "object {id}: the bytes that came have the SHA-256 {found}: they were damaged on the way, or the \
         server holds a damaged object"
    )]
    Digest {
        /// What was asked for.
        id: String,
        /// What came.
        found: String,
    },
    /// An object of another type than its place asks for.
    #[error("object {id} is of type `{found}`; expected {expected}")]
    Type {
        /// The object.
        id: String,
        /// The type that it has.
        found: String,
        /// What would have been right.
        expected: &'static str,
    },
    /// Head or body are not as they must be.
    #[error(
        "object {id}: {problem}; the other side may run a version of Flower that flora does not know"
    )]
    Malformed {
        /// The object.
        id: String,
        /// What is wrong.
        problem: String,
    },
    /// More than the limits allow.
    #[error("the message is larger than allowed here: more than {most} {what}")]
    TooLarge {
        /// The limit.
        most: u64,
        /// Of what.
        what: &'static str,
    },
}

impl ObjectError {
    pub(super) fn malformed(id: &str, problem: impl ToString) -> Self {
        Self::Malformed { id: id.to_owned(), problem: problem.to_string() }
    }
}

use thiserror::Error;

/// Why there is no answer.
#[derive(Debug, Clone, PartialEq, Error)]
#[non_exhaustive]
pub enum PrivacyError {
    /// A number that makes no sense.
    #[error("{field}: {problem}")]
    Setting {
        /// The number's name.
        field: &'static str,
        /// What is wrong, and what would be right.
        problem: String,
    },
    /// An accountant that does not know this mechanism.
    #[error("accountant: {0}")]
    Accountant(String),
    /// No accountant finds a bound.
    #[error("accountant: there is no finite epsilon at this delta; add noise, or choose another")]
    NoEpsilon,
    /// No noise is enough.
    #[error(
        "epsilon: no noise up to {most} gives {epsilon} at this delta; ask for more, for fewer rounds, or choose the accountant \"pld\""
    )]
    OutOfReach {
        /// What was asked for.
        epsilon: f64,
        /// The most that was tried.
        most: f64,
    },
}

impl PrivacyError {
    pub(crate) fn setting(field: &'static str, problem: String) -> Self {
        Self::Setting { field, problem }
    }
}

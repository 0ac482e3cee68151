use thiserror::Error;

/// Why a privacy budget cannot be computed.
#[derive(Debug, Clone, PartialEq, Error)]
#[non_exhaustive]
pub enum PrivacyError {
    /// A setting is invalid.
    #[error("{field}: {problem}")]
    Setting {
        /// The setting's name.
        field: &'static str,
        /// The problem and the remedy.
        problem: String,
    },
    /// The accountant does not support this mechanism.
    #[error("accountant: {0}")]
    Accountant(String),
    /// No accountant finds a finite bound.
    #[error("accountant: there is no finite epsilon at this delta; add noise, or choose another")]
    NoEpsilon,
    /// No amount of noise is sufficient.
    #[error(
        "epsilon: no noise up to {most} gives {epsilon} at this delta; ask for more, for fewer rounds, or choose the accountant \"pld\""
    )]
    OutOfReach {
        /// The requested epsilon.
        epsilon: f64,
        /// The largest noise that was tried.
        most: f64,
    },
}

impl PrivacyError {
    pub(crate) fn setting(field: &'static str, problem: String) -> Self {
        Self::Setting { field, problem }
    }
}

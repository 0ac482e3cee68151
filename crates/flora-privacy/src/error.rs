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
        "epsilon: no noise up to {most} gives {} at this delta; ask for more, or for fewer rounds{}",
        shown(*epsilon), if *is_pld { "" } else { ", or choose the accountant \"pld\"" }
    )]
    OutOfReach {
        /// The requested epsilon.
        epsilon: f64,
        /// The largest noise that was tried.
        most: f64,
        /// Whether the accountant was [`Accountant::Pld`](crate::Accountant::Pld), which finds the smallest epsilon.
        is_pld: bool,
    },
}

impl PrivacyError {
    pub(crate) fn setting(field: &'static str, problem: String) -> Self {
        Self::Setting { field, problem }
    }
}

/// A number in a message. Very large and very small ones have an exponent instead of hundreds of digits.
pub(crate) fn shown(number: f64) -> String {
    match number.abs() {
        1e-4..1e9 | 0.0 => number.to_string(),
        _ => format!("{number:e}"),
    }
}

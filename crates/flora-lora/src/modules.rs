//! The names of layers in a configuration.

use std::fmt;

use serde::{Deserialize, Serialize};

/// The layers to adapt, as in PEFT's `target_modules`.
///
/// In a file, a list and a string: `["q_proj", "v_proj"]`, `'.*layers\.[01]\..*_proj'`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged, expecting = "a list of names, or a string that is a regular expression")]
pub enum TargetModules {
    /// Selects a layer if its name equals an entry or ends in `.` + entry.
    List(Vec<String>),
    /// Selects a layer if this regular expression matches its whole name, as Python's `re.fullmatch` does. Look-ahead,
    /// look-behind and backreferences are supported.
    Pattern(String),
}

impl TargetModules {
    /// Whether it cannot select any layer.
    pub(crate) fn is_empty(&self) -> bool {
        match self {
            Self::List(names) => names.iter().all(String::is_empty),
            Self::Pattern(pattern) => pattern.is_empty(),
        }
    }
}

impl<const N: usize> From<[&str; N]> for TargetModules {
    fn from(names: [&str; N]) -> Self {
        Self::List(names.map(str::to_owned).to_vec())
    }
}

impl From<Vec<String>> for TargetModules {
    fn from(names: Vec<String>) -> Self {
        Self::List(names)
    }
}

/// The form used in messages.
impl fmt::Display for TargetModules {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::List(names) => write!(f, "{names:?}"),
            Self::Pattern(pattern) => {
                write!(f, "the regular expression {pattern:?} (for whole names)")
            }
        }
    }
}

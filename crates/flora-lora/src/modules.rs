//! The names of layers, as a configuration has them.

use std::fmt;

use serde::{Deserialize, Serialize};

/// Which layers to adapt, as PEFT's `target_modules` says it.
///
/// In a file, a list and a string: `["q_proj", "v_proj"]`, `'.*layers\.[01]\..*_proj'`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged, expecting = "a list of names, or a string that is a regular expression")]
pub enum TargetModules {
    /// A layer is taken when its name equals an entry or ends in `.` + entry.
    List(Vec<String>),
    /// A layer is taken when this regular expression matches its whole name, as Python's
    /// `re.fullmatch` does. Look-ahead, look-behind and references back are allowed.
    Pattern(String),
}

impl TargetModules {
    /// Whether there is nothing in it that could take a layer.
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

/// As a message cites it.
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

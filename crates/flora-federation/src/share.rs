use flora_core::ParameterRecord;

/// Which of the trained parameters are sent. Parameters that are trained but not shared stay in the client's state.
///
/// ```
/// use flora_federation::Share;
///
/// let share = Share::Matching(vec!["lora_A".to_owned()]);
/// assert!(share.covers("text_model.encoder.layers.3.self_attn.q_proj.lora_A"));
/// assert!(!share.covers("text_model.encoder.layers.3.self_attn.q_proj.lora_B"));
/// ```
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum Share {
    /// All of them: one global model.
    #[default]
    All,
    /// None: local-only baseline, in which every client trains its own model and no parameters are sent.
    Nothing,
    /// Parameters whose name contains one of these strings.
    Matching(Vec<String>),
}

impl Share {
    /// Whether the parameter of this name is shared.
    pub fn covers(&self, name: &str) -> bool {
        match self {
            Self::All => true,
            Self::Nothing => false,
            Self::Matching(parts) => parts.iter().any(|part| name.contains(part.as_str())),
        }
    }

    /// The shared part of a record.
    pub fn part(&self, record: &ParameterRecord) -> ParameterRecord {
        record.filter(|name| self.covers(name))
    }

    /// Whether every trained parameter is shared, so that the global parameters alone are a complete model.
    pub fn is_all(&self) -> bool {
        *self == Self::All
    }
}

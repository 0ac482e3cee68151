//! `adapter_config.json`: why a field is refused.

use serde_json::Value;

use crate::text::shortened;

/// What is wrong with which field.
pub(super) struct Refusal {
    pub(super) field: String,
    pub(super) problem: String,
}

impl Refusal {
    pub(super) fn new(field: impl Into<String>, problem: impl Into<String>) -> Self {
        Self { field: field.into(), problem: problem.into() }
    }
}

/// A value as a message shows it.
pub(super) fn shown(value: &Value) -> String {
    match value {
        Value::String(text) => format!("{:?}", shortened(text)),
        Value::Array(_) => "a list".into(),
        Value::Object(_) => "an object".into(),
        Value::Null | Value::Bool(_) | Value::Number(_) => value.to_string(),
    }
}

/// A value that is none of those that a field can have.
pub(super) fn expected(field: &str, wanted: &str, found: &Value) -> Refusal {
    Refusal::new(field, format!("{}; expected {wanted}", shown(found)))
}

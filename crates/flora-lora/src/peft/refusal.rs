//! Reasons for refusing a field of `adapter_config.json`.

use serde_json::Value;

use crate::text::shortened;

/// A field and its problem.
pub(super) struct Refusal {
    pub(super) field: String,
    pub(super) problem: String,
}

impl Refusal {
    pub(super) fn new(field: impl Into<String>, problem: impl Into<String>) -> Self {
        Self { field: field.into(), problem: problem.into() }
    }
}

/// A value in the form used in messages.
pub(super) fn shown(value: &Value) -> String {
    match value {
        Value::String(text) => format!("{:?}", shortened(text)),
        Value::Array(_) => "a list".into(),
        Value::Object(_) => "an object".into(),
        Value::Null | Value::Bool(_) | Value::Number(_) => value.to_string(),
    }
}

/// The refusal of an invalid value.
pub(super) fn expected(field: &str, wanted: &str, found: &Value) -> Refusal {
    Refusal::new(field, format!("{}; expected {wanted}", shown(found)))
}

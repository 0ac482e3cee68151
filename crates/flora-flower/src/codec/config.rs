//! Settings as Flower's `ConfigRecord`.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use flora_federation::Value;

use super::CodecError;
use crate::wire::records::ConfigValue;

/// The problem with a value of an unknown type.
pub(super) const UNKNOWN: &str = "its value is of a type that flora does not know; the other side may run a newer version of Flower";

pub(super) fn to_wire(record: &str, key: &str, value: &Value) -> Result<ConfigValue, CodecError> {
    Ok(match value {
        Value::Bool(value) => ConfigValue::Bool(*value),
        Value::Int(value) => ConfigValue::Sint64(*value),
        Value::Float(value) => ConfigValue::Double(*value),
        Value::Text(value) => ConfigValue::Text(value.clone()),
        Value::Bytes(value) => ConfigValue::Bytes(value.clone()),
        _ => return Err(CodecError::item(record, key, "its type cannot be sent")),
    })
}

pub(crate) fn from_wire(value: Option<&ConfigValue>) -> Result<Value, &'static str> {
    let json = |text: serde_json::Result<String>| text.map(Value::Text).map_err(|_| UNKNOWN);
    Ok(match value.ok_or(UNKNOWN)? {
        ConfigValue::Bool(value) => Value::Bool(*value),
        ConfigValue::Sint64(value) => Value::Int(*value),
        ConfigValue::Uint64(value) => match i64::try_from(*value) {
            Ok(value) => Value::Int(value),
            Err(_) => Value::Text(value.to_string()),
        },
        ConfigValue::Double(value) => Value::Float(*value),
        ConfigValue::Text(value) => Value::Text(value.clone()),
        ConfigValue::Bytes(value) => Value::Bytes(value.clone()),
        ConfigValue::DoubleList(list) => json(serde_json::to_string(&list.vals))?,
        ConfigValue::SintList(list) => json(serde_json::to_string(&list.vals))?,
        ConfigValue::UintList(list) => json(serde_json::to_string(&list.vals))?,
        ConfigValue::BoolList(list) => json(serde_json::to_string(&list.vals))?,
        ConfigValue::StringList(list) => json(serde_json::to_string(&list.vals))?,
        ConfigValue::BytesList(list) => {
            let texts: Vec<_> = list.vals.iter().map(|bytes| STANDARD.encode(bytes)).collect();
            json(serde_json::to_string(&texts))?
        }
    })
}

//! Settings from Flower's records, which are untrusted.

use std::collections::HashSet;

use super::SecAggError;
use crate::objects::{Record, RecordDict};
use crate::wire::records::{ConfigItem, ConfigRecord, ConfigValue};

/// A config record.
pub(super) struct Fields<'a> {
    name: &'a str,
    record: &'a ConfigRecord,
}

impl<'a> Fields<'a> {
    pub(super) fn of(records: &'a RecordDict, name: &'a str) -> Result<Self, SecAggError> {
        let record = match records.get(name) {
            Some(Record::Config(record)) => record,
            Some(_) => return Err(SecAggError::record(name, "it is not a ConfigRecord")),
            None => return Err(SecAggError::record(name, "it is missing")),
        };
        let mut keys = HashSet::new();
        match record.items.iter().find(|item| !keys.insert(item.key.as_str())) {
            Some(item) => {
                Err(SecAggError::record(name, format!("`{}` occurs twice", short(&item.key))))
            }
            None => Ok(Self { name, record }),
        }
    }

    pub(super) fn items(&self) -> impl Iterator<Item = &'a ConfigItem> {
        self.record.items.iter()
    }

    pub(super) fn text(&self, key: &str) -> Result<&'a str, SecAggError> {
        match self.get(key)? {
            ConfigValue::Text(text) => Ok(text),
            _ => Err(self.wrong(key, "is not text")),
        }
    }

    pub(super) fn whole(&self, key: &str) -> Result<u64, SecAggError> {
        match self.get(key)? {
            ConfigValue::Sint64(number) => {
                u64::try_from(*number).map_err(|_| self.wrong(key, "is negative"))
            }
            ConfigValue::Uint64(number) => Ok(*number),
            _ => Err(self.wrong(key, "is not a whole number")),
        }
    }

    /// A number; an integer `8` in place of `8.0` is accepted.
    pub(super) fn number(&self, key: &str) -> Result<f64, SecAggError> {
        match self.get(key)? {
            ConfigValue::Double(number) => Ok(*number),
            ConfigValue::Sint64(number) => Ok(*number as f64),
            _ => Err(self.wrong(key, "is not a number")),
        }
    }

    /// Distinct node ids.
    pub(super) fn ids(&self, key: &str) -> Result<Vec<u64>, SecAggError> {
        let ids: Option<Vec<u64>> = match self.get(key)? {
            ConfigValue::SintList(list) => {
                list.vals.iter().map(|id| u64::try_from(*id).ok()).collect()
            }
            ConfigValue::UintList(list) => Some(list.vals.clone()),
            value if is_empty(value) => Some(Vec::new()),
            _ => None,
        };
        let ids = ids.ok_or_else(|| self.wrong(key, "is not a list of node ids"))?;
        let mut seen = HashSet::new();
        match ids.iter().find(|id| !seen.insert(**id)) {
            Some(id) => Err(self.wrong(key, &format!("names node {id} twice"))),
            None => Ok(ids),
        }
    }

    pub(super) fn byte_strings(&self, key: &str) -> Result<&'a [Vec<u8>], SecAggError> {
        match self.get(key)? {
            ConfigValue::BytesList(list) => Ok(&list.vals),
            value if is_empty(value) => Ok(&[]),
            _ => Err(self.wrong(key, "is not a list of bytes")),
        }
    }

    pub(super) fn wrong(&self, key: &str, problem: &str) -> SecAggError {
        SecAggError::record(self.name, format!("`{}` {problem}", short(key)))
    }

    fn get(&self, key: &str) -> Result<&'a ConfigValue, SecAggError> {
        self.record
            .get(key)
            .ok_or_else(|| self.wrong(key, "is missing, or of a type that flora does not know"))
    }
}

/// An empty list from Python has no element type.
fn is_empty(value: &ConfigValue) -> bool {
    match value {
        ConfigValue::DoubleList(list) => list.vals.is_empty(),
        ConfigValue::SintList(list) => list.vals.is_empty(),
        ConfigValue::UintList(list) => list.vals.is_empty(),
        ConfigValue::BoolList(list) => list.vals.is_empty(),
        ConfigValue::StringList(list) => list.vals.is_empty(),
        ConfigValue::BytesList(list) => list.vals.is_empty(),
        _ => false,
    }
}

/// The beginning of a text from outside.
pub(super) fn short(text: &str) -> String {
    text.chars().filter(|it| !it.is_control()).take(40).collect()
}

use std::{collections::BTreeMap, path::Path};

use flora_core::renamed;
use toml::{Table, Value};

use crate::folder::read;

/// An `experiment.toml` with its tables flattened: `training.rounds`, `partition.kind`. Keys that an earlier version named
/// differently have their current names.
#[derive(Debug, Default)]
pub(crate) struct Settings {
    pub(crate) values: BTreeMap<String, Value>,
    /// The reason why there are none.
    pub(crate) problem: Option<String>,
}

impl Settings {
    pub(crate) fn read(path: &Path) -> Self {
        let file = path.file_name().unwrap_or_default().to_string_lossy();
        let table = read::text(path)
            .map_err(|error| error.to_string())
            .and_then(|text| text.parse::<Table>().map_err(|error| error.message().to_owned()));
        match table {
            Ok(table) => {
                let mut values = BTreeMap::new();
                flatten(&mut values, "", table);
                Self { values, problem: None }
            }
            Err(error) => Self { problem: Some(format!("{file}: {error}")), ..Self::default() },
        }
    }

    pub(crate) fn text(&self, key: &str) -> Option<&str> {
        self.values.get(key)?.as_str()
    }

    pub(crate) fn count(&self, key: &str) -> Option<usize> {
        self.values.get(key)?.as_integer()?.try_into().ok()
    }

    /// The images that its rounds are scored on.
    pub(crate) fn scored_on(&self) -> String {
        let share = self.values.get("data.validation").and_then(Value::as_float);
        let split = if share.is_some_and(|share| share > 0.0) { "validation" } else { "test" };
        split.to_owned()
    }

    /// The data set's name, from its file or folder: `datasets/pets.toml` is `pets`.
    pub(crate) fn data(&self) -> Option<String> {
        let path = Path::new(self.text("data.path")?);
        let is_toml = path.extension().is_some_and(|extension| extension == "toml");
        let name = if is_toml { path.file_stem() } else { path.file_name() };
        name.map(|name| name.to_string_lossy().into_owned())
    }
}

fn flatten(values: &mut BTreeMap<String, Value>, prefix: &str, table: Table) {
    for (key, value) in table {
        let key = if prefix.is_empty() { key } else { format!("{prefix}.{key}") };
        match value {
            Value::Table(table) => flatten(values, &key, table),
            // Of a document with both names, the current one counts.
            value if renamed::find(&key).is_some() => {
                values.entry(renamed::current(&key).to_owned()).or_insert(value);
            }
            value => {
                values.insert(key, value);
            }
        }
    }
}

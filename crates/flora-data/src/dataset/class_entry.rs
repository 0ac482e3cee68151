//! One class of a description.

use std::fmt;

use serde::Deserialize;
use serde::de::value::MapAccessDeserializer;
use serde::de::{Deserializer, MapAccess, Visitor};

/// A class: its name in prompts, and its name in the files of the data set.
#[derive(Debug, Clone)]
pub(super) struct ClassEntry {
    pub(super) name: String,
    /// The name of its folder, or its name in a list; `None` if it equals `name`, or if labels are numbers.
    pub(super) key: Option<String>,
}

/// The long form. `folder` and `key` are synonyms: a list of a data set that has both names its classes as the folders
/// do.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Table {
    name: String,
    #[serde(alias = "folder")]
    key: Option<String>,
}

/// `"tabby cat"` or `{ name = "tabby cat", folder = "n02123045" }`. Implemented by hand, because an untagged enum would
/// not name a wrong key.
impl<'de> Deserialize<'de> for ClassEntry {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Entry;

        impl<'de> Visitor<'de> for Entry {
            type Value = ClassEntry;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a class name, or a table with `name` and `folder` or `key`")
            }

            fn visit_str<E>(self, name: &str) -> Result<ClassEntry, E> {
                Ok(ClassEntry { name: name.to_owned(), key: None })
            }

            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<ClassEntry, A::Error> {
                let Table { name, key } = Table::deserialize(MapAccessDeserializer::new(map))?;
                Ok(ClassEntry { name, key })
            }
        }

        deserializer.deserialize_any(Entry)
    }
}

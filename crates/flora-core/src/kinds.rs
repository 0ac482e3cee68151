//! Settings written as a table with a `kind`, or as the bare word if all other settings have defaults.

use std::{fmt, marker::PhantomData};

use serde::{
    Deserializer,
    de::{
        Error, MapAccess, Visitor,
        value::{MapAccessDeserializer, MapDeserializer},
    },
};

/// A setting with a `kind`.
pub trait Kinds<'de>: Sized {
    /// The expected value, as error messages name it.
    const EXPECTED: &'static str;

    /// Reads the table form.
    ///
    /// # Errors
    /// An unknown kind, or settings that the kind does not have.
    fn from_table<D: Deserializer<'de>>(table: D) -> Result<Self, D::Error>;
}

/// Reads `"WORD"` as `{ kind = "WORD" }`, and a table as it is.
///
/// This is not an untagged enum, because for those serde only reports that no variant matches. Here, the error names
/// the mistyped field.
///
/// # Errors
/// Errors of [`Kinds::from_table`], or a value that is neither a word nor a table.
pub fn word_or_table<'de, D: Deserializer<'de>, T: Kinds<'de>>(
    deserializer: D,
) -> Result<T, D::Error> {
    deserializer.deserialize_any(WordOrTable(PhantomData))
}

struct WordOrTable<T>(PhantomData<T>);

impl<'de, T: Kinds<'de>> Visitor<'de> for WordOrTable<T> {
    type Value = T;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(T::EXPECTED)
    }

    fn visit_str<E: Error>(self, word: &str) -> Result<T, E> {
        T::from_table(MapDeserializer::new([("kind", word)].into_iter()))
    }

    fn visit_map<A: MapAccess<'de>>(self, table: A) -> Result<T, A::Error> {
        T::from_table(MapAccessDeserializer::new(table))
    }
}

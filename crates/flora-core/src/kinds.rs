//! Settings that are written as a table with a `kind`, or, where the rest has defaults, as that word alone.

use std::{fmt, marker::PhantomData};

use serde::{
    Deserializer,
    de::{
        Error, MapAccess, Visitor,
        value::{MapAccessDeserializer, MapDeserializer},
    },
};

/// A setting with a kind.
pub trait Kinds<'de>: Sized {
    /// What an error says was expected.
    const EXPECTED: &'static str;

    /// Reads the table.
    ///
    /// # Errors
    /// A kind that there is not, and settings that are not its own.
    fn from_table<D: Deserializer<'de>>(table: D) -> Result<Self, D::Error>;
}

/// Reads `"WORD"` as `{ kind = "WORD" }`, and a table as it is.
///
/// Not an untagged enum: of that, serde only says that no variant matches. This way a mistyped field is named.
///
/// # Errors
/// What [`Kinds::from_table`] says, and anything but a word or a table.
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

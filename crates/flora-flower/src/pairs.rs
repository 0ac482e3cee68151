//! JSON objects with a significant order.

use std::collections::HashSet;
use std::fmt;
use std::marker::PhantomData;

use serde::de::{Deserialize, Deserializer, Error, MapAccess, Visitor};
use serde::ser::{Serialize, Serializer};

/// The names and values of a JSON object, in its order. Duplicate names are refused: readers differ in which of the two
/// they use.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Pairs<T>(pub(crate) Vec<(String, T)>);

impl<T: Serialize> Serialize for Pairs<T> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(self.0.iter().map(|(name, value)| (name, value)))
    }
}

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Pairs<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(PairsVisitor(PhantomData))
    }
}

struct PairsVisitor<T>(PhantomData<T>);

impl<'de, T: Deserialize<'de>> Visitor<'de> for PairsVisitor<T> {
    type Value = Pairs<T>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let mut pairs = Vec::new();
        while let Some(pair) = map.next_entry()? {
            pairs.push(pair);
        }
        let mut names = HashSet::new();
        match pairs.iter().find(|(name, _): &&(String, T)| !names.insert(name.as_str())) {
            Some((name, _)) => Err(A::Error::custom(format!("`{name}` occurs twice"))),
            None => Ok(Pairs(pairs)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Pairs;

    #[test]
    fn order_is_kept_and_a_name_counts_once() {
        let text = r#"{"b":1,"a":2}"#;
        let pairs: Pairs<u8> = serde_json::from_str(text).unwrap();
        assert_eq!(pairs.0, [("b".to_owned(), 1), ("a".to_owned(), 2)]);
        assert_eq!(serde_json::to_string(&pairs).unwrap(), text);
        let error = serde_json::from_str::<Pairs<u8>>(r#"{"b":1,"b":1}"#).unwrap_err();
        assert!(error.to_string().contains("`b` occurs twice"), "{error}");
    }
}

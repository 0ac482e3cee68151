//! Checks of settings files that serde does not make: numbers that do not fit in single precision, and lists in place
//! of tables.

use serde::de::{DeserializeOwned, Error};
use serde::{Deserialize, Deserializer};
use toml::{Table, Value};

/// Reads a number of single precision, for `#[serde(deserialize_with = "...")]`.
///
/// # Errors
///
/// A finite number that single precision would round to infinity or, unless it is 0, to 0: the message would then show
/// another number than the file has.
pub fn single<'de, D: Deserializer<'de>>(deserializer: D) -> Result<f32, D::Error> {
    rounded(f64::deserialize(deserializer)?).map_err(D::Error::custom)
}

/// Reads an optional number of single precision.
///
/// # Errors
///
/// Those of [`single`].
pub fn optional_single<'de, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<Option<f32>, D::Error> {
    let value = Option::<f64>::deserialize(deserializer)?;
    value.map(rounded).transpose().map_err(D::Error::custom)
}

/// Reads two numbers of single precision.
///
/// # Errors
///
/// Those of [`single`].
pub fn two_singles<'de, D: Deserializer<'de>>(deserializer: D) -> Result<[f32; 2], D::Error> {
    let [first, second] = <[f64; 2]>::deserialize(deserializer)?;
    Ok([rounded(first).map_err(D::Error::custom)?, rounded(second).map_err(D::Error::custom)?])
}

/// Checks a setting that is kept in double precision, and used in single precision.
///
/// # Errors
///
/// The problem of a number that does not fit, as for [`single`].
pub fn check_single(value: f64) -> Result<(), String> {
    rounded(value).map(drop)
}

fn rounded(value: f64) -> Result<f32, String> {
    let single = value as f32;
    match value.is_finite() && value != 0.0 {
        true if single.is_infinite() => Err(format!(
            "{value:e} does not fit in single precision; the largest number that does is 3.4e38"
        )),
        true if single == 0.0 => Err(format!(
            "{value:e} does not fit in single precision; the smallest number above 0 that does is 1.4e-45"
        )),
        _ => Ok(single),
    }
}

/// Refuses lists in place of tables in a document that `T` can be read from. serde reads a list as the values of a
/// table's keys in the order in which the source code declares them, and an empty list as a table without keys.
///
/// `T` is read once more for each list, with a table in the list's place: if that lacks or has the wrong keys, a table
/// was expected. Types that have no wrong keys (without `deny_unknown_fields`) are not recognised.
///
/// # Errors
///
/// The first list, in the words of serde and `toml`, for [`explain::toml`](crate::explain::toml).
pub fn refuse_lists<T: DeserializeOwned>(document: &Table) -> Result<(), String> {
    let mut lists = Vec::new();
    for (key, value) in document {
        find_lists(&mut vec![Step::Key(key)], value, &mut lists);
    }
    for list in lists {
        let mut probed = document.clone();
        replace(&mut probed, &list);
        let expects_table = Value::Table(probed).try_into::<T>().is_err_and(|error| {
            ["unknown field", "missing field"].iter().any(|it| error.message().starts_with(it))
        });
        if expects_table {
            return Err(format!("invalid type: sequence, expected a map\nin `{}`", path(&list)));
        }
    }
    Ok(())
}

/// A step from the outside to the inside of a document.
#[derive(Clone, Copy)]
enum Step<'a> {
    Key(&'a str),
    Index(usize),
}

/// Adds the places of all lists in `value`, which is at the place `at`.
fn find_lists<'a>(at: &mut Vec<Step<'a>>, value: &'a Value, lists: &mut Vec<Vec<Step<'a>>>) {
    let mut enter = |step, value, lists: &mut Vec<Vec<Step<'a>>>| {
        at.push(step);
        find_lists(at, value, lists);
        at.pop();
    };
    match value {
        Value::Table(table) => {
            for (key, value) in table {
                enter(Step::Key(key), value, lists);
            }
        }
        Value::Array(values) => {
            for (index, value) in values.iter().enumerate() {
                enter(Step::Index(index), value, lists);
            }
            lists.push(at.clone());
        }
        _ => {}
    }
}

/// Puts a table whose only key no type has in the place `at`.
fn replace(document: &mut Table, at: &[Step<'_>]) {
    let Some((Step::Key(first), rest)) = at.split_first() else { return };
    let place = rest.iter().try_fold(&mut document[*first], |value, step| match *step {
        Step::Key(key) => value.get_mut(key),
        Step::Index(index) => value.get_mut(index),
    });
    if let Some(place) = place {
        *place = Value::Table(
            [("not a setting".to_owned(), Value::Boolean(true))].into_iter().collect(),
        );
    }
}

/// A place as messages name it: `federation.strategy.rule`, `classes[3].names`.
fn path(at: &[Step<'_>]) -> String {
    at.iter().fold(String::new(), |path, step| match *step {
        Step::Key(key) if path.is_empty() => key.to_owned(),
        Step::Key(key) => format!("{path}.{key}"),
        Step::Index(index) => format!("{path}[{index}]"),
    })
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::explain;
    use crate::kinds::{Kinds, word_or_table};

    #[derive(Debug, Default, PartialEq, Deserialize)]
    #[serde(default, deny_unknown_fields)]
    struct Numbers {
        #[serde(deserialize_with = "single")]
        range: f32,
        #[serde(deserialize_with = "optional_single")]
        norm: Option<f32>,
        #[serde(deserialize_with = "two_singles")]
        betas: [f32; 2],
    }

    #[test]
    fn numbers_that_do_not_fit_are_refused_as_they_are_written() {
        let read = |text: &str| toml::from_str::<Numbers>(text).map_err(|error| error.to_string());
        let numbers = Numbers { range: 1.0, norm: Some(-0.5), betas: [0.0, 1e-45] };
        assert_eq!(read("range = 1\nnorm = -0.5\nbetas = [0.0, 1e-45]").unwrap(), numbers);
        assert_eq!(read("").unwrap(), Numbers::default());
        assert_eq!(read("norm = inf").unwrap().norm, Some(f32::INFINITY), "as it is written");
        for (text, words) in [
            ("range = 1e300", "1e300 does not fit in single precision; the largest"),
            ("range = -3.5e38", "-3.5e38 does not fit in single precision; the largest"),
            ("norm = 1e-300", "1e-300 does not fit in single precision; the smallest"),
            ("betas = [0.9, 1e-46]", "1e-46 does not fit in single precision; the smallest"),
        ] {
            let error = read(text).unwrap_err();
            assert!(error.contains(words), "{error}");
            assert!(check_single(1e300).is_err() && check_single(0.0).is_ok());
        }
        // From a text, the message shows the line; from a table, the key.
        let table: Table = "secure = { norm = 1e-300 }".parse().unwrap();
        let inner = table.try_into::<BTreeMap<String, Numbers>>();
        let told = explain::toml(&inner.unwrap_err().to_string());
        assert!(told.contains("secure.norm: 1e-300 does not fit"), "{told}");
    }

    #[derive(Debug, Deserialize)]
    #[serde(default, deny_unknown_fields)]
    struct Document {
        name: String,
        numbers: Numbers,
        secure: Option<Numbers>,
        all: Vec<Numbers>,
        tagged: Tagged,
        word: Word,
        either: Either,
        layers: NamesOrPattern,
        weights: BTreeMap<String, f64>,
        names: Vec<String>,
        pair: [f64; 2],
    }

    impl Default for Document {
        fn default() -> Self {
            Self {
                name: String::new(),
                numbers: Numbers::default(),
                secure: None,
                all: Vec::new(),
                tagged: Tagged::None {},
                word: Word(Tagged::None {}),
                either: Either::List(Vec::new()),
                layers: NamesOrPattern::Names(Vec::new()),
                weights: BTreeMap::new(),
                names: Vec::new(),
                pair: [0.0; 2],
            }
        }
    }

    #[derive(Debug, Deserialize)]
    #[serde(tag = "kind", rename_all = "kebab-case", deny_unknown_fields)]
    enum Tagged {
        None {},
        Some {
            #[expect(dead_code, reason = "only read")]
            inner: Numbers,
        },
    }

    #[derive(Debug)]
    #[expect(dead_code, reason = "only read")]
    struct Word(Tagged);

    impl<'de> Kinds<'de> for Word {
        const EXPECTED: &'static str = "a word or a table";

        fn from_table<D: Deserializer<'de>>(table: D) -> Result<Self, D::Error> {
            Tagged::deserialize(table).map(Self)
        }
    }

    impl<'de> Deserialize<'de> for Word {
        fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
            word_or_table(deserializer)
        }
    }

    #[derive(Debug, Deserialize)]
    #[serde(untagged)]
    #[expect(dead_code, reason = "only read")]
    enum Either {
        List(Vec<usize>),
        Table(BTreeMap<String, usize>),
    }

    #[derive(Debug, Deserialize)]
    #[serde(untagged)]
    #[expect(dead_code, reason = "only read")]
    enum NamesOrPattern {
        Names(Vec<String>),
        Pattern(String),
    }

    #[test]
    fn lists_in_place_of_tables_are_refused_by_their_keys() {
        for (text, key) in [
            ("secure = []", "secure"),
            ("numbers = []", "numbers"),
            ("secure = [0.5]", "secure"),
            ("all = [{}, []]", "all[1]"),
            ("tagged = ['none']", "tagged"),
            ("tagged = { kind = 'some', inner = [] }", "tagged.inner"),
            ("word = { kind = 'some', inner = [1.0] }", "word.inner"),
        ] {
            assert!(toml::from_str::<Document>(text).is_ok(), "serde accepts {text}");
            let refused = refuse_lists::<Document>(&text.parse().unwrap()).unwrap_err();
            let told = explain::toml(&refused);
            assert_eq!(told, format!("{key}: expected a table, found a list"), "{text}");
        }
    }

    #[test]
    fn lists_where_lists_belong_are_not() {
        let text = "names = []\nall = [{ betas = [0.5, 0.5] }, {}]\neither = [8, 4]\nlayers = ['a', 'b']\n\
                    pair = [1, 2]\nweights = { a = 1.0 }\nsecure = {}\nword = 'none'\ntagged = { kind = 'none' }\n";
        assert!(toml::from_str::<Document>(text).is_ok());
        assert_eq!(refuse_lists::<Document>(&text.parse().unwrap()), Ok(()));
        assert_eq!(refuse_lists::<Document>(&"either = { a = 1 }".parse().unwrap()), Ok(()));
    }
}

use std::collections::HashMap;
use std::ops::Range;

use prost::Message as _;
use serde::Deserialize;

use super::head::{self, Parts};
use super::{Array, ArrayRecord, Content, Inflated, ObjectError, Record, RecordDict};
use crate::pairs::Pairs;
use crate::wire::message::Message;
use crate::wire::records::{ConfigRecord, MetricRecord};

/// The limits on the size of a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Bytes of all objects and of all arrays, where a repeated array counts each time.
    pub bytes: u64,
    /// Number of fetched objects; repeated chunks and arrays count each time.
    pub objects: u64,
}

/// The most bytes of a record of settings or metrics.
const SETTINGS: usize = 64 << 20;

impl Default for Limits {
    /// Twice 2 GiB: a record of 2 GiB is fetched and assembled. 2^17 objects.
    fn default() -> Self {
        Self { bytes: 4 << 30, objects: 1 << 17 }
    }
}

/// Reads a message. `fetch` returns the bytes of an object; it is called once for each needed object, from the message
/// down.
///
/// # Errors
///
/// Those of `fetch`, and an [`ObjectError`] for bytes without the id's SHA-256, for objects that are malformed or of
/// the wrong type, and for messages beyond `limits`.
pub fn inflate<E: From<ObjectError>>(
    root: &str,
    limits: Limits,
    fetch: &mut dyn FnMut(&str) -> Result<Vec<u8>, E>,
) -> Result<Inflated, E> {
    let mut reader = Reader { fetch, limits, left: limits };
    let bytes = reader.get(root)?;
    let parts = split(root, &bytes, head::MESSAGE, "Message")?;
    let message = Message::decode(parts.body).map_err(|error| malformed(root, error))?;
    let mut metadata = message.metadata.ok_or_else(|| malformed(root, "it has no metadata"))?;
    metadata.message_id = root.to_owned();
    let content = match (message.error, parts.children.as_slice()) {
        (Some(error), []) => Content::Error(error),
        (None, [id]) => Content::Records(reader.records(id)?),
        _ => return Err(malformed(root, "it must have either an error or one child").into()),
    };
    Ok(Inflated { metadata, content })
}

struct Reader<'a, E> {
    fetch: &'a mut dyn FnMut(&str) -> Result<Vec<u8>, E>,
    limits: Limits,
    left: Limits,
}

/// The body of an array.
#[derive(Deserialize)]
struct ArrayBody {
    dtype: String,
    shape: Vec<usize>,
    stype: String,
    arraychunk_ids: Vec<usize>,
}

impl<E: From<ObjectError>> Reader<'_, E> {
    /// Fetches the bytes of an object and checks their id.
    fn get(&mut self, id: &str) -> Result<Vec<u8>, E> {
        // Counted before it is fetched.
        self.count_object()?;
        let bytes = (self.fetch)(id)?;
        self.count_bytes(bytes.len())?;
        let found = head::id(&bytes);
        if found != id {
            return Err(ObjectError::Digest { id: id.to_owned(), found }.into());
        }
        Ok(bytes)
    }

    fn count_object(&mut self) -> Result<(), ObjectError> {
        let too_large = ObjectError::TooLarge { most: self.limits.objects, what: "objects" };
        self.left.objects = self.left.objects.checked_sub(1).ok_or(too_large)?;
        Ok(())
    }

    fn count_bytes(&mut self, bytes: usize) -> Result<(), ObjectError> {
        let too_large = ObjectError::TooLarge { most: self.limits.bytes, what: "bytes" };
        self.left.bytes = self.left.bytes.checked_sub(bytes as u64).ok_or(too_large)?;
        Ok(())
    }

    fn records(&mut self, id: &str) -> Result<RecordDict, E> {
        let bytes = self.get(id)?;
        let parts = split(id, &bytes, head::RECORD_DICT, "RecordDict")?;
        Ok(RecordDict(self.references(id, &parts, Self::record)?))
    }

    fn record(&mut self, id: &str) -> Result<Record, E> {
        let bytes = self.get(id)?;
        let parts = head::split(id, &bytes)?;
        // Decoded, empty settings take forty times their bytes.
        let leaf = || match parts.children.as_slice() {
            [] if parts.body.len() > SETTINGS => {
                Err(ObjectError::TooLarge { most: SETTINGS as u64, what: "bytes of settings" })
            }
            [] => Ok(()),
            _ => Err(malformed(id, "it has children")),
        };
        match parts.kind {
            head::ARRAY_RECORD => {
                let arrays = self.references(id, &parts, Self::array)?;
                Ok(Record::Arrays(ArrayRecord(arrays)))
            }
            head::METRIC_RECORD => {
                leaf()?;
                let metrics = MetricRecord::decode(parts.body);
                Ok(Record::Metrics(metrics.map_err(|error| malformed(id, error))?))
            }
            head::CONFIG_RECORD => {
                leaf()?;
                let config = ConfigRecord::decode(parts.body);
                Ok(Record::Config(config.map_err(|error| malformed(id, error))?))
            }
            _ => {
                Err(wrong_type(id, parts.kind, "ArrayRecord, MetricRecord or ConfigRecord").into())
            }
        }
    }

    /// The objects that an object refers to.
    fn references<T: Clone + Size>(
        &mut self,
        id: &str,
        parts: &Parts<'_>,
        mut read: impl FnMut(&mut Self, &str) -> Result<T, E>,
    ) -> Result<Vec<(String, T)>, E> {
        let names: Pairs<String> =
            serde_json::from_slice(parts.body).map_err(|error| malformed(id, error))?;
        let places: HashMap<_, _> =
            parts.children.iter().enumerate().map(|(place, &child)| (child, place)).collect();
        // Checked before anything is fetched.
        let lacks = "its body names a child that its head lacks";
        let place = |(_, child): &(String, String)| places.get(child.as_str()).copied();
        let needed: Option<Vec<usize>> = names.0.iter().map(place).collect();
        let needed = needed.ok_or_else(|| malformed(id, lacks))?;
        all_used(id, parts, &needed)?;
        let mut first: Vec<Option<usize>> = vec![None; parts.children.len()];
        let mut items: Vec<(String, T)> = Vec::with_capacity(needed.len());
        for ((name, child), place) in names.0.into_iter().zip(needed) {
            let item = match first[place] {
                Some(same) => {
                    self.count_object()?;
                    self.count_bytes(items[same].1.size())?;
                    items[same].1.clone()
                }
                None => read(self, &child)?,
            };
            first[place].get_or_insert(items.len());
            items.push((name, item));
        }
        Ok(items)
    }

    fn array(&mut self, id: &str) -> Result<Array, E> {
        let bytes = self.get(id)?;
        let parts = split(id, &bytes, head::ARRAY, "Array")?;
        let body: ArrayBody =
            serde_json::from_slice(parts.body).map_err(|error| malformed(id, error))?;
        all_used(id, &parts, &body.arraychunk_ids)?;
        let children = parts.children;
        let mut data = Vec::new();
        // The range of each chunk in `data`.
        let mut places: Vec<Option<Range<usize>>> = vec![None; children.len()];
        for chunk in body.arraychunk_ids {
            match places[chunk].clone() {
                Some(range) => {
                    self.count_object()?;
                    self.count_bytes(range.len())?;
                    data.extend_from_within(range);
                }
                None => {
                    let bytes = self.get(children[chunk])?;
                    let parts = split(children[chunk], &bytes, head::CHUNK, "ArrayChunk")?;
                    if !parts.children.is_empty() {
                        return Err(malformed(children[chunk], "it has children").into());
                    }
                    places[chunk] = Some(data.len()..data.len() + parts.body.len());
                    self.count_bytes(parts.body.len())?;
                    data.extend_from_slice(parts.body);
                }
            }
        }
        let ArrayBody { dtype, shape, stype, .. } = body;
        Ok(Array { dtype, shape, stype, data })
    }
}

/// Whether `places` are valid indices of children that cover all of them.
fn all_used(id: &str, parts: &Parts<'_>, places: &[usize]) -> Result<(), ObjectError> {
    let mut used = vec![false; parts.children.len()];
    for &place in places {
        let used = used.get_mut(place);
        *used.ok_or_else(|| malformed(id, format!("it has no child number {place}")))? = true;
    }
    if used.contains(&false) {
        return Err(malformed(id, "its head names a child that its body lacks"));
    }
    Ok(())
}

/// The memory that a copy takes.
trait Size {
    fn size(&self) -> usize;
}

impl Size for Array {
    fn size(&self) -> usize {
        self.data.len() + self.dtype.len() + self.stype.len() + 8 * self.shape.len()
    }
}

impl Size for Record {
    fn size(&self) -> usize {
        match self {
            Self::Arrays(arrays) => arrays.0.iter().map(|(name, it)| name.len() + it.size()).sum(),
            Self::Metrics(metrics) => metrics.encoded_len(),
            Self::Config(config) => config.encoded_len(),
        }
    }
}

/// Splits an object that must be of the type `kind`.
fn split<'a>(
    id: &str,
    content: &'a [u8],
    kind: &str,
    expected: &'static str,
) -> Result<Parts<'a>, ObjectError> {
    let parts = head::split(id, content)?;
    if parts.kind == kind { Ok(parts) } else { Err(wrong_type(id, parts.kind, expected)) }
}

fn wrong_type(id: &str, found: &str, expected: &'static str) -> ObjectError {
    // The name of a type, not a whole hostile head.
    let found = found.chars().take(40).filter(|it| !it.is_control()).collect();
    ObjectError::Type { id: id.to_owned(), found, expected }
}

fn malformed(id: &str, problem: impl ToString) -> ObjectError {
    ObjectError::malformed(id, problem)
}

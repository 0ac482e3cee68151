//! flora's own form: one `ConfigRecord` called `flora` with one setting, `message`, which has these bytes:
//!
//! | bytes | |
//! |---|---|
//! | 4 | `FLM1` |
//! | 4 | length of the head, little endian |
//! | that many | the head: JSON `{"config": {...}, "metrics": {...}, "records": {RECORD: [[TENSOR, TYPE, SHAPE], ...]}}`, compressed with deflate (RFC 1951) |
//! | the rest | the values of all tensors in that order, little endian |
//!
//! In the head, a number that JSON lacks (NaN, infinities) is `{"f64": BITS}` in 16 hexadecimal digits, and
//! bytes are `{"base64": TEXT}`. Floating-point numbers have a point or an exponent, whole ones have neither.
//!
//! More than 1 MiB of values go into an `ArrayRecord` called `values` instead, as one array of bytes, since Flower
//! splits only arrays into chunks.

use std::io::{Read, Write};
use std::sync::Arc;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use flate2::Compression;
use flate2::read::DeflateDecoder;
use flate2::write::DeflateEncoder;
use flora_core::{Dtype, HostTensor, ParameterRecord, npy};
use flora_federation::{Message, Value};
use serde::{Deserialize, Serialize};

use super::CodecError;
use crate::objects::{Array, ArrayRecord, NUMPY, Record, RecordDict};
use crate::pairs::Pairs;
use crate::wire::records::{ConfigRecord, ConfigValue};

/// The name of the record.
pub const FLORA: &str = "flora";
/// The name of its setting.
const MESSAGE: &str = "message";
/// The name of the record, and of the array, for large values.
const VALUES: &str = "values";
/// More bytes of values than this go into an array.
const MOST_INLINE: u64 = 1 << 20;

const MAGIC: &[u8] = b"FLM1";
/// Heads are rejected if they need more than this and more than [`RATIO`] times their compressed length: deflate can
/// expand one byte to a thousand.
const HEAD: u64 = 1 << 20;
const RATIO: u64 = 32;
/// Heads that need more than this are rejected, too. Heads with thousands of tensors need a hundredth of it.
const LARGEST_HEAD: u64 = 16 << 20;

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Head {
    config: Pairs<Item>,
    metrics: Pairs<Item>,
    records: Pairs<Vec<(String, Dtype, Vec<usize>)>>,
}

/// A setting or metric.
#[derive(Serialize, Deserialize)]
#[serde(untagged)]
enum Item {
    Bool(bool),
    Int(i64),
    Float(f64),
    Text(String),
    Bits(Bits),
    Bytes(Base64),
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Bits {
    f64: String,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Base64 {
    base64: String,
}

/// Whether records are in this form.
pub(super) fn is_packed(records: &RecordDict) -> bool {
    matches!(records.get(FLORA), Some(Record::Config(_)))
}

pub(super) fn to_records(message: &Message) -> Result<RecordDict, CodecError> {
    let mut bytes = Vec::from(MAGIC);
    let json = serde_json::to_vec(&head(message)?).map_err(packed)?;
    let head = compress(&json)?;
    let length = u32::try_from(head.len()).map_err(packed)?;
    bytes.extend(length.to_le_bytes());
    bytes.extend(head);
    let values = |bytes: &mut Vec<u8>| {
        let tensors = message.records.values().flat_map(|record| record.iter());
        tensors.for_each(|(_, tensor)| bytes.extend(tensor.to_le_bytes()));
    };
    let mut many = None;
    match message.byte_len() {
        0..=MOST_INLINE => values(&mut bytes),
        length => {
            let shape = vec![length as usize];
            let mut data = npy::head("|u1", &shape);
            values(&mut data);
            many = Some(Array { dtype: "uint8".to_owned(), shape, stype: NUMPY.to_owned(), data });
        }
    }
    let mut record = ConfigRecord::default();
    record.push(MESSAGE, ConfigValue::Bytes(bytes));
    let mut records = vec![(FLORA.to_owned(), Record::Config(record))];
    if let Some(array) = many {
        let arrays = ArrayRecord(vec![(VALUES.to_owned(), array)]);
        records.push((VALUES.to_owned(), Record::Arrays(arrays)));
    }
    Ok(RecordDict(records))
}

pub(super) fn from_records(records: &RecordDict) -> Result<Message, CodecError> {
    let (mut message, mut many) = (None, None);
    for (name, record) in &records.0 {
        match (name.as_str(), record) {
            (FLORA, Record::Config(config)) if config.items.len() == 1 => {
                message = config.get(MESSAGE);
            }
            (VALUES, Record::Arrays(ArrayRecord(arrays))) if arrays.len() == 1 => {
                many = Some(many_values(&arrays[0].1)?);
            }
            (other, _) => return Err(CodecError::records(other, "it is not part of flora's form")),
        }
    }
    let Some(ConfigValue::Bytes(bytes)) = message else {
        return Err(CodecError::records(FLORA, "it lacks the bytes `message`"));
    };
    read(bytes, many)
}

/// The bytes in the array of large values.
fn many_values(array: &Array) -> Result<&[u8], CodecError> {
    let wrong = |problem: String| CodecError::tensor(VALUES, VALUES, problem);
    let (header, values) = npy::read(&array.data).map_err(|it| wrong(it.to_string()))?;
    if array.stype != NUMPY || header.descr != "|u1" || header.shape != [values.len()] {
        return Err(wrong("it is not one row of bytes".to_owned()));
    }
    Ok(values)
}

/// Reads a message from the bytes described in the module documentation, and from `many` if its values are in an array.
///
/// # Errors
///
/// [`CodecError::Packed`], or an error that names the tensor, setting or metric.
pub fn read(bytes: &[u8], many: Option<&[u8]>) -> Result<Message, CodecError> {
    let rest = bytes.strip_prefix(MAGIC);
    let rest = rest.ok_or_else(|| packed("it does not begin with FLM1"))?;
    let cut_off = || packed("it is cut off");
    let (length, rest) = rest.split_first_chunk().ok_or_else(cut_off)?;
    let length = usize::try_from(u32::from_le_bytes(*length)).map_err(packed)?;
    let (head, inline) = rest.split_at_checked(length).ok_or_else(cut_off)?;
    let head: Head = serde_json::from_slice(&decompress(head)?).map_err(packed)?;
    let mut values = match many {
        Some(many) if inline.is_empty() => many,
        Some(_) => return Err(packed("it has values in two places")),
        None => inline,
    };

    let mut message = Message::default();
    for (key, item) in head.config.0 {
        let value = item.setting().ok_or_else(|| CodecError::item("config", &key, DAMAGED))?;
        message.config.insert(key, value);
    }
    for (key, item) in head.metrics.0 {
        let number = item.number().ok_or_else(|| CodecError::item("metrics", &key, DAMAGED))?;
        message.metrics.insert(key, number);
    }
    for (name, tensors) in head.records.0 {
        let mut record = ParameterRecord::new();
        for (tensor, dtype, shape) in tensors {
            let (these, rest) = take(values, dtype, &shape)
                .ok_or_else(|| CodecError::tensor(&name, &tensor, "its values are cut off"))?;
            values = rest;
            HostTensor::from_le_bytes(dtype, shape, these)
                .and_then(|values| record.insert(tensor, values))
                .map_err(|source| CodecError::Record { record: name.clone(), source })?;
        }
        message.records.insert(name, Arc::new(record));
    }
    if !values.is_empty() {
        return Err(packed(format!("{} bytes follow the last tensor", values.len())));
    }
    Ok(message)
}

/// Of a setting or metric.
const DAMAGED: &str = "its value is damaged";

/// Splits off the bytes of a tensor; returns the rest, too.
fn take<'a>(values: &'a [u8], dtype: Dtype, shape: &[usize]) -> Option<(&'a [u8], &'a [u8])> {
    let bytes = shape.iter().try_fold(dtype.size(), |bytes, &extent| bytes.checked_mul(extent))?;
    values.split_at_checked(bytes)
}

fn head(message: &Message) -> Result<Head, CodecError> {
    let config = message.config.iter().map(|(key, value)| {
        let item = Item::of(value);
        let item =
            item.ok_or_else(|| CodecError::item("config", key, "its type cannot be sent"))?;
        Ok((key.clone(), item))
    });
    let metrics = message.metrics.iter().map(|(key, &value)| (key.clone(), Item::of_number(value)));
    let records = message.records.iter().map(|(name, record)| {
        let tensors = record.iter();
        let tensors =
            tensors.map(|(it, values)| (it.to_owned(), values.dtype(), values.shape().to_vec()));
        (name.clone(), tensors.collect())
    });
    Ok(Head {
        config: Pairs(config.collect::<Result<_, CodecError>>()?),
        metrics: Pairs(metrics.collect()),
        records: Pairs(records.collect()),
    })
}

impl Item {
    fn of(value: &Value) -> Option<Self> {
        Some(match value {
            Value::Bool(value) => Self::Bool(*value),
            Value::Int(value) => Self::Int(*value),
            Value::Float(value) => Self::of_number(*value),
            Value::Text(value) => Self::Text(value.clone()),
            Value::Bytes(value) => Self::Bytes(Base64 { base64: STANDARD.encode(value) }),
            _ => return None,
        })
    }

    fn of_number(value: f64) -> Self {
        match value.is_finite() {
            true => Self::Float(value),
            false => Self::Bits(Bits { f64: format!("{:016x}", value.to_bits()) }),
        }
    }

    fn setting(self) -> Option<Value> {
        Some(match self {
            Self::Bool(value) => Value::Bool(value),
            Self::Int(value) => Value::Int(value),
            Self::Float(value) => Value::Float(value),
            Self::Text(value) => Value::Text(value),
            Self::Bits(bits) => Value::Float(bits.value()?),
            Self::Bytes(bytes) => Value::Bytes(STANDARD.decode(bytes.base64).ok()?),
        })
    }

    fn number(self) -> Option<f64> {
        match self {
            Self::Float(value) => Some(value),
            Self::Bits(bits) => bits.value(),
            _ => None,
        }
    }
}

impl Bits {
    fn value(&self) -> Option<f64> {
        u64::from_str_radix(&self.f64, 16).ok().map(f64::from_bits)
    }
}

/// The largest accepted size of a head with `compressed` bytes.
fn most_bytes(compressed: usize) -> u64 {
    (HEAD + RATIO * compressed as u64).min(LARGEST_HEAD)
}

fn too_large(most: u64) -> CodecError {
    packed(format!("its head is larger than {most} bytes"))
}

fn compress(json: &[u8]) -> Result<Vec<u8>, CodecError> {
    if json.len() as u64 > LARGEST_HEAD {
        return Err(too_large(LARGEST_HEAD));
    }
    let mut encoder = DeflateEncoder::new(Vec::new(), Compression::best());
    Ok(encoder.write_all(json).and_then(|()| encoder.finish()).expect("a vector takes all bytes"))
}

fn decompress(bytes: &[u8]) -> Result<Vec<u8>, CodecError> {
    let most = most_bytes(bytes.len());
    let mut json = Vec::new();
    // One byte more, to distinguish a head that ends here from one that continues.
    let length = DeflateDecoder::new(bytes).take(most + 1).read_to_end(&mut json);
    match length.map_err(packed)? as u64 {
        length if length > most => Err(too_large(most)),
        _ => Ok(json),
    }
}

fn packed(problem: impl ToString) -> CodecError {
    CodecError::Packed(problem.to_string())
}

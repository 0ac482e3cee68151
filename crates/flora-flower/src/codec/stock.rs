//! The form of Flower's strategies.
//!
//! | flora | Flower |
//! |---|---|
//! | record `parameters` | `ArrayRecord` `arrays`, one numpy array per tensor, in the record's order |
//! | any other record | `ArrayRecord` of the same name |
//! | settings | `ConfigRecord` `config` |
//! | metrics | `MetricRecord` `metrics`, `num-examples` as a whole number, all others as doubles |
//!
//! When reading, settings and metrics of `ConfigRecord`s and `MetricRecord`s with other names become `RECORD.KEY`. A
//! list among the settings, or a number of 2^63 or more, becomes JSON text (bytes in base64), since flora's settings
//! have no such types. Lists among the metrics are ignored.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::sync::Arc;

use flora_core::{Dtype, HostTensor, ParameterRecord, npy};
use flora_federation::{Message, NUM_EXAMPLES, PARAMETERS};

use super::{CodecError, config};
use crate::objects::{Array, ArrayRecord, NUMPY, Record, RecordDict};
use crate::wire::records::{ConfigRecord, MetricRecord, MetricValue};

/// The name of the record of model parameters.
pub const ARRAYS: &str = "arrays";
/// The name of the record of settings.
pub const CONFIG: &str = "config";
/// The name of the record of metrics.
pub const METRICS: &str = "metrics";

pub(super) fn to_records(message: &Message) -> Result<RecordDict, CodecError> {
    let mut records = Vec::new();
    for (name, record) in &message.records {
        let flowers = match name.as_str() {
            PARAMETERS => ARRAYS,
            ARRAYS | CONFIG | METRICS | super::packed::FLORA => {
                let problem = "the name has a meaning for Flower; rename the record";
                return Err(CodecError::records(name, problem));
            }
            other => other,
        };
        let arrays = record.iter().map(|(tensor, values)| {
            let array = array(values).map_err(|it| CodecError::tensor(name, tensor, it))?;
            Ok((tensor.to_owned(), array))
        });
        let arrays = ArrayRecord(arrays.collect::<Result<_, _>>()?);
        records.push((flowers.to_owned(), Record::Arrays(arrays)));
    }
    if !message.config.is_empty() {
        let mut settings = ConfigRecord::default();
        for (key, value) in &message.config {
            settings.push(key, config::to_wire(CONFIG, key, value)?);
        }
        records.push((CONFIG.to_owned(), Record::Config(settings)));
    }
    if !message.metrics.is_empty() {
        let mut metrics = MetricRecord::default();
        for (key, &value) in &message.metrics {
            let value = match message.num_examples() {
                Some(examples) if key == NUM_EXAMPLES => MetricValue::Sint64(examples as i64),
                _ => MetricValue::Double(value),
            };
            metrics.push(key, value);
        }
        records.push((METRICS.to_owned(), Record::Metrics(metrics)));
    }
    Ok(RecordDict(records))
}

pub(super) fn from_records(records: &RecordDict) -> Result<Message, CodecError> {
    let mut message = Message::default();
    for (name, record) in &records.0 {
        match record {
            Record::Arrays(arrays) => {
                let floras = if name == ARRAYS { PARAMETERS } else { name };
                let record = Arc::new(parameters(name, arrays)?);
                insert(&mut message.records, floras.to_owned(), record, name)?;
            }
            Record::Config(settings) => {
                for item in &settings.items {
                    let value = item.value.as_ref().and_then(|value| value.value.as_ref());
                    let value = config::from_wire(value)
                        .map_err(|problem| CodecError::item(name, &item.key, problem))?;
                    let key = key(name, CONFIG, &item.key);
                    insert(&mut message.config, key, value, name)?;
                }
            }
            Record::Metrics(metrics) => {
                for item in &metrics.items {
                    let value = match item.value.as_ref().and_then(|value| value.value.as_ref()) {
                        Some(MetricValue::Double(value)) => *value,
                        Some(MetricValue::Sint64(value)) => *value as f64,
                        Some(MetricValue::Uint64(value)) => *value as f64,
                        Some(_) => continue,
                        None => return Err(CodecError::item(name, &item.key, config::UNKNOWN)),
                    };
                    let key = key(name, METRICS, &item.key);
                    insert(&mut message.metrics, key, value, name)?;
                }
            }
        }
    }
    Ok(message)
}

/// The name of an item of a record.
fn key(record: &str, usual: &str, key: &str) -> String {
    if record == usual { key.to_owned() } else { format!("{record}.{key}") }
}

fn insert<T>(
    map: &mut BTreeMap<String, T>,
    key: String,
    value: T,
    record: &str,
) -> Result<(), CodecError> {
    match map.entry(key) {
        Entry::Vacant(entry) => {
            entry.insert(value);
            Ok(())
        }
        Entry::Occupied(entry) => {
            let problem = format!("`{}` would be there twice; rename one", entry.key());
            Err(CodecError::records(record, problem))
        }
    }
}

/// Converts a tensor to Flower's array.
fn array(tensor: &HostTensor) -> Result<Array, &'static str> {
    let (dtype, descr) = match tensor.dtype() {
        Dtype::F32 => ("float32", "<f4"),
        Dtype::F16 => ("float16", "<f2"),
        Dtype::Bf16 => return Err("numpy has no bf16; send f32 or f16 to a Flower strategy"),
        Dtype::U8 => ("uint8", "|u1"),
    };
    let shape = tensor.shape().to_vec();
    let mut data = npy::head(descr, &shape);
    data.extend(tensor.to_le_bytes());
    Ok(Array { dtype: dtype.to_owned(), shape, stype: NUMPY.to_owned(), data })
}

/// Reads a record from Flower's arrays.
fn parameters(record: &str, arrays: &ArrayRecord) -> Result<ParameterRecord, CodecError> {
    let mut parameters = ParameterRecord::new();
    for (name, array) in &arrays.0 {
        let tensor = tensor(array).map_err(|it| CodecError::tensor(record, name, it))?;
        parameters
            .insert(name, tensor)
            .map_err(|source| CodecError::Record { record: record.to_owned(), source })?;
    }
    Ok(parameters)
}

fn tensor(array: &Array) -> Result<HostTensor, String> {
    if array.stype != NUMPY {
        return Err(format!("its stype is `{}`; `{NUMPY}` is read", short(&array.stype)));
    }
    let tensor = numpy_tensor(&array.data)?;
    if tensor.shape() != array.shape {
        return Err("its description and its .npy file differ in shape".to_owned());
    }
    Ok(tensor)
}

/// Reads a tensor from a `.npy` file.
pub(crate) fn numpy_tensor(file: &[u8]) -> Result<HostTensor, String> {
    let (header, values) = npy::read(file).map_err(|error| error.to_string())?;
    let is_double = header.descr == "<f8";
    let dtype = match header.descr.as_str() {
        // Read below.
        "<f8" => Dtype::F32,
        "<f4" => Dtype::F32,
        "<f2" => Dtype::F16,
        ">f4" | ">f2" | ">f8" => {
            return Err("it is big endian; send `array.astype('<f4')`".to_owned());
        }
        other => {
            return Err(format!(
                "its element type is `{}`; send float32, float64 or float16, as by `array.astype('float32')`",
                short(other)
            ));
        }
    };
    if header.fortran_order {
        let problem = "it is column-major; send `numpy.ascontiguousarray(array)`";
        return Err(problem.to_owned());
    }
    if is_double {
        // `FedAdam` and similar strategies send doubles from the second round on.
        let (values, rest) = values.as_chunks::<8>();
        if !rest.is_empty() {
            return Err("its .npy file is cut off".to_owned());
        }
        let values = values.iter().map(|&bytes| f64::from_le_bytes(bytes) as f32).collect();
        return HostTensor::from_f32(header.shape, values).map_err(|error| error.to_string());
    }
    HostTensor::from_le_bytes(dtype, header.shape, values).map_err(|error| error.to_string())
}

/// The beginning of a text from outside.
fn short(text: &str) -> String {
    text.chars().filter(|it| !it.is_control()).take(40).collect()
}

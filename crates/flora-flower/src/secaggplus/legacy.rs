//! The records of Flower's older API, which SecAgg+ uses: instructions to train, and the results.

use std::sync::Arc;

use flora_core::ParameterRecord;
use flora_federation::{Message, NUM_EXAMPLES};

use super::SecAggError;
use super::read::Fields;
use crate::codec::config;
use crate::codec::stock::numpy_tensor;
use crate::objects::{ArrayRecord, NUMPY, Record, RecordDict};
use crate::wire::records::{ConfigRecord, ConfigValue, MetricRecord, MetricValue};

const PARAMETERS: &str = "fitins.parameters";
const CONFIG: &str = "fitins.config";
/// Marks a record without arrays, in place of their type.
const EMPTY: &str = "_empty";

/// Reads the instruction to train. Its arrays have no names; they are called `0`, `1` and so on, as in Flower.
pub(super) fn instruction(records: &RecordDict) -> Result<Message, SecAggError> {
    let Some(Record::Arrays(arrays)) = records.get(PARAMETERS) else {
        return Err(SecAggError::record(PARAMETERS, "it is missing, or not an ArrayRecord"));
    };
    let mut parameters = ParameterRecord::new();
    for (name, array) in arrays.0.iter().filter(|(name, _)| name != EMPTY) {
        let wrong =
            |problem: String| SecAggError::record(PARAMETERS, format!("array {name}: {problem}"));
        if array.stype != NUMPY {
            return Err(wrong(format!("its tensor type is not `{NUMPY}`")));
        }
        // Only the file has the shape and element type.
        let tensor = numpy_tensor(&array.data).map_err(wrong)?;
        parameters.insert(name, tensor).map_err(|error| wrong(error.to_string()))?;
    }
    let mut message = Message::parameters(Arc::new(parameters));
    let fields = Fields::of(records, CONFIG)?;
    for item in fields.items() {
        let value = item.value.as_ref().and_then(|value| value.value.as_ref());
        let value = config::from_wire(value).map_err(|problem| fields.wrong(&item.key, problem))?;
        message.config.insert(item.key.clone(), value);
    }
    Ok(message)
}

/// The result of the training without the parameters, which are not sent unmasked.
pub(super) fn result(answer: &Message, num_examples: usize) -> Vec<(String, Record)> {
    let mut metrics = ConfigRecord::default();
    for (name, value) in answer.metrics.iter().filter(|(name, _)| *name != NUM_EXAMPLES) {
        metrics.push(name, ConfigValue::Double(*value));
    }
    let mut examples = MetricRecord::default();
    examples.push("num_examples", MetricValue::Sint64(num_examples as i64));
    let mut status = ConfigRecord::default();
    // `flwr.common.Code.OK`.
    status.push("code", ConfigValue::Sint64(0));
    status.push("message", ConfigValue::Text("Success".to_owned()));
    [
        ("fitres.parameters", Record::Arrays(ArrayRecord::default())),
        ("fitres.num_examples", Record::Metrics(examples)),
        ("fitres.metrics", Record::Config(metrics)),
        ("fitres.status", Record::Config(status)),
    ]
    .map(|(name, record)| (name.to_owned(), record))
    .into()
}

use std::{collections::BTreeMap, sync::Arc};

use flora_core::ParameterRecord;
use serde::{Deserialize, Serialize};

use crate::ClientError;

/// Named records of a message, such as [`PARAMETERS`].
pub type Records = BTreeMap<String, Arc<ParameterRecord>>;

/// Named settings of a message.
pub type Config = BTreeMap<String, Value>;

/// Named metrics that a client reports. `accuracy` (0..1) and `loss` have a fixed meaning in the reply to
/// [`Kind::Evaluate`](crate::Kind::Evaluate); see [`Message::trained`] for the reply to
/// [`Kind::Train`](crate::Kind::Train).
pub type Metrics = BTreeMap<String, f64>;

/// The record that holds model parameters.
pub const PARAMETERS: &str = "parameters";

/// The metric with the number of examples behind a reply. Flower's name for it.
pub const NUM_EXAMPLES: &str = "num-examples";

/// The metric of an aggregate with the relative error of averaging LoRA factors, the distance of their product from the
/// average of the clients' products: `|sum p_k B_k A_k - B A|_F / |sum p_k B_k A_k|_F` over all layers, with `p_k` the
/// clients' weights.
pub const AGGREGATION_ERROR: &str = "aggregation_error";

/// The metric of a reply, and of an aggregate, with the differential privacy budget spent so far. Over several
/// clients, the maximum.
pub const EPSILON: &str = "epsilon";

/// Larger counts are not exact in f64.
const MOST_EXAMPLES: f64 = (1_u64 << 53) as f64;

/// The value of a setting.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(untagged)]
#[non_exhaustive]
pub enum Value {
    /// True or false.
    Bool(bool),
    /// An integer.
    Int(i64),
    /// A floating-point number.
    Float(#[serde(deserialize_with = "number_or_nan")] f64),
    /// Text.
    Text(String),
    /// Bytes, such as a public key.
    Bytes(Vec<u8>),
}

/// The contents of a message between server and client, in either direction: records, settings and metrics. The three
/// maps correspond to Flower's `ArrayRecord`, `ConfigRecord` and `MetricRecord`.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Message {
    /// Named tensors.
    #[serde(skip)]
    pub records: Records,
    /// Settings of this message, such as a learning rate or the seed of a mask.
    pub config: Config,
    /// Metrics that the sender measured.
    #[serde(deserialize_with = "metrics_with_nan")]
    pub metrics: Metrics,
}

impl Message {
    /// A message with the model parameters `parameters` only.
    pub fn parameters(parameters: Arc<ParameterRecord>) -> Self {
        Self { records: BTreeMap::from([(PARAMETERS.to_owned(), parameters)]), ..Self::default() }
    }

    /// The reply of a client that trained. `metrics` may hold:
    ///
    /// - `loss`: the training loss;
    /// - `accuracy` (0..1) and `test_loss`: those of the client's own model after training, on the client's test
    ///   examples;
    /// - `update_norm`: the L2 norm of the update, including parameters that are not shared.
    pub fn trained(parameters: ParameterRecord, num_examples: usize, metrics: Metrics) -> Self {
        let mut message = Self::parameters(Arc::new(parameters));
        message.metrics = metrics;
        message.metrics.insert(NUM_EXAMPLES.to_owned(), num_examples as f64);
        message
    }

    /// The reply of a client that tested a model: `accuracy` (0..1) is required, `loss` is expected.
    pub fn tested(num_examples: usize, metrics: Metrics) -> Self {
        let mut message = Self { metrics, ..Self::default() };
        message.metrics.insert(NUM_EXAMPLES.to_owned(), num_examples as f64);
        message
    }

    /// The model parameters, if there are any.
    pub fn get_parameters(&self) -> Option<&Arc<ParameterRecord>> {
        self.records.get(PARAMETERS)
    }

    /// The model parameters, which must be present.
    ///
    /// # Errors
    /// The message contains none.
    pub fn expect_parameters(&self, client: &str) -> Result<&Arc<ParameterRecord>, ClientError> {
        self.get_parameters()
            .ok_or_else(|| ClientError::new(client, "the message has no record `parameters`"))
    }

    /// The number of examples behind the message; `None` if it is missing or not a non-negative integer.
    pub fn num_examples(&self) -> Option<usize> {
        let number = *self.metrics.get(NUM_EXAMPLES)?;
        let whole = (0.0..=MOST_EXAMPLES).contains(&number) && number.fract() == 0.0;
        whole.then_some(number as usize)
    }

    /// Removes the client's measurements on its images. The number of examples and the spent privacy budget stay.
    pub fn hide_measurements(&mut self) {
        self.metrics.retain(|name, _| name == NUM_EXAMPLES || name == EPSILON);
    }

    /// The bytes of all tensor values, without names, shapes, settings or metrics: 96 KiB for 24,576
    /// parameters in f32.
    pub fn byte_len(&self) -> u64 {
        self.records.values().map(|record| record.byte_len() as u64).sum()
    }
}

/// JSON has no NaN: serde writes null for it, and this reads null as NaN, so that the metrics of a diverged client can
/// be read back.
pub(crate) fn metrics_with_nan<'de, D: serde::Deserializer<'de>>(
    deserializer: D,
) -> Result<Metrics, D::Error> {
    let values = BTreeMap::<String, Option<f64>>::deserialize(deserializer)?;
    Ok(values.into_iter().map(|(name, value)| (name, value.unwrap_or(f64::NAN))).collect())
}

/// Like [`metrics_with_nan`], for one number.
pub(crate) fn number_or_nan<'de, D: serde::Deserializer<'de>>(
    deserializer: D,
) -> Result<f64, D::Error> {
    Ok(Option::deserialize(deserializer)?.unwrap_or(f64::NAN))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_count_of_examples_is_a_whole_number() {
        let says = |number: f64| {
            let metrics = Metrics::from([(NUM_EXAMPLES.to_owned(), number)]);
            Message { metrics, ..Message::default() }.num_examples()
        };
        assert_eq!(says(12.0), Some(12));
        assert_eq!(says(0.0), Some(0));
        for wrong in [-1.0, 0.5, f64::NAN, f64::INFINITY, 1e300] {
            assert_eq!(says(wrong), None, "{wrong}");
        }
        assert_eq!(Message::default().num_examples(), None);
    }

    #[test]
    fn settings_and_metrics_survive_json() {
        let mut message = Message::tested(3, Metrics::from([("loss".to_owned(), f64::NAN)]));
        for (name, value) in [
            ("mu", Value::Float(0.5)),
            ("seed", Value::Int(7)),
            ("whole", Value::Float(2.0)),
            ("on", Value::Bool(true)),
            ("key", Value::Bytes(vec![0, 255])),
            ("note", Value::Text("x".to_owned())),
        ] {
            message.config.insert(name.to_owned(), value);
        }
        let json = serde_json::to_string(&message).unwrap();
        let read: Message = serde_json::from_str(&json).unwrap();
        assert_eq!(read.config, message.config);
        assert!(read.metrics["loss"].is_nan());
        assert_eq!(read.num_examples(), Some(3));
    }

    /// A client that reports NaN must not make the state of a run unreadable.
    #[test]
    fn a_setting_that_is_not_a_number_survives_json() {
        let mut message = Message::default();
        message.config.insert("mu".to_owned(), Value::Float(f64::NAN));
        let json = serde_json::to_string(&message).unwrap();
        let read: Message = serde_json::from_str(&json).unwrap();
        assert!(matches!(read.config["mu"], Value::Float(mu) if mu.is_nan()));
    }
}

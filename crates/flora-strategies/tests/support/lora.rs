//! `fixtures/lora.json`, and rounds with its data.

// Each test file uses a part of it.
#![allow(dead_code)]

use std::{collections::BTreeMap, path::Path, sync::Arc};

use flora_core::{HostTensor, ParameterRecord};
use flora_federation::{
    Accepted, Aggregate, ClientInfo, Global, Kind, Message, Metrics, Strategy, StrategyError,
};
use serde_json::Value;

/// The dense products of the layers.
pub(crate) type Products = BTreeMap<String, Vec<f64>>;

pub(crate) const LAYERS: [&str; 2] = ["text.layers.0.out_proj", "text.layers.0.fc1"];

pub(crate) fn fixture() -> Value {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/lora.json");
    serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap()
}

pub(crate) fn numbers(value: &Value) -> Vec<f64> {
    value.as_array().unwrap().iter().map(|it| it.as_f64().unwrap()).collect()
}

pub(crate) fn examples(fixture: &Value) -> Vec<usize> {
    numbers(&fixture["num_examples"]).into_iter().map(|it| it as usize).collect()
}

pub(crate) fn record(value: &Value) -> ParameterRecord {
    let mut record = ParameterRecord::new();
    for (name, array) in value.as_object().unwrap() {
        let shape: Vec<usize> = numbers(&array["shape"]).iter().map(|&it| it as usize).collect();
        let values = numbers(&array["data"]).into_iter().map(|it| it as f32).collect();
        record.insert(name, HostTensor::from_f32(shape, values).unwrap()).unwrap();
    }
    record
}

pub(crate) fn records(value: &Value) -> Vec<ParameterRecord> {
    value.as_array().unwrap().iter().map(record).collect()
}

pub(crate) fn products(value: &Value) -> Products {
    let layers = value.as_object().unwrap().iter();
    layers.map(|(layer, array)| (layer.clone(), numbers(&array["data"]))).collect()
}

pub(crate) fn name(layer: &str, part: &str) -> String {
    format!("{layer}.lora_{part}.weight")
}

/// `B A` of each layer, times a factor.
pub(crate) fn products_of(record: &ParameterRecord, factor: f64) -> Products {
    let product = |layer: &str| {
        let (a, b) =
            (record.get(&name(layer, "A")).unwrap(), record.get(&name(layer, "B")).unwrap());
        let (rank, width, out) = (a.shape()[0], a.shape()[1], b.shape()[0]);
        let (a, b) = (a.to_f32(), b.to_f32());
        let entry = |row: usize, column: usize| {
            let of = |k| f64::from(b[row * rank + k]) * f64::from(a[k * width + column]);
            (0..rank).map(of).sum::<f64>() * factor
        };
        (0..out * width).map(|it| entry(it / width, it % width)).collect()
    };
    LAYERS.iter().map(|&layer| (layer.to_owned(), product(layer))).collect()
}

fn assert_near(what: &str, expected: &[f64], actual: &[f64]) {
    assert_eq!(expected.len(), actual.len(), "{what}");
    let largest = expected.iter().fold(1.0_f64, |most, it| most.max(it.abs()));
    for (expected, actual) in expected.iter().zip(actual) {
        assert!((expected - actual).abs() <= 1e-6 * largest, "{what}: {expected} {actual}");
    }
}

pub(crate) fn assert_products(expected: &Products, actual: &Products) {
    for (layer, expected) in expected {
        assert_near(layer, expected, &actual[layer]);
    }
}

/// Asserts that `actual` has all tensors of `expected`, a record of a fixture.
pub(crate) fn assert_holds(expected: &Value, actual: &ParameterRecord) {
    let expected = record(expected);
    assert!(!expected.is_empty());
    let wide =
        |tensor: &HostTensor| tensor.to_f32().iter().map(|&it| f64::from(it)).collect::<Vec<_>>();
    for (name, tensor) in expected.iter() {
        let found = actual.get(name).unwrap_or_else(|| panic!("{name} is missing"));
        assert_eq!(found.shape(), tensor.shape(), "{name}");
        assert_near(name, &wide(tensor), &wide(found));
    }
}

pub(crate) fn global(round: usize, parameters: &ParameterRecord) -> Global {
    Global { round, parameters: Arc::new(parameters.clone()) }
}

pub(crate) fn info(client: usize, num_examples: usize) -> ClientInfo {
    ClientInfo { id: format!("client-{client}"), num_examples, num_test_examples: 0 }
}

/// Aggregates clients that answer `trained`, or the part of it that they were asked to train; each answer has passed
/// the rule's check.
pub(crate) fn round(
    rule: &mut dyn Strategy,
    global: &Global,
    trained: &[ParameterRecord],
    examples: &[usize],
) -> Aggregate {
    let accepted = accepted(rule, global, trained, examples);
    let first = aggregate(rule, global, &accepted).unwrap();
    // The result must not depend on the order of the answers, nor on a resume: no rule here has a state of its own.
    let reversed: Vec<Accepted> = accepted.into_iter().rev().collect();
    rule.restore(rule.state()).unwrap();
    let second = aggregate(rule, global, &reversed).unwrap();
    assert_eq!(first, second);
    first
}

pub(crate) fn aggregate(
    rule: &mut dyn Strategy,
    global: &Global,
    accepted: &[Accepted],
) -> Result<Aggregate, StrategyError> {
    let aggregate = rule.aggregate(global, accepted)?;
    if !aggregate.is_reshaped {
        aggregate.parameters.check_matches(&global.parameters).unwrap();
    }
    aggregate.parameters.check_dtypes(&global.parameters).unwrap();
    aggregate.parameters.check_finite().unwrap();
    Ok(aggregate)
}

pub(crate) fn accepted(
    rule: &mut dyn Strategy,
    global: &Global,
    trained: &[ParameterRecord],
    examples: &[usize],
) -> Vec<Accepted> {
    let answer = |(client, (trained, &num_examples)): (usize, (&ParameterRecord, &usize))| {
        let client = info(client, num_examples);
        let sent = rule.instruct(global, &client, &Kind::Train);
        let part = match sent.config.get(flora_strategies::lora::TRAIN) {
            Some(flora_federation::Value::Text(part)) => part.clone(),
            _ => String::new(),
        };
        let answer = trained.filter(|name| name.contains(&part));
        let message = Message::trained(answer, num_examples, Metrics::new());
        rule.check(&sent, &message).unwrap();
        let parameters = Arc::clone(message.get_parameters().unwrap());
        Accepted { client, sent, message, num_examples, parameters }
    };
    trained.iter().zip(examples).enumerate().map(answer).collect()
}

/// A record with zeros in tensors whose names contain `part`.
pub(crate) fn zeroed(record: &ParameterRecord, part: &str) -> ParameterRecord {
    changed(record, |name, value| if name.contains(part) { 0.0 } else { value })
}

pub(crate) fn changed(
    record: &ParameterRecord,
    change: impl Fn(&str, f32) -> f32,
) -> ParameterRecord {
    let mut changed = ParameterRecord::new();
    for (name, tensor) in record.iter() {
        let values = tensor.to_f32().iter().map(|&value| change(name, value)).collect();
        changed.insert(name, HostTensor::from_f32(tensor.shape(), values).unwrap()).unwrap();
    }
    changed
}

/// The clients of one rank.
pub(crate) struct OneRank {
    pub(crate) fixture: Value,
    pub(crate) examples: Vec<usize>,
    pub(crate) reference: ParameterRecord,
    pub(crate) clients: Vec<ParameterRecord>,
}

pub(crate) fn one_rank() -> OneRank {
    let fixture = fixture();
    let of = &fixture["one_rank"];
    let (reference, clients) = (record(&of["reference"]), records(&of["clients"]));
    OneRank { examples: examples(&fixture), reference, clients, fixture }
}

impl OneRank {
    pub(crate) fn rule(&self, name: &str) -> &Value {
        &self.fixture["one_rank"]["rules"][name]
    }
}

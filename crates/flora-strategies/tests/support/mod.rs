//! Fixtures as records, answers of clients, and comparisons.

// Each test program uses a part.
#![allow(dead_code, unreachable_pub)]

use std::{path::Path, sync::Arc};

use flora_core::{HostTensor, ParameterRecord};
use flora_federation::{
    Accepted, Aggregate, ClientInfo, Global, Message, Metrics, Strategy, StrategyError,
};
use serde_json::Value;

/// Tolerance for a difference from a fixture.
pub const TOLERANCE: f64 = 1e-6;

/// The JSON of `tests/fixtures/NAME`.
pub fn fixture(name: &str) -> Value {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures").join(name);
    serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap()
}

/// The elements of a JSON list.
pub fn list(value: &Value) -> &[Value] {
    value.as_array().unwrap()
}

/// A JSON list of integers.
pub fn counts(value: &Value) -> Vec<usize> {
    list(value).iter().map(|it| it.as_u64().unwrap() as usize).collect()
}

/// A JSON list of numbers.
pub fn numbers(value: &Value) -> Vec<f64> {
    list(value).iter().map(|it| it.as_f64().unwrap()).collect()
}

/// A number.
pub fn number(value: &Value) -> f64 {
    value.as_f64().unwrap()
}

/// An array `{shape, data}` in f32.
pub fn tensor(value: &Value) -> HostTensor {
    let values = numbers(&value["data"]).into_iter().map(|it| it as f32).collect();
    HostTensor::from_f32(counts(&value["shape"]), values).unwrap()
}

/// A map from names to arrays, in f32.
pub fn record(value: &Value) -> ParameterRecord {
    let mut record = ParameterRecord::new();
    for (name, array) in value.as_object().unwrap() {
        record.insert(name, tensor(array)).unwrap();
    }
    record
}

/// A record of one tensor `w`.
pub fn vector(values: &[f32]) -> ParameterRecord {
    let mut record = ParameterRecord::new();
    record.insert("w", HostTensor::from_f32([values.len()], values.to_vec()).unwrap()).unwrap();
    record
}

/// `record + change`, both in f32, summed in f64.
pub fn plus(record: &ParameterRecord, change: &ParameterRecord) -> ParameterRecord {
    let mut sum = ParameterRecord::new();
    for (name, tensor) in record.iter() {
        let (from, by) = (tensor.to_f32(), change.get(name).unwrap().to_f32());
        let values =
            from.iter().zip(by.iter()).map(|(a, b)| (f64::from(*a) + f64::from(*b)) as f32);
        sum.insert(name, HostTensor::from_f32(tensor.shape(), values.collect()).unwrap()).unwrap();
    }
    sum
}

/// The global parameters at the start of a round, from 0.
pub fn global(round: usize, parameters: &ParameterRecord) -> Global {
    Global { round, parameters: Arc::new(parameters.clone()) }
}

/// The answers of clients `00`, `01`, ... to the global parameters.
pub fn answers(
    global: &Global,
    num_examples: &[usize],
    records: impl IntoIterator<Item = ParameterRecord>,
) -> Vec<Accepted> {
    let sent = Message::parameters(Arc::clone(&global.parameters));
    let each = records.into_iter().zip(num_examples).enumerate();
    each.map(|(index, (record, &examples))| {
        answer(&format!("{index:02}"), examples, sent.clone(), record)
    })
    .collect()
}

/// The answer of one client to a message.
pub fn answer(id: &str, num_examples: usize, sent: Message, record: ParameterRecord) -> Accepted {
    let message = Message::trained(record, num_examples, Metrics::new());
    Accepted {
        client: ClientInfo { id: id.to_owned(), num_examples, num_test_examples: 0 },
        sent,
        num_examples,
        parameters: Arc::clone(message.get_parameters().unwrap()),
        message,
    }
}

/// Aggregates one round from fixtures: `num_examples` and the answered records.
pub fn aggregate(
    strategy: &mut dyn Strategy,
    round: usize,
    start: &ParameterRecord,
    num_examples: &[usize],
    records: &[ParameterRecord],
) -> Result<Aggregate, StrategyError> {
    let global = global(round, start);
    let answers = answers(&global, num_examples, records.to_vec());
    strategy.aggregate(&global, &answers)
}

/// Asserts that `found` has exactly the tensors of `expected`, with each value within `tolerance`.
#[track_caller]
pub fn assert_close(found: &ParameterRecord, expected: &Value, tolerance: f64, what: &str) {
    let expected = expected.as_object().unwrap();
    assert_eq!(found.len(), expected.len(), "{what}: {:?}", found.names().collect::<Vec<_>>());
    for (name, array) in expected {
        let tensor = found.get(name).unwrap_or_else(|| panic!("{what}: no tensor {name}"));
        assert_eq!(tensor.shape(), counts(&array["shape"]), "{what}: {name}");
        for (at, (x, y)) in tensor.to_f32().iter().zip(numbers(&array["data"])).enumerate() {
            let away = (f64::from(*x) - y).abs();
            assert!(away <= tolerance, "{what}: {name}[{at}] is {x}, not {y}: {away:e} away");
        }
    }
}

/// Names, shapes, element types and bits, in the record's order.
pub fn bits(record: &ParameterRecord) -> Vec<(String, Vec<usize>, Vec<u8>)> {
    let of = |(name, tensor): (&str, &HostTensor)| {
        (name.to_owned(), tensor.shape().to_vec(), tensor.to_le_bytes())
    };
    record.iter().map(of).collect()
}

/// A state after writing it to a file and reading it back.
pub fn saved(state: Message) -> Message {
    let json = serde_json::to_string(&state).unwrap();
    let mut read: Message = serde_json::from_str(&json).unwrap();
    for (name, record) in state.records {
        let loaded = ParameterRecord::from_safetensors(&record.to_safetensors()).unwrap();
        read.records.insert(name, Arc::new(loaded));
    }
    read
}

/// A round of answers: numbers of examples, and the clients' records.
pub type Round = (Vec<usize>, Vec<ParameterRecord>);

/// The initial record and the rounds of the inputs of that name in `flower.json`.
pub fn inputs(all: &Value, name: &str) -> (ParameterRecord, Vec<Round>) {
    let given = &all["inputs"][name];
    let round = |it: &Value| {
        (counts(&it["num_examples"]), list(&it["clients"]).iter().map(record).collect())
    };
    (record(&given["global"]), list(&given["rounds"]).iter().map(round).collect())
}

/// Checks that a strategy that is saved and restored between any two rounds gives bit-identical results, and, if
/// `any_order`, that the order of the answers does not matter.
#[track_caller]
pub fn assert_same_bits(
    make: &dyn Fn() -> Box<dyn Strategy>,
    start: &ParameterRecord,
    rounds: &[Round],
    any_order: bool,
) {
    let (mut whole, mut resumed, mut turned) = (make(), make(), make());
    let name = whole.name().to_owned();
    let mut parameters = start.clone();
    for (round, (examples, records)) in rounds.iter().enumerate() {
        let global = global(round, &parameters);
        let mut answers = answers(&global, examples, records.clone());
        let next = whole.aggregate(&global, &answers).unwrap().parameters;
        let again = resumed.aggregate(&global, &answers).unwrap().parameters;
        assert_eq!(bits(&again), bits(&next), "{name}: resumed before round {round}");
        let state = saved(resumed.state());
        resumed = make();
        resumed.restore(state).unwrap();
        let by = 1 + round % (answers.len() - 1);
        answers.rotate_left(by);
        answers.swap(0, 1);
        let other = turned.aggregate(&global, &answers).unwrap().parameters;
        if any_order {
            assert_eq!(bits(&other), bits(&next), "{name}: another order in round {round}");
        }
        parameters = next;
    }
}

/// The message of a refusal.
#[track_caller]
pub fn refusal<T>(result: Result<T, StrategyError>) -> String {
    match result {
        Ok(_) => panic!("nothing was refused"),
        Err(error) => error.to_string(),
    }
}

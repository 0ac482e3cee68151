//! FedAvg, compared with values computed by hand.

use std::sync::Arc;

use flora_core::{Dtype, HostTensor};
use flora_federation::{
    Accepted, ClientInfo, FedAvg, Global, Message, Metrics, ParameterRecord, Strategy,
};

fn record(tensors: &[(&str, &[f32])]) -> ParameterRecord {
    let mut record = ParameterRecord::new();
    for (name, values) in tensors {
        let tensor = HostTensor::from_f32([values.len()], values.to_vec()).unwrap();
        record.insert(*name, tensor).unwrap();
    }
    record
}

fn global(parameters: ParameterRecord) -> Global {
    Global { round: 0, parameters: Arc::new(parameters) }
}

fn answer(client: &str, num_examples: usize, parameters: ParameterRecord) -> Accepted {
    let message = Message::trained(parameters, num_examples, Metrics::new());
    Accepted {
        client: ClientInfo { id: client.to_owned(), num_examples, num_test_examples: 0 },
        sent: Message::default(),
        num_examples,
        parameters: Arc::clone(message.get_parameters().unwrap()),
        message,
    }
}

fn values(record: &ParameterRecord, name: &str) -> Vec<f32> {
    record.get(name).unwrap().to_f32().into_owned()
}

#[test]
fn the_mean_is_weighted_by_examples_and_matched_by_name() {
    let current = global(record(&[("a", &[0.0, 0.0]), ("b", &[9.0])]));
    let answers = [
        answer("x", 1, record(&[("a", &[1.0, -2.0]), ("b", &[8.0])])),
        // In another order: the position must not matter.
        answer("y", 3, record(&[("b", &[4.0]), ("a", &[5.0, 2.0])])),
    ];
    let aggregate = FedAvg.aggregate(&current, &answers).unwrap();
    assert_eq!(values(&aggregate.parameters, "a"), [4.0, 1.0]);
    assert_eq!(values(&aggregate.parameters, "b"), [5.0]);
    assert_eq!(aggregate.parameters.names().collect::<Vec<_>>(), ["a", "b"]);
    assert!(aggregate.metrics.is_empty());
}

#[test]
fn one_answer_or_equal_answers_come_back_bit_by_bit() {
    let odd = record(&[("a", &[0.1, 1e-38, -3.3e38, 0.3])]);
    let current = global(record(&[("a", &[0.0; 4])]));
    let one = [answer("x", 7, odd.clone())];
    let equal = ["x", "y", "z"].map(|client| answer(client, 7 + client.len(), odd.clone()));
    for answers in [&one[..], &equal[..]] {
        let aggregate = FedAvg.aggregate(&current, answers).unwrap();
        assert_eq!(aggregate.parameters.to_safetensors(), odd.to_safetensors());
    }
}

#[test]
fn answers_without_any_weight_are_an_error() {
    let current = global(record(&[("a", &[0.0])]));
    let one = |client, examples| answer(client, examples, record(&[("a", &[1.0])]));
    for answers in [vec![], vec![one("x", 0), one("y", 0)]] {
        let error = FedAvg.aggregate(&current, &answers).unwrap_err().to_string();
        assert!(error.contains("0 training examples"), "{error}");
    }
    // A client without examples has no weight among others.
    let answers = [one("x", 0), answer("y", 2, record(&[("a", &[5.0])]))];
    let aggregate = FedAvg.aggregate(&current, &answers).unwrap();
    assert_eq!(values(&aggregate.parameters, "a"), [5.0]);
}

/// Replies with another element type do not pass the round loop's checks, but may pass those of a strategy that wraps
/// this one.
#[test]
fn the_element_type_stays_that_of_the_server() {
    let current = global(record(&[("a", &[0.0])]));
    let answers = [
        answer("x", 1, record(&[("a", &[1.0])]).cast(Dtype::F16)),
        answer("y", 1, record(&[("a", &[1.0 + 1.0 / 128.0])]).cast(Dtype::Bf16)),
    ];
    let aggregate = FedAvg.aggregate(&current, &answers).unwrap();
    assert_eq!(aggregate.parameters.get("a").unwrap().dtype(), Dtype::F32);
    assert_eq!(values(&aggregate.parameters, "a"), [1.0 + 1.0 / 256.0]);
}

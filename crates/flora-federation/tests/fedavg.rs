//! FedAvg against numbers worked out by hand.

use flora_core::{Dtype, HostTensor};
use flora_federation::{FedAvg, FitReply, Metrics, ParameterRecord, Strategy, StrategyError};

fn record(tensors: &[(&str, &[f32])]) -> ParameterRecord {
    let mut record = ParameterRecord::new();
    for (name, values) in tensors {
        let tensor = HostTensor::from_f32([values.len()], values.to_vec()).unwrap();
        record.insert(*name, tensor).unwrap();
    }
    record
}

fn reply(client: &str, num_examples: usize, parameters: ParameterRecord) -> FitReply {
    FitReply {
        client: client.to_owned(),
        parameters,
        num_examples,
        metrics: Metrics::from([("loss".to_owned(), num_examples as f64)]),
        seconds: 1.0,
    }
}

fn values(record: &ParameterRecord, name: &str) -> Vec<f32> {
    record.get(name).unwrap().to_f32().into_owned()
}

#[test]
fn the_mean_is_weighted_by_examples_and_matched_by_name() {
    let current = record(&[("a", &[0.0, 0.0]), ("b", &[9.0])]);
    let replies = [
        reply("x", 1, record(&[("a", &[1.0, -2.0]), ("b", &[8.0])])),
        // The other order: position must not matter.
        reply("y", 3, record(&[("b", &[4.0]), ("a", &[5.0, 2.0])])),
    ];
    let aggregate = FedAvg.aggregate(0, &current, &replies).unwrap();
    assert_eq!(values(&aggregate.parameters, "a"), [4.0, 1.0]);
    assert_eq!(values(&aggregate.parameters, "b"), [5.0]);
    assert_eq!(aggregate.parameters.names().collect::<Vec<_>>(), ["a", "b"]);
    // (1 * 1 + 3 * 3) / 4
    assert_eq!(aggregate.metrics["loss"], 2.5);
    assert!(aggregate.rejected.is_empty());
}

#[test]
fn one_reply_or_equal_replies_come_back_bit_by_bit() {
    let odd = record(&[("a", &[0.1, 1e-38, -3.3e38, 0.3])]);
    let current = record(&[("a", &[0.0; 4])]);
    let one = [reply("x", 7, odd.clone())];
    let equal = ["x", "y", "z"].map(|client| reply(client, 7 + client.len(), odd.clone()));
    for replies in [&one[..], &equal[..]] {
        let aggregate = FedAvg.aggregate(0, &current, replies).unwrap();
        assert_eq!(aggregate.parameters.to_safetensors(), odd.to_safetensors());
    }
}

#[test]
fn the_order_of_arrival_does_not_change_a_bit() {
    let current = record(&[("a", &[0.0; 64])]);
    // Large values that cancel: summed in another order, they swallow other parts of the small.
    let reply_of = |client: usize| {
        let size = [1e20, 1.0, -1e20, 3.0, 0.1][client];
        let values: Vec<f32> = (0..64).map(|i| size * (1.0 + i as f32 / 64.0)).collect();
        let mut reply = reply(&format!("c{client}"), 5, record(&[("a", &values)]));
        reply.metrics.insert("loss".to_owned(), f64::from(size));
        reply
    };
    let mut order = [0, 1, 2, 3, 4];
    let mut seen = Vec::new();
    permutations(&mut order, 0, &mut |order| {
        let replies: Vec<_> = order.iter().map(|&client| reply_of(client)).collect();
        let aggregate = FedAvg.aggregate(0, &current, &replies).unwrap();
        seen.push((aggregate.parameters.to_safetensors(), aggregate.metrics["loss"].to_bits()));
    });
    assert_eq!(seen.len(), 120);
    assert!(seen.iter().all(|result| *result == seen[0]));
}

fn permutations(order: &mut [usize; 5], from: usize, visit: &mut impl FnMut(&[usize; 5])) {
    if from == order.len() {
        return visit(order);
    }
    for other in from..order.len() {
        order.swap(from, other);
        permutations(order, from + 1, visit);
        order.swap(from, other);
    }
}

#[test]
fn bad_replies_are_left_out_and_named() {
    let current = record(&[("a", &[0.0, 0.0]), ("b", &[0.0])]);
    let good = record(&[("a", &[1.0, 2.0]), ("b", &[3.0])]);
    let bad = [
        reply("nan", 10, record(&[("a", &[f32::NAN, 0.0]), ("b", &[0.0])])),
        reply("missing", 10, record(&[("a", &[0.0, 0.0])])),
        reply("misshapen", 10, record(&[("a", &[0.0; 3]), ("b", &[0.0])])),
        reply("more", 10, record(&[("a", &[0.0, 0.0]), ("b", &[0.0]), ("c", &[0.0])])),
    ];
    let replies = [&bad[..], &[reply("good", 2, good.clone())]].concat();
    let aggregate = FedAvg.aggregate(0, &current, &replies).unwrap();
    assert_eq!(aggregate.parameters, good);
    assert_eq!(aggregate.metrics["loss"], 2.0);
    let rejected: Vec<_> = aggregate.rejected.iter().map(ToString::to_string).collect();
    for (error, (client, reason)) in rejected.iter().zip([
        ("misshapen", "`a` has shape [3], expected [2]"),
        ("missing", "`b` is missing"),
        ("more", "unexpected tensor `c`"),
        ("nan", "`a` holds NaN"),
    ]) {
        assert!(error.contains(client) && error.contains(reason), "{error}");
    }
    assert_eq!(rejected.len(), 4);

    let error = FedAvg.aggregate(0, &current, &bad).unwrap_err();
    assert!(matches!(&error, StrategyError::AllRejected { rejected } if rejected.len() == 4));
}

#[test]
fn no_weight_no_replies_and_double_replies_are_errors() {
    let current = record(&[("a", &[0.0])]);
    let one = |client, examples| reply(client, examples, record(&[("a", &[1.0])]));
    for (replies, message) in [
        (vec![], "no replies"),
        (vec![one("x", 0), one("y", 0)], "0 training examples"),
        (vec![one("x", 1), one("y", 2), one("x", 3)], "client x replied more than once"),
    ] {
        let error = FedAvg.aggregate(0, &current, &replies).unwrap_err().to_string();
        assert!(error.contains(message), "{error}");
    }
    // A client without examples among others has no say.
    let replies = [one("x", 0), reply("y", 2, record(&[("a", &[5.0])]))];
    let aggregate = FedAvg.aggregate(0, &current, &replies).unwrap();
    assert_eq!(values(&aggregate.parameters, "a"), [5.0]);
    assert_eq!(aggregate.metrics["loss"], 2.0);
}

#[test]
fn the_element_type_stays_that_of_the_server() {
    let current = record(&[("a", &[0.0])]);
    let replies = [
        reply("x", 1, record(&[("a", &[1.0])]).cast(Dtype::F16)),
        reply("y", 1, record(&[("a", &[1.0 + 1.0 / 128.0])]).cast(Dtype::Bf16)),
    ];
    let aggregate = FedAvg.aggregate(0, &current, &replies).unwrap();
    assert_eq!(aggregate.parameters.get("a").unwrap().dtype(), Dtype::F32);
    assert_eq!(values(&aggregate.parameters, "a"), [1.0 + 1.0 / 256.0]);
}

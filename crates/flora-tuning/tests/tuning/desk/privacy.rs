//! A site counts its replies itself, whatever a server says.

use std::sync::Arc;

use flora_core::{HostTensor, ParameterRecord};
use flora_federation::{Kind, Message, Value};
use flora_privacy::{ANSWERS, ClearMetrics, EPSILON, LocalConfig};
use flora_tuning::{Policy, Silent};

use super::{Office, labelled};
use crate::common::bits;

const TOKEN: &str = "5ec2e7";
const LOCAL: &str =
    "federation.privacy={ kind = \"local\", clip = 0.1, noise = 2.0, epsilon = 3.0 }";
const SAMPLE: &str =
    "federation.privacy={ kind = \"sample\", noise = 2.0, epsilon = 3.0, accountant = \"rdp\" }";

/// A site, and the first model of a run of a thousand rounds that it has joined.
fn joined(set: &[&str]) -> (Office, ParameterRecord) {
    let mut office = Office::new(Policy { max_epsilon: Some(3.0), ..Policy::default() });
    let plan = office.plan(&[set, &["training.rounds=1000"]].concat());
    let start = office.desk.site().client(&plan, &mut Silent).unwrap().initial().clone();
    office.join(TOKEN, &plan).unwrap();
    (office, start)
}

fn scaled(record: &ParameterRecord, by: f32) -> ParameterRecord {
    let mut scaled = ParameterRecord::new();
    for (name, tensor) in record.iter() {
        let values = tensor.to_f32().iter().map(|value| value * by).collect();
        scaled.insert(name, HostTensor::from_f32(tensor.shape(), values).unwrap()).unwrap();
    }
    scaled
}

/// A server that asks for the first round each time, and claims that it is the first answer.
fn first_round(office: &mut Office, model: ParameterRecord) -> Result<Message, String> {
    let mut message = labelled(TOKEN, 0, 0, Message::parameters(Arc::new(model)));
    message.config.insert(ANSWERS.to_owned(), Value::Int(1));
    office.ask(&Kind::Train, &message)
}

#[test]
fn a_server_gets_as_many_replies_as_the_budget_covers() {
    let (noise, epsilon, delta, metrics) = (Some(2.0), Some(3.0), 1e-5, ClearMetrics::Off);
    let budget = LocalConfig { clip: 0.1, noise, epsilon, delta, metrics }.budget(1_000).unwrap();
    let (mut office, start) = joined(&[LOCAL]);
    let first = first_round(&mut office, start.clone()).unwrap();
    assert_eq!(first.metrics[EPSILON], budget.spent(1).unwrap());
    // Set back to before the first round.
    let second = first_round(&mut office, scaled(&start, 1.5)).unwrap();
    assert_eq!(second.metrics[EPSILON], budget.spent(2).unwrap());
    let refused = first_round(&mut office, scaled(&start, 2.0)).unwrap_err();
    assert!(refused.contains("covers"), "{refused}");
    office.restart(Policy::default());
    let refused = first_round(&mut office, scaled(&start, 2.0)).unwrap_err();
    assert!(refused.contains("covers"), "{refused}");
    // Nor does another plan of the same run help, which allows more replies.
    let noisier = LOCAL.replace("noise = 2.0", "noise = 200.0");
    let other = office.plan(&[&noisier, "training.rounds=1000"]);
    let refused = office.join(TOKEN, &other).unwrap_err();
    assert!(refused.contains("another budget"), "{refused}");
    // The same request has the same reply, with what is spent by now.
    let again = first_round(&mut office, start).unwrap();
    let record = |message: &Message| bits(message.get_parameters().unwrap());
    assert!(record(&again) == record(&first));
    assert_eq!(again.metrics[EPSILON], budget.spent(2).unwrap());
}

#[test]
fn hidden_images_are_counted_the_same_way() {
    let (mut office, start) = joined(&[SAMPLE, "method.loss=class-ce"]);
    let mut told = Vec::new();
    let refused = loop {
        let model = scaled(&start, 1.0 + told.len() as f32 / 100.0);
        match first_round(&mut office, model) {
            Ok(reply) => told.push(reply.metrics[EPSILON]),
            Err(refused) => break refused,
        }
        assert!(told.len() < 100, "{told:?}");
    };
    assert!(refused.contains("covers"), "{refused}");
    assert!(told.len() > 1 && told.is_sorted_by(|one, next| one < next), "{told:?}");
    assert!(told.iter().all(|&epsilon| epsilon <= 3.0), "{told:?}");
}

//! The proximal term of FedProx, compared with its formula.

use std::sync::Arc;

use flora_core::ParameterRecord;
use flora_data::ClientShard;
use flora_federation::{Client, Kind, Message, Share, Value};
use flora_lora::{LoraConfig, adapter_record, load_adapter_record};
use flora_tuning::{Implementation, LossKind, OptimizerName, TrainingConfig, TuningClient};

use crate::common::{Images, Setup, bits, task};

const BATCH: [usize; 6] = [1, 2, 4, 7, 8, 11];

/// Plain gradient descent: three steps, each on all images.
fn training() -> TrainingConfig {
    TrainingConfig {
        rounds: 1,
        local_epochs: 3,
        batch_size: 64,
        optimizer: OptimizerName::Sgd,
        learning_rate: 0.05,
        weight_decay: 0.0,
        ..TrainingConfig::default()
    }
}

fn setup(images: &Images) -> Setup {
    Setup::new(images, &LoraConfig::default(), LossKind::ClassCe, Implementation::Fast).trained()
}

fn client(setup: &Setup, share: Share) -> TuningClient {
    let shard = ClientShard { id: "a".into(), train: BATCH.to_vec(), ..ClientShard::default() };
    TuningClient::new(shard, Arc::new(setup.cohort(training()).with_share(share)))
}

fn fit(client: &mut TuningClient, from: &ParameterRecord, mu: Option<Value>) -> Message {
    let mut task = task("a", 0, Kind::Train, Arc::new(from.clone()));
    task.message.config.extend(mu.map(|mu| ("proximal-mu".to_owned(), mu)));
    client.handle(&task).unwrap()
}

fn trained(answer: &Message) -> &ParameterRecord {
    answer.get_parameters().unwrap()
}

fn numbers(record: &ParameterRecord, like: &ParameterRecord) -> Vec<f64> {
    let values = like.names().flat_map(|name| record.get(name).unwrap().to_f32().into_owned());
    values.map(f64::from).collect()
}

fn from_numbers(numbers: &[f64], like: &ParameterRecord) -> ParameterRecord {
    let (mut record, mut rest) = (ParameterRecord::new(), numbers);
    for (name, tensor) in like.iter() {
        let (values, after) = rest.split_at(tensor.len());
        let values = values.iter().map(|&value| value as f32).collect();
        let tensor = flora_core::HostTensor::from_f32(tensor.shape(), values).unwrap();
        record.insert(name, tensor).unwrap();
        rest = after;
    }
    record
}

/// `w <- w - rate (gradient + mu (w - w_sent))` for three steps, with the loss and the gradient of the objective alone;
/// returns the last `w` and the mean loss with its term.
fn by_hand(setup: &mut Setup, sent: &ParameterRecord, mu: f64) -> (Vec<f64>, f64) {
    let start = numbers(sent, sent);
    let (mut now, mut sum) = (start.clone(), 0.0);
    for _ in 0..3 {
        let model = load_adapter_record(setup.model.clone(), &from_numbers(&now, sent));
        setup.model = model.unwrap();
        let (loss, gradients) = setup.loss_and_gradients(&BATCH);
        let gradients = numbers(&gradients, sent);
        let squares: f64 = now.iter().zip(&start).map(|(w, sent)| (w - sent).powi(2)).sum();
        sum += f64::from(loss) + mu / 2.0 * squares;
        for ((w, gradient), sent) in now.iter_mut().zip(gradients).zip(&start) {
            *w -= training().learning_rate * (gradient + mu * (*w - sent));
        }
    }
    (now, sum / 3.0)
}

fn furthest(left: &[f64], right: &[f64]) -> f64 {
    left.iter().zip(right).fold(0.0, |most, (left, right)| most.max((left - right).abs()))
}

#[test]
fn the_term_follows_its_formula() {
    let images = Images::new(1, 1);
    let mut setup = setup(&images);
    let sent = adapter_record(&setup.model).unwrap();
    let (without, _) = by_hand(&mut setup, &sent, 0.0);
    for mu in [Value::Float(4.5), Value::Int(4)] {
        let number = if let Value::Float(mu) = mu { mu } else { 4.0 };
        let (expected, loss) = by_hand(&mut setup, &sent, number);
        let answer = fit(&mut client(&setup, Share::All), &sent, Some(mu));
        let error = furthest(&numbers(trained(&answer), &sent), &expected);
        assert!(error < 1e-6, "{error:e}");
        assert!((answer.metrics["loss"] - loss).abs() < 1e-5);
        let difference = furthest(&without, &expected);
        assert!(difference > 1e-4, "a term left out would not be noticed: {difference:e}");
    }
}

#[test]
fn no_term_leaves_every_bit() {
    let images = Images::new(1, 1);
    let setup = setup(&images);
    let sent = adapter_record(&setup.model).unwrap();
    let plain = fit(&mut client(&setup, Share::All), &sent, None);
    for zero in [Value::Float(0.0), Value::Int(0)] {
        let answer = fit(&mut client(&setup, Share::All), &sent, Some(zero));
        assert_eq!(bits(trained(&answer)), bits(trained(&plain)));
        assert_eq!(answer.metrics, plain.metrics);
    }
}

/// Parameters that stay with a client were not sent, so the term does not affect them.
#[test]
fn the_term_is_over_what_was_sent() {
    let images = Images::new(1, 1);
    let setup = setup(&images);
    let all = adapter_record(&setup.model).unwrap();
    let some = Share::Matching(vec!["lora_B".to_owned()]);
    let sent = some.part(&all);
    let norm = |share: &Share, sent: &ParameterRecord, mu: f64| {
        let answer = fit(&mut client(&setup, share.clone()), sent, Some(Value::Float(mu)));
        answer.metrics["update_norm"]
    };
    assert_eq!(
        norm(&Share::Nothing, &ParameterRecord::new(), 9.0),
        norm(&Share::Nothing, &ParameterRecord::new(), 0.0)
    );
    assert!(norm(&some, &sent, 9.0) < norm(&some, &sent, 0.0));
    assert!(norm(&Share::All, &all, 9.0) < norm(&some, &sent, 9.0));
}

#[test]
fn a_setting_that_is_no_number_is_told() {
    let images = Images::new(1, 1);
    let setup = setup(&images);
    let sent = adapter_record(&setup.model).unwrap();
    let mut task = task("a", 0, Kind::Train, Arc::new(sent));
    task.message.config.insert("proximal-mu".to_owned(), Value::Float(-1.0));
    let error = client(&setup, Share::All).handle(&task).unwrap_err().to_string();
    assert!(error.contains("client a") && error.contains("`proximal-mu`: -1 is not"), "{error}");
}

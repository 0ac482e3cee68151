//! Clients train with Adam as in PyTorch's `torch.optim.Adam` (and AdamW and SGD), and keep its moments.

use std::sync::Arc;

use flora_core::ParameterRecord;
use flora_data::ClientShard;
use flora_federation::Share;
use flora_lora::{LoraConfig, adapter_record, load_adapter_record};
use flora_tuning::{Implementation, LossKind, OptimizerName, TrainingConfig, TuningClient};

use crate::common::{Images, Setup, bits, extreme, fit, test, try_fit};

const BATCH: [usize; 6] = [1, 2, 4, 7, 8, 11];

fn training() -> TrainingConfig {
    TrainingConfig {
        rounds: 2,
        local_epochs: 1,
        batch_size: 64,
        learning_rate: 0.01,
        betas: [0.8, 0.95],
        eps: 1e-3,
        weight_decay: 0.3,
        ..TrainingConfig::default()
    }
}

fn setup(images: &Images) -> Setup {
    Setup::new(images, &LoraConfig::default(), LossKind::ClassCe, Implementation::Fast).trained()
}

fn client(setup: &Setup, training: TrainingConfig) -> TuningClient {
    let shard = ClientShard {
        id: "a".into(),
        train: BATCH.to_vec(),
        test: Vec::new(),
        ..ClientShard::default()
    };
    TuningClient::new(shard, Arc::new(setup.cohort(training)))
}

/// The formulas of `torch.optim.Adam`'s documentation, in f64.
#[derive(Default)]
struct Adam {
    coupled: bool,
    steps: i32,
    moments: Vec<(f64, f64)>,
}

impl Adam {
    fn step(&mut self, config: &TrainingConfig, parameters: &[f64], gradients: &[f64]) -> Vec<f64> {
        let [beta1, beta2] = config.betas.map(f64::from);
        let decay = f64::from(config.weight_decay);
        self.steps += 1;
        self.moments.resize(parameters.len(), (0.0, 0.0));
        let mut updated = Vec::new();
        for ((&p, &gradient), (m, v)) in parameters.iter().zip(gradients).zip(&mut self.moments) {
            let g = if self.coupled { gradient + decay * p } else { gradient };
            *m = beta1 * *m + (1.0 - beta1) * g;
            *v = beta2 * *v + (1.0 - beta2) * g * g;
            let m_hat = *m / (1.0 - beta1.powi(self.steps));
            let v_hat = *v / (1.0 - beta2.powi(self.steps));
            let p = if self.coupled { p } else { p - config.learning_rate * decay * p };
            updated.push(p - config.learning_rate * m_hat / (v_hat.sqrt() + f64::from(config.eps)));
        }
        updated
    }
}

fn numbers(record: &ParameterRecord) -> Vec<f64> {
    let values = record.iter().flat_map(|(_, tensor)| tensor.to_f32().into_owned());
    values.map(f64::from).collect()
}

fn max_difference(left: &[f64], right: &[f64]) -> f64 {
    assert_eq!(left.len(), right.len());
    left.iter().zip(right).fold(0.0, |most, (a, b)| most.max((a - b).abs()))
}

/// In the order of `like`.
fn reordered(record: &ParameterRecord, like: &ParameterRecord) -> ParameterRecord {
    let mut ordered = ParameterRecord::new();
    for name in like.names() {
        ordered.insert(name, record.get(name).unwrap().clone()).unwrap();
    }
    ordered
}

#[test]
fn two_rounds_of_one_step_follow_the_formulas() {
    let images = Images::new(1, 1);
    let mut setup = setup(&images);
    let mut parameters = adapter_record(&setup.model).unwrap();
    let mut client = client(&setup, training());
    let mut adam = Adam { coupled: true, ..Adam::default() };
    let mut decoupled = Adam::default();
    for round in 0..2 {
        setup.model = load_adapter_record(setup.model, &parameters).unwrap();
        let (_, gradients) = setup.loss_and_gradients(&BATCH);
        let gradients = numbers(&reordered(&gradients, &parameters));
        let before = numbers(&parameters);
        let expected = adam.step(&training(), &before, &gradients);
        let after = fit(&mut client, round, &parameters);

        let error = max_difference(&numbers(&after), &expected);
        assert!(error < 1e-6, "round {round}: {error:e}");
        // Steps of about the learning rate, which other rules would take in other directions.
        assert!(max_difference(&before, &expected) > 5e-3);
        let others = [
            ("decoupled decay", decoupled.step(&training(), &before, &gradients)),
            ("another epsilon", {
                let other = TrainingConfig { eps: 1e-6, ..training() };
                let mut first = Adam { coupled: true, ..Adam::default() };
                first.step(&other, &before, &gradients)
            }),
        ];
        for (what, other) in others {
            let difference = max_difference(&expected, &other);
            assert!(difference > 1e-4, "{what} would not be noticed: {difference:e}");
        }
        parameters = after;
    }
}

#[test]
fn other_optimizers_follow_their_formulas() {
    let images = Images::new(1, 1);
    let mut setup = setup(&images);
    let start = adapter_record(&setup.model).unwrap();
    let rounds = |setup: &mut Setup, training: &TrainingConfig| {
        // The client's result of two rounds, and each round's gradients in its order.
        let mut client = client(setup, training.clone());
        let (mut parameters, mut steps) = (start.clone(), Vec::new());
        for round in 0..2 {
            setup.model = load_adapter_record(setup.model.clone(), &parameters).unwrap();
            let (_, gradients) = setup.loss_and_gradients(&BATCH);
            steps.push(numbers(&reordered(&gradients, &parameters)));
            parameters = fit(&mut client, round, &parameters);
        }
        (numbers(&parameters), steps)
    };

    let sgd = TrainingConfig { optimizer: OptimizerName::Sgd, momentum: 0.9, ..training() };
    let (after, steps) = rounds(&mut setup, &sgd);
    let mut expected = numbers(&start);
    let mut velocity = vec![0.0; expected.len()];
    for gradients in steps {
        // torch.optim.SGD: v = momentum v + g + decay p; p = p - lr v.
        for ((p, v), g) in expected.iter_mut().zip(&mut velocity).zip(gradients) {
            *v = sgd.momentum * *v + g + f64::from(sgd.weight_decay) * *p;
            *p -= sgd.learning_rate * *v;
        }
    }
    let error = max_difference(&after, &expected);
    assert!(error < 1e-6, "{error:e}");

    let adamw = TrainingConfig { optimizer: OptimizerName::AdamW, ..training() };
    let (after, steps) = rounds(&mut setup, &adamw);
    let (mut adam, mut expected) = (Adam::default(), numbers(&start));
    for gradients in steps {
        expected = adam.step(&adamw, &expected, &gradients);
    }
    let error = max_difference(&after, &expected);
    assert!(error < 1e-6, "{error:e}");
}

#[test]
fn moments_outlive_a_round() {
    let images = Images::new(1, 1);
    let setup = setup(&images);
    let start = adapter_record(&setup.model).unwrap();
    let mut same = client(&setup, training());
    let first = fit(&mut same, 0, &start);
    assert_eq!(bits(&first), bits(&fit(&mut client(&setup, training()), 0, &start)));
    let remembered = fit(&mut same, 1, &first);
    let forgotten = fit(&mut client(&setup, training()), 1, &first);
    let difference = max_difference(&numbers(&remembered), &numbers(&forgotten));
    assert!(difference > 1e-4, "{difference:e}");
}

/// The norm is over all parameters, whether they are shared or not.
#[test]
fn a_client_reports_the_norm_of_its_update() {
    let images = Images::new(1, 1);
    let setup = setup(&images);
    let start = adapter_record(&setup.model).unwrap();
    let mut together = client(&setup, training());
    let after = fit(&mut together, 0, &start);
    let [before, after] = [numbers(&start), numbers(&after)];
    let squares = before.iter().zip(&after).map(|(before, after)| (after - before).powi(2));
    let expected = squares.sum::<f64>().sqrt();
    for share in [Share::All, Share::Nothing] {
        let cohort = setup.cohort(training()).with_share(share.clone());
        let shard = ClientShard {
            id: "a".into(),
            train: BATCH.to_vec(),
            test: Vec::new(),
            ..ClientShard::default()
        };
        let mut client = TuningClient::new(shard, Arc::new(cohort));
        let reported = try_fit(&mut client, 0, &share.part(&start)).unwrap().metrics["update_norm"];
        assert!((reported - expected).abs() < 1e-9 * expected, "{share:?}: {reported} {expected}");
    }
}

/// Gradients outside the range of f32 spoil the round, not the client.
#[test]
fn a_client_that_diverged_starts_afresh() {
    let images = Images::new(1, 1);
    let setup = setup(&images);
    let good = adapter_record(&setup.model).unwrap();
    let mut spoilt = client(&setup, training());
    let error = try_fit(&mut spoilt, 0, &extreme(&good)).unwrap_err();
    let spoilt_by_the_step = error.message.starts_with("after training, ");
    assert!(spoilt_by_the_step && error.message.contains("training.learning_rate"), "{error}");

    let recovered = fit(&mut spoilt, 1, &good);
    assert_eq!(bits(&recovered), bits(&fit(&mut client(&setup, training()), 1, &good)));
}

/// A local-only client has nothing to return to but its state before the round.
#[test]
fn a_client_that_is_alone_keeps_what_it_had() {
    let images = Images::new(1, 1);
    let setup = setup(&images);
    let nothing = Arc::new(ParameterRecord::new());
    let mut alone = {
        let shard = ClientShard {
            id: "a".into(),
            train: BATCH.to_vec(),
            test: BATCH.to_vec(),
            ..ClientShard::default()
        };
        let training = TrainingConfig { learning_rate: 1e39, ..training() };
        let cohort = setup.cohort(training).with_share(Share::Nothing);
        TuningClient::new(shard, Arc::new(cohort))
    };
    let before = test(&mut alone, &nothing);
    for round in 0..2 {
        let error = try_fit(&mut alone, round, &nothing).unwrap_err();
        assert!(error.message.contains("training.learning_rate"), "{error}");
        assert_eq!(test(&mut alone, &nothing), before);
    }
}

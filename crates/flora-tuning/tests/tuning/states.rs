//! What clients keep between rounds has the same bits on disk, and a model that all test is made ready once.

use std::sync::Arc;

use flora_core::{HostTensor, ParameterRecord};
use flora_data::ClientShard;
use flora_federation::{Client, EvaluateInstruction, FitInstruction, Metrics};
use flora_lora::{LoraConfig, adapter_record};
use flora_tuning::{Cohort, LossKind, OptimizerName, PathKind, TrainingConfig, TuningClient};

use crate::common::{Images, Setup, bits, outcome};

const OPTIMIZERS: [[&str; 2]; 4] = [
    ["training.optimizer=adam", "training.momentum=0.0"],
    ["training.optimizer=adamw", "training.momentum=0.0"],
    ["training.optimizer=sgd", "training.momentum=0.9"],
    ["training.optimizer=sgd", "training.momentum=0.0"],
];

#[test]
fn states_on_disk_change_no_bit() {
    let images = Images::new(3, 2);
    for participants in ["all", "alone"] {
        for optimizer in OPTIMIZERS {
            let run = |state: &str, threads: usize| {
                let set = [
                    &format!("federation.participants={participants}")[..],
                    &format!("federation.client_state={state}"),
                    &format!("federation.threads={threads}"),
                    "federation.fraction=0.6",
                    "partition={ kind = 'iid', clients = 5 }",
                    "training.rounds=4",
                    "method.loss=class-ce",
                ];
                outcome(images.experiment(&[&set[..], &optimizer].concat()))
            };
            let memory = run("memory", 1);
            let losses: Vec<_> = memory.history.iter().map(|score| score.loss).collect();
            assert!(losses.windows(2).all(|pair| pair[0] != pair[1]), "{losses:?}");
            for threads in [1, 2] {
                let disk = run("disk", threads);
                let what = format!("{participants}, {optimizer:?}, {threads} threads");
                assert_eq!(disk.history, memory.history, "{what}");
                assert_eq!(bits(&disk.last), bits(&memory.last), "{what}");
            }
        }
    }
}

#[test]
fn moments_outlive_a_round_on_disk() {
    let images = Images::new(1, 1);
    let setup = setup(&images);
    let start = adapter_record(&setup.model).unwrap();
    for (optimizer, momentum) in
        [(OptimizerName::Adam, 0.0), (OptimizerName::AdamW, 0.0), (OptimizerName::Sgd, 0.9)]
    {
        let training =
            TrainingConfig { optimizer, momentum, learning_rate: 1e-3, ..Default::default() };
        let folder = tempfile::tempdir().unwrap();
        let cohort = || setup.cohort(training.clone());
        let mut here = client(cohort(), "a");
        // Two of them, so that each has to find its own place.
        let on_disk = Arc::new(cohort().on_disk(Some(folder.path())).unwrap());
        let mut there = ["a", "b"].map(|id| TuningClient::new(shard(id), on_disk.clone()));
        let mut parameters = start.clone();
        for round in 0..4 {
            let [a, b] = there.each_mut().map(|client| fit(client, round, &parameters));
            let expected = fit(&mut here, round, &parameters);
            assert_eq!(bits(&a), bits(&expected), "{optimizer:?}, round {round}");
            // The same images in one batch: what differs is the order in which they are summed.
            assert!(bits(&b) != bits(&parameters), "{optimizer:?}, round {round}");
            if round > 0 {
                let forgetful = fit(&mut client(cohort(), "a"), round, &parameters);
                assert_ne!(bits(&a), bits(&forgetful), "{optimizer:?}, round {round}");
            }
            parameters = expected;
        }
    }
}

/// A client that has parameters of its own is tested by itself, the others by a model that is made ready
/// once: of the same parameters, both must say the same.
#[test]
fn a_shared_test_has_the_bits_of_ones_own() {
    let images = Images::new(1, 3);
    for class_groups in [None, Some(vec![vec![3, 0], vec![1, 2]])] {
        let mut setup = setup(&images);
        setup.objective.class_groups = class_groups;
        let start = Arc::new(adapter_record(&setup.model).unwrap());
        // It fails, and is left with what it was sent.
        let diverging = TrainingConfig { learning_rate: 1e39, ..Default::default() };
        let cohort = Arc::new(setup.cohort(diverging).alone());
        let client = |id: &str| TuningClient::new(shard(id), cohort.clone());
        let [mut own, mut shared, mut again] = ["a", "b", "c"].map(client);
        let parameters = Arc::clone(&start);
        own.fit(&FitInstruction { round: 0, parameters }).unwrap_err();
        let expected = test(&mut own, &start);
        assert!(expected["loss"] > 0.0);
        assert_eq!(test(&mut shared, &start), expected);
        assert_eq!(test(&mut again, &start), expected);

        // Another record takes its place, wherever it lies.
        let other = Arc::new(halved(&start));
        drop(start);
        let fresh = setup.cohort(TrainingConfig::default());
        let after = test(&mut shared, &other);
        assert_eq!(after, test(&mut self::client(fresh, "d"), &other));
        assert_ne!(after, expected);
    }
}

fn halved(record: &ParameterRecord) -> ParameterRecord {
    let mut halved = ParameterRecord::new();
    for (name, tensor) in record.iter() {
        let values = tensor.to_f32().iter().map(|value| value / 2.0).collect();
        halved.insert(name, HostTensor::from_f32(tensor.shape(), values).unwrap()).unwrap();
    }
    halved
}

/// With adapters of which nothing is zero.
fn setup(images: &Images) -> Setup {
    Setup::new(images, &LoraConfig::default(), LossKind::ClassCe, PathKind::Fast).trained()
}

fn shard(id: &str) -> ClientShard {
    ClientShard { id: id.into(), train: vec![1, 2, 4, 7], test: (0..12).collect() }
}

fn client(cohort: Cohort, id: &str) -> TuningClient {
    TuningClient::new(shard(id), Arc::new(cohort))
}

fn fit(client: &mut TuningClient, round: usize, from: &ParameterRecord) -> ParameterRecord {
    let parameters = Arc::new(from.clone());
    client.fit(&FitInstruction { round, parameters }).unwrap().parameters
}

fn test(client: &mut TuningClient, parameters: &Arc<ParameterRecord>) -> Metrics {
    let parameters = Arc::clone(parameters);
    client.evaluate(&EvaluateInstruction { round: 0, parameters }).unwrap().metrics
}

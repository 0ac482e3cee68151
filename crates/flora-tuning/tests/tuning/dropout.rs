//! Dropout is as reproducible as everything else.

use std::sync::Arc;

use flora_core::ParameterRecord;
use flora_data::ClientShard;
use flora_lora::{LoraConfig, adapter_record};
use flora_tuning::{Implementation, LossKind, TrainingConfig, TuningClient};

use crate::common::{Images, Setup, bits, fit, max_difference, outcome};

#[test]
fn masks_do_not_depend_on_threads() {
    let images = Images::new(2, 1);
    let run = |dropout: f64, threads: usize| {
        let outcome = outcome(images.experiment(&[
            &format!("method.lora.lora_dropout={dropout:?}"),
            &format!("federation.threads={threads}"),
            "training.local_epochs=2",
        ]));
        bits(&outcome.last)
    };
    let first = run(0.3, 1);
    for threads in [1, 2, 4] {
        assert_eq!(run(0.3, threads), first, "{threads} threads");
    }
    assert_ne!(run(0.0, 1), first, "without dropout");
}

/// The adapters after one step on one batch of all images, from the same start.
fn step(setup: &Setup, id: &str, round: usize) -> ParameterRecord {
    let train = (0..setup.objective.labels.len()).collect();
    let shard = ClientShard { id: id.into(), train, test: Vec::new(), ..ClientShard::default() };
    // A large epsilon makes the step proportional to the gradient.
    let training = TrainingConfig { eps: 1.0, learning_rate: 1.0, ..TrainingConfig::default() };
    let start = adapter_record(&setup.model).unwrap();
    let mut client = TuningClient::new(shard, Arc::new(setup.cohort(training)));
    fit(&mut client, round, &start)
}

#[test]
fn every_client_and_every_round_has_masks_of_its_own() {
    let images = Images::new(1, 1);
    let setup = |dropout| {
        let lora = LoraConfig { lora_dropout: dropout, lora_alpha: 4.0, ..LoraConfig::default() };
        Setup::new(&images, &lora, LossKind::ClassCe, Implementation::Fast).trained()
    };
    // The order within a batch of everything has no effect: without dropout nothing else differs.
    let (plain, dropping) = (setup(0.0), setup(0.5));
    for (id, round) in [("b", 0), ("a", 1)] {
        let without = max_difference(&step(&plain, "a", 0), &step(&plain, id, round));
        assert!(without < 1e-5, "{without:e}");
        let with = max_difference(&step(&dropping, "a", 0), &step(&dropping, id, round));
        assert!(with > 1e-3, "{with:e}");
    }
    assert_eq!(bits(&step(&dropping, "a", 0)), bits(&step(&dropping, "a", 0)));
}

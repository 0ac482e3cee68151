//! Round 0 is the unchanged model.

use std::collections::BTreeSet;

use burn::tensor::Device;
use flora_clip::ZeroShot;
use flora_federation::{EvaluatedModel, Event};

use crate::common::{Images, checkpoint, run};

#[test]
fn round_zero_is_zero_shot_classification() {
    let images = Images::new(1, 6);
    for set in [
        &["method.loss=infonce"][..],
        &["method.implementation=naive"],
        &["method.lora.towers=both"],
    ] {
        let experiment = images.experiment(&[set, &["training.rounds=1"]].concat());
        let (finished, told) = run(experiment);
        let at_start = told.events.iter().find_map(|event| match event {
            Event::Evaluated { round: 0, model: EvaluatedModel::Global, clients, .. } => {
                Some(clients)
            }
            _ => None,
        });
        let outcome = finished.outcome.unwrap();

        let (checkpoint, dataset, device) = (checkpoint(), images.dataset(), Device::flex());
        let clip = checkpoint.load(&device).unwrap();
        let sentences: Vec<String> =
            dataset.classes().iter().map(|class| dataset.template().fill(class)).collect();
        let config = &checkpoint.config.text_config;
        let classifier = ZeroShot::new(&clip, &checkpoint.tokenizer, config, &sentences).unwrap();
        let partition = images.experiment(&[]).partition.apply(&dataset, 0).unwrap();
        let (mut sum, mut answers) = (0.0, BTreeSet::new());
        for (shard, score) in partition.clients.iter().zip(at_start.unwrap()) {
            let mut right = 0;
            for &index in &shard.test {
                let picture = [dataset.image(index).unwrap()];
                let pixels = checkpoint.preprocessor.batch(&picture, &device).unwrap();
                let answer = classifier.probabilities(clip.image_features(pixels)).argmax(1);
                let answer = answer.into_scalar::<i64>() as usize;
                right += usize::from(answer == dataset.label(index));
                answers.insert(answer);
            }
            let accuracy = right as f64 / shard.test.len() as f64;
            assert_eq!((&score.client, score.accuracy), (&shard.id, accuracy));
            assert_eq!(score.num_examples, shard.test.len());
            sum += accuracy;
        }
        assert!(answers.len() > 1, "images that a random model tells apart");
        assert_eq!(outcome.initial.accuracy, sum / partition.clients.len() as f64);
        assert_eq!(outcome.history[0], outcome.initial);
        assert_eq!(outcome.history.len(), 2);
    }
}

//! Class weights: PyTorch's values, on either path, with every method that has a loss over classes.

use burn::tensor::{Tensor, TensorData};
use flora_clip::loss::{class_cross_entropy, weighted_class_cross_entropy};
use flora_lora::LoraConfig;
use flora_tuning::{ClassTerms, Implementation, LossKind};
use serde::Deserialize;

use crate::common::{Images, Setup, autodiff, bits, outcome, refusal, run};

#[derive(Deserialize)]
struct Fixture {
    cases: Vec<Case>,
}

#[derive(Deserialize)]
struct Case {
    classes: usize,
    weights: Vec<f32>,
    batch: Vec<usize>,
    logits: Vec<Vec<f32>>,
    loss: f32,
    gradient: Vec<Vec<f32>>,
}

#[test]
fn the_weighted_loss_and_its_gradient_are_pytorchs() {
    let fixture: Fixture =
        serde_json::from_str(include_str!("../fixtures/class_weights.json")).unwrap();
    assert!(fixture.cases.len() >= 5);
    for Case { classes, weights, batch, logits, loss, gradient } in fixture.cases {
        let rows = TensorData::new(logits.concat(), [batch.len(), classes]);
        let logits = Tensor::<2>::from_data(rows, &autodiff()).require_grad();
        let weights: Vec<f32> = batch.iter().map(|&label| weights[label]).collect();
        let ours = weighted_class_cross_entropy(logits.clone(), &batch, &weights);
        let gradients = ours.backward();
        let ours = ours.into_scalar::<f32>();
        assert!((ours - loss).abs() < 1e-5 * loss.max(1.0), "{ours} {loss}");
        let ours = logits.grad(&gradients).unwrap().into_data().try_into_vec::<f32>().unwrap();
        for (ours, expected) in ours.iter().zip(gradient.concat()) {
            assert!((ours - expected).abs() < 1e-6, "{ours} {expected}");
        }
        // Equal weights have no effect.
        let equal = weighted_class_cross_entropy(logits.clone(), &batch, &vec![2.5; batch.len()]);
        let plain = class_cross_entropy(logits, &batch);
        let (equal, plain) = (equal.into_scalar::<f32>(), plain.into_scalar::<f32>());
        assert!((equal - plain).abs() < 1e-5 * plain.max(1.0), "{equal} {plain}");
    }
}

#[test]
fn both_paths_weigh_alike() {
    let images = Images::new(2, 1);
    let dataset = images.dataset();
    let batch: Vec<usize> = (0..dataset.len()).step_by(3).collect();
    let weights = [0.2, 3.0, 1.0, 0.7];
    let loss = |path| {
        let setup = Setup::new(&images, &LoraConfig::default(), LossKind::ClassCe, path).trained();
        let (objective, model) = (&setup.objective, &setup.model);
        let of = |weights| {
            let terms = ClassTerms { weights, offsets: None };
            let loss = objective.client_loss(model, &batch, &terms, &autodiff()).unwrap();
            loss.into_scalar::<f32>()
        };
        (of(None), of(Some(weights.to_vec())))
    };
    let ((plain, fast), (_, naive)) = (loss(Implementation::Fast), loss(Implementation::Naive));
    assert!((fast - naive).abs() < 1e-5 * naive, "{fast} {naive}");
    assert!((fast - plain).abs() > 1e-3, "{fast} {plain}");
}

#[test]
fn every_method_with_a_loss_over_classes_is_weighted() {
    let images = Images::new(4, 1);
    for method in ["flora", "fedfft", "fedlc", "fedvm-lc", "fedaa", "fedprompt"] {
        let method_name = format!("method.name={method}");
        let trained = |weights: &str| {
            let set = [
                &method_name,
                "method.loss=class-ce",
                "training.rounds=1",
                "partition={ kind = \"dirichlet\", clients = 3, beta = 1.0 }",
                weights,
            ];
            bits(&outcome(images.experiment(&set)).last)
        };
        let plain = trained("training.class_weights=none");
        let balanced = trained("training.class_weights=balanced");
        assert_ne!(plain, balanced, "{method}");
        assert_eq!(balanced, trained("training.class_weights=balanced"), "{method}");
        let table = "training.class_weights={ cat = 4.0, \"sunflower seeds\" = 0.5 }";
        assert_ne!(plain, trained(table), "{method}");
    }
}

/// All classes are equally frequent, so the weights are 1 except for rounding.
#[test]
fn balanced_clients_lose_as_they_did() {
    let images = Images::new(3, 1);
    let losses = |weights| {
        let (_, listener) = run(images.experiment(&["method.loss=class-ce", weights]));
        listener.losses()
    };
    let (plain, balanced) =
        (losses("training.class_weights=none"), losses("training.class_weights=balanced"));
    for (plain, balanced) in plain.into_iter().zip(balanced) {
        assert!((plain - balanced).abs() < 1e-3 * plain, "{plain} {balanced}");
    }
}

#[test]
fn what_cannot_be_weighted_is_refused_with_a_reason() {
    let images = Images::new(2, 1);
    for (set, parts) in [
        (vec!["training.class_weights=balanced"], ["infonce", "method.loss = \"class-ce\""]),
        (
            vec!["training.class_weights={ dog = 2.0 }", "method.loss=class-ce"],
            ["no class \"dog\"", "sunflower seeds"],
        ),
    ] {
        let message = refusal(images.experiment(&set));
        assert!(message.contains("training.class_weights"), "{message}");
        assert!(parts.iter().all(|part| message.contains(part)), "{message}");
    }
    // If nothing is trained, nothing is weighted.
    outcome(images.experiment(&["training.class_weights=balanced", "method.name=zero-shot"]));
}

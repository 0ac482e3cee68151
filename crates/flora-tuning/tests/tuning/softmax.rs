//! A client's softmax over its own classes or with its own prior: PyTorch's values, with every method, in training
//! only.

use std::sync::Arc;

use burn::tensor::{Int, Tensor, TensorData};
use flora_data::{ClientShard, Features, Split, Template};
use flora_federation::{EvaluatedModel, Event};
use flora_lora::LoraConfig;
use flora_tuning::methods::{Method, Start};
use flora_tuning::{
    ClassTerms, ImageInput, Implementation, LossKind, Objective, Prompts, SoftmaxKind, Trainable,
    TuningError, TuningModel,
};
use serde::Deserialize;

use crate::common::{Images, Setup, autodiff, bits, checkpoint, outcome, refusal, run};
use crate::methods::{STEPPING, named};

#[derive(Deserialize)]
struct Fixture {
    cases: Vec<Case>,
}

#[derive(Deserialize)]
struct Case {
    softmax: SoftmaxKind,
    classes: usize,
    candidates: Vec<usize>,
    labels: Vec<usize>,
    weights: Option<Vec<f32>>,
    batch: Vec<usize>,
    logits: Vec<Vec<f32>>,
    loss: f32,
    gradient: Vec<Vec<f32>>,
}

/// A method with given logits, `[images, classes]`.
#[derive(Debug)]
struct Given(Tensor<2>);

impl Method for Given {
    fn name(&self) -> &str {
        "given"
    }

    fn trainable(&self) -> Trainable {
        Trainable::Parts(&[])
    }

    fn attach(&self, base: TuningModel, _: &Start<'_>) -> Result<TuningModel, TuningError> {
        Ok(base)
    }

    fn logits(&self, _: &Objective, _: &TuningModel, _: Tensor<2>, classes: &[usize]) -> Tensor<2> {
        let columns: Vec<i32> = classes.iter().map(|&class| class as i32).collect();
        let columns = TensorData::new(columns, [classes.len()]);
        let columns = Tensor::<1, Int>::from_data(columns, &self.0.device());
        self.0.clone().select(1, columns)
    }
}

#[test]
fn losses_and_gradients_are_pytorchs() {
    let fixture: Fixture = serde_json::from_str(include_str!("../fixtures/softmax.json")).unwrap();
    assert!(fixture.cases.len() >= 10);
    let images = Images::new(1, 1);
    let model =
        Setup::new(&images, &LoraConfig::default(), LossKind::ClassCe, Implementation::Fast).model;
    let checkpoint = checkpoint();
    for case in fixture.cases {
        let (classes, count) = (case.classes, case.batch.len());
        let rows = TensorData::new(case.logits.concat(), [count, classes]);
        let logits = Tensor::<2>::from_data(rows, &autodiff()).require_grad();
        let names: Vec<String> = (0..classes).map(|class| format!("class {class}")).collect();
        let config = &checkpoint.config.text_config;
        let template = Template::new("a {}.").unwrap();
        let prompts = Prompts::new(&checkpoint.tokenizer, config, &template, &names).unwrap();
        let features = Features { dim: 1, values: vec![1.0; count] };
        let objective = Objective::new(
            Arc::new(Given(logits.clone())),
            ImageInput::Features(Arc::new(features.into())),
            case.batch.clone(),
            prompts,
            1.0,
        );
        let others = (0..classes).filter(|class| !case.candidates.contains(class)).collect();
        let class_groups = Some(vec![case.candidates.clone(), others]);
        let objective = Objective { loss: LossKind::ClassCe, class_groups, ..objective };
        let terms = ClassTerms {
            weights: case.weights,
            offsets: case.softmax.offsets(&case.labels, classes),
        };
        let batch: Vec<usize> = (0..count).collect();
        let loss = objective.client_loss(&model, &batch, &terms, &autodiff()).unwrap();
        let gradients = loss.backward();
        let loss = loss.into_scalar::<f32>();
        assert!((loss - case.loss).abs() < 1e-5 * case.loss.max(1.0), "{loss} {}", case.loss);
        let gradient = logits.grad(&gradients).unwrap().into_data().try_into_vec::<f32>().unwrap();
        for (ours, expected) in gradient.iter().zip(case.gradient.concat()) {
            assert!((ours - expected).abs() < 1e-6, "{ours} {expected}");
        }
    }
}

#[test]
fn both_paths_have_the_same_softmax() {
    let images = Images::new(2, 1);
    let dataset = images.dataset();
    let of_two = |index: &usize| dataset.label(*index).is_multiple_of(2);
    let batch: Vec<usize> = (0..dataset.len()).filter(of_two).collect();
    let labels: Vec<usize> = batch.iter().map(|&index| dataset.label(index)).collect();
    let losses = |path| {
        let setup = Setup::new(&images, &LoraConfig::default(), LossKind::ClassCe, path).trained();
        [SoftmaxKind::All, SoftmaxKind::Balanced, SoftmaxKind::Restricted].map(|softmax| {
            let terms = ClassTerms { weights: None, offsets: softmax.offsets(&labels, 4) };
            let loss = setup.objective.client_loss(&setup.model, &batch, &terms, &autodiff());
            loss.unwrap().into_scalar::<f32>()
        })
    };
    let (fast, naive) = (losses(Implementation::Fast), losses(Implementation::Naive));
    for (fast, naive) in fast.into_iter().zip(naive) {
        assert!((fast - naive).abs() < 1e-5 * naive, "{fast} {naive}");
    }
    // The less absent classes count, the lower the loss.
    assert!(fast[0] > fast[1] + 1e-3 && fast[1] > fast[2] + 1e-3, "{fast:?}");
}

const SKEWED: &str = "partition={ kind = \"pathological\", clients = 3, classes_per_client = 2 }";

#[test]
fn every_method_with_a_loss_over_classes_has_it() {
    let images = Images::new(4, 1);
    for method in STEPPING {
        let trained = |softmax: &str| {
            let set =
                [&named(method), "method.loss=class-ce", "training.rounds=1", SKEWED, softmax];
            bits(&outcome(images.experiment(&set)).last)
        };
        let all = trained("method.softmax=all");
        let balanced = trained("method.softmax=balanced");
        let restricted = trained("method.softmax=restricted");
        assert!(all != balanced && all != restricted && balanced != restricted, "{method}");
        assert_eq!(restricted, trained("method.softmax=restricted"), "{method}");
    }
}

/// A client with equal numbers of images of every class has the plain softmax, whatever the setting.
#[test]
fn even_shares_change_nothing() {
    let images = Images::new(3, 1);
    let run = |softmax| run(images.experiment(&["method.loss=class-ce", softmax]));
    let (all, told) = run("method.softmax=all");
    for softmax in ["method.softmax=balanced", "method.softmax=restricted"] {
        let (other, told_too) = run(softmax);
        let last =
            |finished: &flora_tuning::Finished| bits(&finished.outcome.as_ref().unwrap().last);
        assert_eq!(last(&all), last(&other), "{softmax}");
        assert_eq!(told.losses(), told_too.losses(), "{softmax}");
    }
}

/// The columns of a head for classes that no client trains on are unchanged, and with the plain softmax they are not.
#[test]
fn the_restricted_softmax_leaves_absent_classes_alone() {
    let images = Images::new(4, 1);
    let moved = |softmax: &str| {
        let set = [
            "method.name=fedlc",
            "training.rounds=1",
            "training.weight_decay=0.0",
            "federation.participants=[\"client-00\"]",
            SKEWED,
            softmax,
        ];
        let experiment = images.experiment(&set);
        let (dataset, partition) = flora_tuning::partition(&experiment).unwrap();
        let shard: &ClientShard = &partition.clients[0];
        let held: Vec<usize> =
            shard.images(Split::Train).iter().map(|&index| dataset.label(index)).collect();
        let before = experiment_start(&images);
        let after = outcome(experiment).last;
        let after = after.get("head.bias").unwrap().to_f32().to_vec();
        let moved = |class: usize| before[class] != after[class];
        let (own, others): (Vec<usize>, Vec<usize>) =
            (0..4).partition(|class| held.contains(class));
        assert_eq!((own.len(), others.len()), (2, 2));
        assert!(own.into_iter().all(moved), "{softmax}");
        others.into_iter().filter(|&class| moved(class)).count()
    };
    assert_eq!(moved("method.softmax=restricted"), 0);
    assert_eq!(moved("method.softmax=all"), 2);
    assert_eq!(moved("method.softmax=balanced"), 2);
}

/// The bias that a head starts with.
fn experiment_start(images: &Images) -> Vec<f32> {
    let start = outcome(images.experiment(&["method.name=fedlc", "training.rounds=0"])).last;
    start.get("head.bias").unwrap().to_f32().to_vec()
}

/// Novel classes are in no client's training, and are evaluated as usual.
#[test]
fn novel_classes_are_scored_among_themselves() {
    let images = Images::new(3, 4);
    let partition = "partition={ kind = 'base-to-novel', of = { kind = 'iid', clients = 2 } }";
    let run = |softmax: &str| {
        let set = [partition, "method.loss=class-ce", "training.rounds=1", softmax];
        let (finished, listener) = run(images.experiment(&set));
        assert!(finished.failure.is_none(), "{softmax}");
        let scores = listener.events.iter().filter_map(|event| match event {
            Event::Evaluated { model: EvaluatedModel::Global, clients, .. } => {
                Some(clients.clone())
            }
            _ => None,
        });
        (finished.outcome.unwrap().initial, scores.collect::<Vec<_>>())
    };
    let (all, scores) = run("method.softmax=all");
    for softmax in ["method.softmax=balanced", "method.softmax=restricted"] {
        let (initial, others) = run(softmax);
        assert_eq!(initial, all, "{softmax}");
        let ids = |round: &[flora_federation::ClientScore]| -> Vec<String> {
            round.iter().map(|score| score.client.clone()).collect()
        };
        assert_eq!(ids(&others[1]), ["client-00", "client-01", "novel"], "{softmax}");
        assert_eq!(others[0], scores[0], "{softmax}");
    }
}

#[test]
fn what_has_no_classes_is_refused_and_what_learns_nothing_is_told() {
    let images = Images::new(2, 1);
    for softmax in ["method.softmax=balanced", "method.softmax=restricted"] {
        let message = refusal(images.experiment(&["method.loss=infonce", softmax]));
        let parts = ["method.softmax", "infonce", "method.loss = \"class-ce\""];
        assert!(parts.iter().all(|part| message.contains(part)), "{message}");
        // If nothing is trained, there is no softmax.
        outcome(images.experiment(&[softmax, "method.name=zero-shot"]));
    }
    let setup =
        Setup::new(&images, &LoraConfig::default(), LossKind::Infonce, Implementation::Fast);
    let terms = ClassTerms { weights: None, offsets: SoftmaxKind::Balanced.offsets(&[0, 1], 4) };
    let error = setup.objective.client_loss(&setup.model, &[0, 1], &terms, &autodiff());
    assert!(error.unwrap_err().to_string().starts_with("method.softmax: the infonce loss"));

    let single = "partition={ kind = \"pathological\", clients = 4, classes_per_client = 1 }";
    let warnings = |softmax| {
        let set = ["method.loss=class-ce", "training.rounds=1", single, softmax];
        let (_, listener) = run(images.experiment(&set));
        let warnings = listener.warnings().into_iter().map(str::to_owned);
        warnings.filter(|warning| warning.contains("one class")).collect::<Vec<_>>()
    };
    let warned = warnings("method.softmax=restricted");
    let words = ["client-00 and 3 more", "learn nothing", "method.softmax = \"balanced\""];
    assert!(warned.len() == 1 && words.iter().all(|word| warned[0].contains(word)), "{warned:?}");
    assert!(warnings("method.softmax=balanced").is_empty());
}

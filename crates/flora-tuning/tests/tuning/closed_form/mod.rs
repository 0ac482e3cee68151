//! Methods in closed form: sums over all clients, whatever the partition.

mod classifiers;
mod counted;

use std::path::Path;

use burn::tensor::{Device, Tensor, TensorData};
use flora_core::{HostTensor, ParameterRecord};
use flora_federation::{EvaluatedModel, Event, Outcome, Reason, RoundScore, RunStatus, Stop};
use flora_heads::{LinearClassifier, Moments, Ridge};
use flora_inference::Provenance;
use flora_tuning::{Experiment, Observer, TrainedModel, check_copies, prepare, save_trained};

use crate::common::{Images, Listener, checkpoint, features, outcome, refusal, rows, run, save};

/// Dimensions of the tiny CLIP's features, and the classes of the images.
const DIM: usize = 20;
const CLASSES: usize = 4;
/// Number of values in the sums: the Gram matrix' upper triangle, a sum and a count for each class.
const NUMBERS: usize = DIM * (DIM + 1) / 2 + CLASSES * DIM + CLASSES;

pub(crate) const RIDGE: &str =
    "method={ name = 'ridge', closed_form = { features = 'embedding', shifts = false } }";

/// A ridge classifier of these sums, computed without the crate's code. The tiny CLIP has nearly equal features for all
/// of these images, so that a smaller penalty would amplify the rounding of sums to f32.
fn head(sums: &ParameterRecord) -> LinearClassifier {
    let moments = Moments::from_record(sums).unwrap();
    Ridge { lambda: 0.1, ..Ridge::default() }.solve(&moments, &vec![0.0; CLASSES * DIM]).unwrap()
}

/// The largest difference of two classifiers, relative to their largest value.
fn difference(left: &LinearClassifier, right: &LinearClassifier) -> f32 {
    let numbers = |head: &LinearClassifier| [&head.weight[..], &head.bias[..]].concat();
    let (left, right) = (numbers(left), numbers(right));
    let most = left.iter().fold(0f32, |most, x| most.max(x.abs()));
    left.iter().zip(&right).fold(0f32, |far, (a, b)| far.max((a - b).abs())) / most
}

/// The sums over all training images, computed here.
fn central(images: &Images) -> Moments {
    let dataset = images.dataset();
    let features = features(&checkpoint(), &dataset);
    let mut moments = Moments::new(DIM, CLASSES);
    for index in dataset.indices(flora_data::Split::Train) {
        let row = features.row(index);
        let norm = row.iter().map(|x| x * x).sum::<f32>().sqrt();
        let unit: Vec<f32> = row.iter().map(|x| x / norm).collect();
        moments.add(&unit, dataset.label(index), 1.0).unwrap();
    }
    moments
}

#[test]
fn the_head_does_not_depend_on_who_holds_which_images() {
    let images = Images::new(9, 2);
    let expected = head(&central(&images).to_record().unwrap());
    let mut partitions = vec!["{ kind = 'natural' }".to_owned()];
    for clients in [1, 4, 10, 100] {
        partitions.push(format!("{{ kind = 'iid', clients = {clients} }}"));
        if clients > 1 {
            let dirichlet =
                format!("kind = 'dirichlet', clients = {clients}, beta = 0.3, min_samples = 1");
            partitions.push(format!("{{ {dirichlet} }}"));
            partitions.push(format!(
                "{{ kind = 'pathological', clients = {clients}, classes_per_client = 1 }}"
            ));
        }
    }
    for partition in partitions {
        let outcome = outcome(images.experiment(&[RIDGE, &format!("partition={partition}")]));
        assert_eq!(outcome.last_round.round, 1, "one round, whatever training.rounds says");
        let far = difference(&expected, &head(&outcome.last));
        assert!(far < 1e-5, "{partition}: {far:e}");
    }
}

#[test]
fn before_the_round_the_model_is_zero_shot() {
    let images = Images::new(2, 6);
    let zero_shot = outcome(images.experiment(&["method.name=zero-shot"]));
    let layers = "method.closed_form.features=layers";
    for (name, set) in
        ["ridge", "lda", "gda", "ncm"].into_iter().flat_map(|name| [(name, RIDGE), (name, layers)])
    {
        let outcome = outcome(images.experiment(&[set, &format!("method.name={name}")]));
        let scores = |round: &RoundScore| (round.accuracy, round.loss);
        assert_eq!(scores(&outcome.initial), scores(&zero_shot.initial), "{name}");
        assert_ne!(scores(&outcome.last_round), scores(&outcome.initial), "{name}");
    }
}

#[test]
fn a_client_sends_its_sums_and_nothing_else() {
    let images = Images::new(3, 2);
    for (upload, bytes) in [("f32", 4 * NUMBERS), ("f16", 2 * NUMBERS)] {
        let upload = format!("federation.upload={upload}");
        let (finished, told) = run(images.experiment(&[RIDGE, &upload]));
        let outcome = finished.outcome.unwrap();
        assert_eq!(outcome.bytes_up, 3 * bytes as u64, "three clients, once");
        let sent = told.events.iter().filter_map(|event| match event {
            Event::ClientReplied { bytes_up, .. } => Some(*bytes_up),
            _ => None,
        });
        assert!(sent.eq([bytes as u64; 3]));
        assert_eq!(told.warnings(), [""; 0]);
        let (_, told) = run(images.experiment(&[RIDGE, "method.name=lda", &upload]));
        let warns = told.warnings().iter().any(|it| it.contains("federation.upload: sums"));
        assert_eq!(warns, upload.ends_with("f16"));
        // Half precision changes the answer slightly.
        let far = difference(&head(&central(&images).to_record().unwrap()), &head(&outcome.last));
        assert!(far < if upload.ends_with("f32") { 1e-5 } else { 0.1 }, "{upload}: {far}");
    }
}

/// A client's own metrics are those of the classifier from its own sums.
#[test]
fn a_client_alone_has_the_head_of_its_own_images() {
    let images = Images::new(4, 3);
    let domains = ["alpha", "beta", "gamma"];
    let own = |id: &str, events: &[Event]| {
        let found = events.iter().find_map(|event| match event {
            Event::Evaluated { round: 1, clients, .. } => clients.iter().find(|it| it.client == id),
            _ => None,
        });
        found.unwrap().accuracy
    };
    let (_, alone) = run(images.experiment(&[RIDGE, "federation.participants=alone"]));
    let (_, together) = run(images.experiment(&[RIDGE]));
    let local = together
        .events
        .iter()
        .filter(|event| matches!(event, Event::Evaluated { model: EvaluatedModel::Local, .. }));
    let local: Vec<Event> = local.cloned().collect();
    for id in domains {
        let only = format!("federation.participants=['{id}']");
        let (_, only) = run(images.experiment(&[RIDGE, &only]));
        assert_eq!(own(id, &alone.events), own(id, &only.events), "{id}");
        assert_eq!(own(id, &local), own(id, &only.events), "{id}");
    }
    let all = outcome(images.experiment(&[RIDGE]));
    let central = outcome(images.experiment(&[RIDGE, "federation.participants=central"]));
    assert!(difference(&head(&all.last), &head(&central.last)) < 1e-5);
}

/// Runs, and saves the result in `folder`.
pub(crate) fn saved(experiment: &Experiment, folder: &Path) -> Outcome {
    let device = Device::flex();
    let prepared = prepare(experiment.clone(), &device, &mut Listener::default()).unwrap();
    let provenance = prepared.provenance();
    let finished = prepared.run(&mut Listener::default());
    assert!(finished.failure.is_none(), "{}", finished.failure.unwrap());
    let provenance = Provenance { clients: finished.summed, ..provenance };
    let outcome = finished.outcome.unwrap();
    save_trained(experiment, &provenance, &outcome.last, folder, &device).unwrap();
    outcome
}

pub(crate) fn from(folder: &Path) -> String {
    format!("method.closed_form.start={}", folder.display())
}

/// Every logit of every test image, by client.
pub(crate) fn logits(experiment: &Experiment, folder: &Path) -> Vec<(String, Vec<f32>)> {
    let device = Device::flex();
    let prepared = prepare(experiment.clone(), &device, &mut Listener::default()).unwrap();
    let models = prepared.client_models(folder, &|_| folder.to_owned(), &device).unwrap();
    let predictions = prepared.predict(&models, |client| client.test.clone()).unwrap();
    predictions.into_iter().map(|it| (it.score.client, it.logits)).collect()
}

/// Asserts that the model in `folder`, opened for use, has these logits on the run's test images.
fn assert_classifies(experiment: &Experiment, folder: &Path, expected: &[(String, Vec<f32>)]) {
    use flora_inference::Classifier;
    let device = Device::flex();
    let trained = TrainedModel::open(experiment, folder, &device).unwrap().unwrap();
    let classifier = trained.classifier(&trained.provenance.classes).unwrap();
    let prepared = prepare(experiment.clone(), &device, &mut Listener::default()).unwrap();
    for (client, expected) in expected {
        let shard = prepared.partition.clients.iter().find(|shard| shard.id == *client).unwrap();
        let pictures: Vec<_> =
            shard.test.iter().map(|&image| prepared.dataset.image(image).unwrap()).collect();
        let features = rows(&trained, &pictures);
        let logits = classifier.logits(features).into_data().try_into_vec::<f32>().unwrap();
        assert_eq!(logits.len(), expected.len());
        for (logit, expected) in logits.iter().zip(expected) {
            assert!((logit - expected).abs() < 1e-3, "{logit} {expected}");
        }
    }
}

fn outcome_of(images: &Images, set: &[&str]) -> Outcome {
    outcome(images.experiment(set))
}

pub(crate) fn refusal_of(images: &Images, set: &[&str]) -> String {
    match images.try_experiment(set) {
        Ok(experiment) => refusal(experiment),
        Err(error) => error,
    }
}

#[test]
fn settings_that_make_no_sense_are_named() {
    let images = Images::new(2, 2);
    let (flora, ridge) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    saved(&images.experiment(&["training.rounds=1"]), flora.path());
    saved(&images.experiment(&[RIDGE]), ridge.path());
    let start = from(ridge.path());
    let head = format!("method.head={}", flora.path().display());
    let closed = |more: &str| vec![RIDGE.to_owned(), more.to_owned()];
    for (set, words) in [
        (closed("method.loss=infonce"), "method.loss: ridge is solved"),
        (closed("training.class_weights=balanced"), "training.class_weights: ridge"),
        (closed("method.softmax=balanced"), "method.softmax: ridge"),
        (closed("federation.fraction=0.5"), "federation.fraction: ridge has one round"),
        (closed("method.closed_form.lambda=0.0"), "method.closed_form.lambda: 0 is not"),
        (closed("method.closed_form.weight=-1.0"), "method.closed_form.weight: -1 is not"),
        (
            closed("method.closed_form.leaving=true"),
            "method.closed_form.leaving: there are no sums",
        ),
        (closed("method.closed_form.start="), "method.closed_form.start: is empty"),
        (
            closed("method.closed_form.start=/nowhere"),
            "method.closed_form.start: cannot read /nowhere",
        ),
        (closed("method.closed_form.start=/nowhere"), "name the folder of a run of ridge"),
        (closed("method.closed_form.lamda=1.0"), "lamda"),
        (closed(&from(flora.path())), "trained.safetensors"),
        (closed(&head), "method.head: ridge trains no adapters"),
        (vec![head.clone()], "method.head"),
        (
            vec![
                format!("method.head={}", ridge.path().display()),
                "method.closed_form.weight=3.0".to_owned(),
            ],
            "method.closed_form: the classifier in method.head",
        ),
        (
            vec!["method.closed_form.lambda=0.5".to_owned()],
            "method.closed_form: flora is not solved",
        ),
        (
            vec![RIDGE.to_owned(), start.clone(), "federation.participants=alone".to_owned()],
            "method.closed_form.start: clients that are \"alone\"",
        ),
        (vec![start.clone()], "method.closed_form.start: flora does not begin with sums"),
    ] {
        let set: Vec<&str> = set.iter().map(String::as_str).collect();
        let error = refusal_of(&images, &set);
        assert!(error.contains(words), "{set:?}: {error}");
    }
    // Sums for other classes.
    images.describe(&["cat", "house", "big red truck", "sunflower seeds"]);
    let error = refusal_of(&images, &[RIDGE, &start]);
    assert!(error.contains("other classes, or in another order"), "{error}");
}

#[test]
fn a_classifier_may_look_at_the_blocks_of_the_vision_tower() {
    let images = Images::new(6, 4);
    let layers = "method.closed_form.features=layers";
    let folder = tempfile::tempdir().unwrap();
    for name in ["ridge", "lda", "gda", "ncm"] {
        let experiment = images.experiment(&[&format!("method.name={name}"), layers]);
        let outcome = saved(&experiment, folder.path());
        assert_eq!(outcome.last.num_parameters(), 96 * 97 / 2 + 4 * 96 + 4, "3 parts of 32 states");
        let expected = logits(&experiment, folder.path());
        assert_classifies(&experiment, folder.path(), &expected);
    }
    // Adapters are trained on its residual, too.
    let head = format!("method.head={}", folder.path().display());
    let over = tempfile::tempdir().unwrap();
    let flora = images.experiment(&[&head, "training.rounds=2"]);
    saved(&flora, over.path());
    assert_classifies(&flora, over.path(), &logits(&flora, over.path()));
    let error = refusal_of(&images, &[RIDGE, layers, "method.closed_form.prior=0.5"]);
    assert!(
        error.contains("method.closed_form.prior: text features cannot be the prior"),
        "{error}"
    );
}

/// A Flower server that averages has the means of all images, and so the same classifier.
#[test]
fn means_are_as_good_as_sums() {
    let images = Images::new(4, 2);
    let sums = outcome(images.experiment(&[RIDGE])).last;
    let total: f32 = sums.get("closed_form.class_counts").unwrap().to_f32().iter().sum();
    let mut means = ParameterRecord::new();
    for (name, tensor) in sums.iter() {
        let values = tensor.to_f32().iter().map(|x| x / total).collect();
        means.insert(name, HostTensor::from_f32(tensor.shape(), values).unwrap()).unwrap();
    }
    let folder = tempfile::tempdir().unwrap();
    for (name, more) in [
        ("ridge", "method.closed_form.lambda=0.01"),
        ("lda", "method.closed_form.lambda=0.5"),
        ("ncm", "seed=3"),
    ] {
        let experiment = images.experiment(&[RIDGE, &format!("method.name={name}"), more]);
        save(&experiment, &sums, folder.path()).unwrap();
        let expected = logits(&experiment, folder.path());
        save(&experiment, &means, folder.path()).unwrap();
        for ((_, left), (_, right)) in logits(&experiment, folder.path()).iter().zip(&expected) {
            let far = left.iter().zip(right).fold(0f32, |far, (a, b)| far.max((a - b).abs()));
            let most = right.iter().fold(1f32, |most, x| most.max(x.abs()));
            assert!(far < 1e-2 * most, "{name}: {far} of {most}");
        }
    }
}

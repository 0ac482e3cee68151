//! Methods in closed form: sums over all clients, whatever the partition.

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

/// Raises a stop once the initial model is evaluated.
struct StopsAtFirst(Stop);

impl Observer for StopsAtFirst {
    fn event(&mut self, event: &Event) {
        if matches!(event, Event::Evaluated { round: 0, .. }) {
            self.0.raise();
        }
    }
}

#[test]
fn who_was_counted_before_is_known_after_a_stop() {
    let images = Images::new(2, 2);
    let [first, second] = [(); 2].map(|()| tempfile::tempdir().unwrap());
    let two = "federation.participants=['alpha', 'beta']";
    saved(&images.experiment(&[RIDGE, two]), first.path());
    let gamma = "federation.participants=['gamma']";
    let experiment = images.experiment(&[RIDGE, gamma, &from(first.path())]);
    let (device, stop) = (Device::flex(), Stop::default());
    let prepared = prepare(experiment.clone(), &device, &mut Listener::default()).unwrap();
    let provenance = prepared.provenance();
    assert!(provenance.clients.iter().eq(["alpha", "beta"]));
    let finished = prepared.with_stop(stop.clone()).run(&mut StopsAtFirst(stop));
    assert_eq!(finished.status(), RunStatus::Interrupted);
    assert!(finished.summed.iter().eq(["alpha", "beta"]), "{:?}", finished.summed);
    let (last, clients) = (finished.outcome.unwrap().last, finished.summed);
    let provenance = Provenance { clients, ..provenance };
    save_trained(&experiment, &provenance, &last, second.path(), &device).unwrap();
    let start = from(second.path());
    let error = refusal_of(&images, &[RIDGE, &start, "federation.participants=['beta']"]);
    assert!(error.contains("beta is counted in the sums already"), "{error}");
    let (finished, _) = run(images.experiment(&[RIDGE, &start, gamma]));
    assert!(finished.summed.iter().eq(["alpha", "beta", "gamma"]));
    assert!(finished.summed_after(0).iter().eq(["alpha", "beta"]));

    // Sums of unknown clients.
    let provenance = Provenance { clients: Default::default(), ..provenance };
    save_trained(&experiment, &provenance, &last, second.path(), &device).unwrap();
    for more in [gamma, "method.closed_form.leaving=true"] {
        let error = refusal_of(&images, &[RIDGE, &start, gamma, more]);
        assert!(error.contains("does not say whose images"), "{error}");
    }
}

/// The same id with other images is another client.
#[test]
fn ids_that_stand_for_other_images_are_refused() {
    let images = Images::new(4, 2);
    let [drawn, central] = [(); 2].map(|()| tempfile::tempdir().unwrap());
    let iid = "partition={ kind = 'iid', clients = 4 }";
    let two = "federation.participants=['client-00', 'client-01']";
    saved(&images.experiment(&[RIDGE, iid, two]), drawn.path());
    let start = from(drawn.path());
    let (third, second) =
        ("federation.participants=['client-02']", "federation.participants=['client-01']");
    let leaving = "method.closed_form.leaving=true";
    for set in [vec![third], vec![second, leaving]] {
        let run =
            |more: &str| refusal_of(&images, &[&[RIDGE, iid, &start, more], &set[..]].concat());
        outcome(images.experiment(&[&[RIDGE, iid, &start], &set[..]].concat()));
        for (more, field) in [
            ("data.seed=9", "data.seed"),
            ("data.validation=0.25", "data.validation"),
            ("partition={ kind = 'iid', clients = 3 }", "partition"),
        ] {
            let error = run(more);
            assert!(error.contains(&format!("{field} now gives its clients")), "{more}: {error}");
        }
    }
    saved(&images.experiment(&[RIDGE, "federation.participants=central"]), central.path());
    let alpha = "federation.participants=['alpha']";
    for more in [alpha, leaving] {
        let error = refusal_of(&images, &[RIDGE, &from(central.path()), alpha, more]);
        assert!(error.contains("all clients' images"), "{error}");
    }
}

/// A client is counted once, and only a counted client can leave.
#[test]
fn who_is_counted_is_written_down() {
    let images = Images::new(2, 2);
    let folder = tempfile::tempdir().unwrap();
    let two = "federation.participants=['alpha', 'beta']";
    let experiment = images.experiment(&[RIDGE, two]);
    let device = Device::flex();
    let prepared = prepare(experiment.clone(), &device, &mut Listener::default()).unwrap();
    let mut provenance = prepared.provenance();
    let finished = prepared.run(&mut Listener::default());
    assert!(finished.summed.iter().eq(["alpha", "beta"]));
    provenance.clients = finished.summed;
    let last = finished.outcome.unwrap().last;
    save_trained(&experiment, &provenance, &last, folder.path(), &device).unwrap();
    let (start, leaving) = (from(folder.path()), "method.closed_form.leaving=true");
    let only = |id: &str| format!("federation.participants=['{id}']");
    for (set, words) in [
        (vec![start.clone(), only("beta")], "beta is counted in the sums already"),
        (vec![start.clone()], "alpha is counted in the sums already"),
        (vec![start.clone(), only("gamma"), leaving.to_owned()], "the sums do not contain gamma"),
    ] {
        let set: Vec<&str> = std::iter::once(RIDGE).chain(set.iter().map(String::as_str)).collect();
        let error = refusal_of(&images, &set);
        assert!(error.contains(words), "{error}");
    }
    for (id, more, left) in
        [("gamma", "seed=3", vec!["alpha", "beta", "gamma"]), ("beta", leaving, vec!["alpha"])]
    {
        let (finished, _) = run(images.experiment(&[RIDGE, &start, &only(id), more]));
        assert!(finished.summed.iter().eq(left), "{:?}", finished.summed);
    }
}

/// One of three clients sends sums that no images have: it is rejected by name, and at the end the run reports whose
/// images its sums lack, or still contain.
#[test]
fn a_client_whose_sums_are_refused_is_named() {
    let images = Images::new(2, 2);
    let folder = tempfile::tempdir().unwrap();
    saved(&images.experiment(&[RIDGE]), folder.path());
    let (start, leaving) = (from(folder.path()), "method.closed_form.leaving=true");
    for (more, words) in
        [(vec![], "the sums lack the images of"), (vec![&start[..], leaving], "still contain")]
    {
        let set = [&[RIDGE, "faults.huge=0.34"][..], &more].concat();
        let (finished, told) = run(images.experiment(&set));
        let refused: Vec<(&str, &str)> = told
            .events
            .iter()
            .filter_map(|event| match event {
                Event::ClientFailed { client, reason: Reason::Refused, message, .. } => {
                    Some((&client[..], &message[..]))
                }
                _ => None,
            })
            .collect();
        let [(client, message)] = refused[..] else { panic!("{refused:?}") };
        assert!(message.contains("must send means over its images"), "{message}");
        assert!(finished.uncounted.iter().eq([client]), "{:?}", finished.uncounted);
        // A rejected client is not added, and has not left.
        let is_summed = finished.summed.contains(client);
        assert_eq!(
            (finished.summed.len(), is_summed),
            if more.is_empty() { (2, false) } else { (1, true) }
        );
        let warnings = told.warnings();
        let warning = warnings.iter().find(|it| it.contains(words)).expect("it is told at the end");
        assert!(warning.contains(&format!("{client}, whose replies")), "{warning}");
    }
    let (finished, told) = run(images.experiment(&[RIDGE, &start, leaving]));
    assert!(finished.summed.is_empty() && finished.uncounted.is_empty());
    assert!(told.notes().iter().any(|note| note.contains("the sums are empty")));
    assert!(told.warnings().is_empty(), "{:?}", told.warnings());
}

pub(crate) fn from(folder: &Path) -> String {
    format!("method.closed_form.start={}", folder.display())
}

#[test]
fn a_late_client_comes_to_what_all_at_once_come_to_and_a_leaving_one_was_never_there() {
    let images = Images::new(4, 2);
    let folders = [(); 3].map(|()| tempfile::tempdir().unwrap());
    let [first, all, _] = &folders;
    let two = "federation.participants=['alpha', 'beta']";
    let (third, second) = ("federation.participants=['gamma']", "federation.participants=['beta']");
    let early = saved(&images.experiment(&[RIDGE, two]), first.path());
    let together = saved(&images.experiment(&[RIDGE]), all.path());
    let late = outcome(images.experiment(&[RIDGE, third, &from(first.path())]));
    // Where the others' sums are.
    assert_eq!(late.initial.accuracy, early.last_round.accuracy);
    assert_eq!(late.initial.loss, early.last_round.loss);
    let far = difference(&head(&late.last), &head(&together.last));
    assert!(far < 1e-5, "{far:e}");

    let leaving = "method.closed_form.leaving=true";
    let left = outcome(images.experiment(&[RIDGE, third, &from(all.path()), leaving]));
    let far = difference(&head(&left.last), &head(&early.last));
    assert!(far < 1e-4, "{far:e}");
    // Without clients, only the texts are left.
    let one = outcome(images.experiment(&[RIDGE, second, &from(first.path()), leaving]));
    let folder = &folders[2];
    let left =
        saved(&images.experiment(&[RIDGE, second, &from(first.path()), leaving]), folder.path());
    assert_eq!(left.last, one.last);
    let alpha = "federation.participants=['alpha']";
    let nobody = outcome(images.experiment(&[RIDGE, alpha, &from(folder.path()), leaving]));
    let counts = nobody.last.get("closed_form.class_counts").unwrap().to_f32().into_owned();
    assert_eq!(counts, [0.0; CLASSES]);
    let zero_shot = outcome(images.experiment(&["method.name=zero-shot"]));
    assert_eq!(nobody.last_round.loss, zero_shot.initial.loss);
}

/// Every logit of every test image, by client.
pub(crate) fn logits(experiment: &Experiment, folder: &Path) -> Vec<(String, Vec<f32>)> {
    let device = Device::flex();
    let prepared = prepare(experiment.clone(), &device, &mut Listener::default()).unwrap();
    let models = prepared.client_models(folder, &|_| folder.to_owned(), &device).unwrap();
    let predictions = prepared.predict(&models, |client| client.test.clone()).unwrap();
    predictions.into_iter().map(|it| (it.score.client, it.logits)).collect()
}

#[test]
fn classes_that_nobody_has_an_image_of_keep_the_logits_of_their_texts() {
    let images = Images::new(4, 3);
    let halves = "partition={ kind = 'base-to-novel', of = { kind = 'natural' } }";
    let folder = tempfile::tempdir().unwrap();
    let zero_shot = images.experiment(&["method.name=zero-shot", halves]);
    let texts = logits(&zero_shot, folder.path());
    for name in ["ridge", "lda", "gda", "ncm"] {
        let experiment = images.experiment(&[RIDGE, &format!("method.name={name}"), halves]);
        let outcome = saved(&experiment, folder.path());
        let counts = outcome.last.get("closed_form.class_counts").unwrap().to_f32();
        let novel: Vec<usize> = (0..CLASSES).filter(|&class| counts[class] == 0.0).collect();
        assert_eq!(novel.len(), 2);
        let mut compared = 0;
        for ((client, joined), (_, texts)) in logits(&experiment, folder.path()).iter().zip(&texts)
        {
            for (joined, texts) in joined.chunks(CLASSES).zip(texts.chunks(CLASSES)) {
                let is_novel = joined[novel[0]].is_finite();
                for class in 0..CLASSES {
                    let same = joined[class].to_bits() == texts[class].to_bits();
                    assert_eq!(
                        same,
                        is_novel || novel.contains(&class),
                        "{name}, {client}, {class}"
                    );
                    compared += 1;
                }
            }
        }
        assert!(compared > 0);
    }
}

#[test]
fn classes_of_other_names_go_by_their_texts() {
    let images = Images::new(4, 3);
    let folder = tempfile::tempdir().unwrap();
    let experiment = images.experiment(&[RIDGE]);
    saved(&experiment, folder.path());
    let device = Device::flex();
    let trained = TrainedModel::open(&experiment, folder.path(), &device).unwrap().unwrap();
    assert!(trained.beside_clip().unwrap().contains("beside the prompts"));
    let picture = images.dataset().image(0).unwrap();
    let logits = |classes: &[&str]| {
        let classes: Vec<String> = classes.iter().map(|&class| class.to_owned()).collect();
        let classifier = trained.classifier(&classes).unwrap();
        let features = trained.model.embedder.images(std::slice::from_ref(&picture)).unwrap();
        use flora_inference::Classifier;
        classifier.logits(features).into_data().try_into_vec::<f32>().unwrap()
    };
    let own = logits(&["cat", "house", "sunflower seeds", "big red truck"]);
    let mixed = logits(&["house", "a lion", "cat"]);
    let same = |a: f32, b: f32| assert!((a - b).abs() < 1e-3, "{a} {b}");
    same(mixed[0], own[1]);
    same(mixed[2], own[0]);
    let zero_shot = images.experiment(&["method.name=zero-shot"]);
    let plain = TrainedModel::open(&zero_shot, folder.path(), &device).unwrap().unwrap();
    let lion = plain.classifier(&["a lion".to_owned(), "cat".to_owned()]).unwrap();
    let features = plain.model.embedder.images(std::slice::from_ref(&picture)).unwrap();
    use flora_inference::Classifier;
    let lion = lion.logits(features).into_data().try_into_vec::<f32>().unwrap();
    same(mixed[1], lion[0]);
    assert!((mixed[2] - lion[1]).abs() > 0.1, "a class with images has more than its text");
}

/// Text logits plus those of the file, added by hand, equal the classifier's.
#[test]
fn a_classifier_is_written_for_other_tools() {
    use flora_inference::Classifier;
    let images = Images::new(4, 3);
    let (folder, out) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let experiment = images.experiment(&["method.name=lda"]);
    saved(&experiment, folder.path());
    let device = Device::flex();
    let open = |experiment: &Experiment| {
        TrainedModel::open(experiment, folder.path(), &device).unwrap().unwrap()
    };
    let trained = open(&experiment);
    let name = trained.save_head(out.path()).unwrap().unwrap();
    let file = ParameterRecord::load(out.path().join(name)).unwrap();
    let (weight, bias) = (file.get("weight").unwrap().to_f32(), file.get("bias").unwrap().to_f32());
    assert_eq!((weight.len(), bias.len()), (CLASSES * 96, CLASSES));
    let pictures = [images.dataset().image(0).unwrap()];
    let seen = rows(&trained, &pictures).into_data().try_into_vec::<f32>().unwrap();
    let (mean, states) = (&seen[DIM..2 * DIM], &seen[2 * DIM..]);
    let classes = &trained.provenance.classes;
    let joined = trained.classifier(classes).unwrap().logits(rows(&trained, &pictures));
    let joined = joined.into_data().try_into_vec::<f32>().unwrap();
    // Cosines with a text are linear in the image: those of a mean are its norm times those of its direction.
    let zero_shot = open(&images.experiment(&["method.name=zero-shot"]));
    let image = Tensor::<2>::from_data(TensorData::new(mean.to_vec(), [1, DIM]), &device);
    let texts = zero_shot.classifier(classes).unwrap().logits(image);
    let texts = texts.into_data().try_into_vec::<f32>().unwrap();
    let length = mean.iter().map(|x| x * x).sum::<f32>().sqrt();
    for class in 0..CLASSES {
        let row = &weight[class * 96..(class + 1) * 96];
        let head: f32 = row.iter().zip(states).map(|(w, x)| w * x).sum::<f32>() + bias[class];
        let expected = length * texts[class] + head;
        assert!((joined[class] - expected).abs() < 1e-3 * expected.abs().max(1.0), "{class}");
    }
    assert_eq!(zero_shot.save_head(out.path()).unwrap(), None);
}

#[test]
fn a_classifier_over_an_adapter_is_of_the_adapted_model() {
    let images = Images::new(3, 4);
    for towers in ["text", "both"] {
        let towers = format!("method.lora.towers={towers}");
        let (below, over) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let flora = images.experiment(&[&towers, "training.rounds=3"]);
        let adapted = saved(&flora, below.path());
        let adapter = format!("method.init_adapter={}", below.path().display());
        let ridge = images.experiment(&[RIDGE, &adapter]);
        let outcome = saved(&ridge, over.path());
        assert_eq!(outcome.initial.accuracy, adapted.last_round.accuracy, "{towers}");
        let (before, after) = (outcome.initial.loss.unwrap(), adapted.last_round.loss.unwrap());
        assert!((before - after).abs() < 1e-4, "{towers}: {before} {after}");
        assert_eq!(outcome.last.num_parameters(), NUMBERS);

        // The saved files are enough: the adapter may be gone.
        let expected = logits(&ridge, over.path());
        drop(below);
        let ridge = ridge.with_copies_in(over.path());
        assert_eq!(logits(&ridge, over.path()), expected);
        assert_classifies(&ridge, over.path(), &expected);
        // Its sums are those of adapted features.
        let plain = images.experiment(&[RIDGE, &from(over.path())]);
        let error = refusal(plain);
        assert!(error.contains("method.closed_form.start") && error.contains("adapted"), "{error}");
    }
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

#[test]
fn adapters_are_trained_on_what_a_classifier_leaves() {
    let images = Images::new(4, 4);
    let (first, second) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let ridge = saved(&images.experiment(&[RIDGE]), first.path());
    for loss in ["infonce", "class-ce"] {
        let head = format!("method.head={}", first.path().display());
        let loss = format!("method.loss={loss}");
        let flora = images.experiment(&[&head, &loss, "training.rounds=3"]);
        let outcome = saved(&flora, second.path());
        assert_eq!(outcome.initial.accuracy, ridge.last_round.accuracy, "{loss}");
        let (before, after) = (outcome.initial.loss.unwrap(), ridge.last_round.loss.unwrap());
        assert!((before - after).abs() < 1e-5, "{loss}: {before} {after}");
        assert_ne!(outcome.last_round.loss, outcome.initial.loss, "{loss}");
        // Only adapters are trained and sent.
        let alone = outcome_of(&images, &["training.rounds=0"]);
        assert!(outcome.last.names().eq(alone.last.names()));

        let device = Device::flex();
        let inputs = prepare(flora.clone(), &device, &mut Listener::default()).unwrap().inputs;
        check_copies(&flora, second.path(), &inputs).unwrap();
        let other = inputs.keys().map(|name| (name.clone(), "other".to_owned())).collect();
        let error = check_copies(&flora, second.path(), &other).unwrap_err().to_string();
        assert!(error.contains("method.head") && error.contains("changed after"), "{error}");

        let expected = logits(&flora, second.path());
        let flora = flora.with_copies_in(second.path());
        assert_eq!(logits(&flora, second.path()), expected);
        assert_classifies(&flora, second.path(), &expected);
    }
    let vision = "method.lora.towers=vision";
    let head = format!("method.head={}", first.path().display());
    let error = refusal_of(&images, &[&head, vision]);
    assert!(error.contains("method.head") && error.contains("\"text\""), "{error}");
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

//! Initial values of a run, and images or classes that they must not know.

use flora_federation::Event;
use flora_tuning::{Experiment, prepare};

use crate::closed_form::{RIDGE, logits, refusal_of, saved};
use crate::common::{Images, Listener};

fn head(folder: &std::path::Path) -> String {
    format!("method.head={}", folder.display())
}

fn adapter(folder: &std::path::Path) -> String {
    format!("method.init_adapter={}", folder.display())
}

/// The warnings of a run that starts.
fn warnings(experiment: Experiment) -> Vec<String> {
    let mut listener = Listener::default();
    prepare(experiment, &burn::tensor::Device::flex(), &mut listener).unwrap();
    let warning = |event| match event {
        Event::Warning { message } => Some(message),
        _ => None,
    };
    listener.events.into_iter().filter_map(warning).collect()
}

/// Held-out images that were trained on before would select the round that knows them best.
#[test]
fn images_that_were_trained_on_score_nothing() {
    let images = Images::new(8, 2);
    let [sums, flora] = [(); 2].map(|()| tempfile::tempdir().unwrap());
    let alpha = "federation.participants=['alpha']";
    saved(&images.experiment(&[RIDGE, alpha]), sums.path());
    saved(&images.experiment(&["training.rounds=1"]), flora.path());
    let held = "data.validation=0.25";
    for (field, begin) in
        [("method.head", head(sums.path())), ("method.init_adapter", adapter(flora.path()))]
    {
        // Two images of each class of each of the three domains are held out.
        let error = refusal_of(&images, &[&begin, held]);
        let words = format!("{field}: 24 of this run's 24 validation images were among");
        assert!(error.contains(&words), "{error}");
        assert!(error.contains("data.validation = 0,"), "{error}");
        assert_eq!(warnings(images.experiment(&[&begin])), [""; 0], "{field}");
    }
    // The same images without those that are held out.
    saved(&images.experiment(&[RIDGE, held]), sums.path());
    assert_eq!(warnings(images.experiment(&[&head(sums.path()), held])), [""; 0]);
    let error = refusal_of(&images, &[&head(sums.path()), held, "data.seed=5"]);
    assert!(error.contains("validation images were among") && error.contains("data.seed = 0"));
    // Other test images are trained on.
    let error = refusal_of(&images, &[&head(sums.path()), "data.protocol=merged-80-20"]);
    assert!(error.contains("test images were among the training images"), "{error}");
    assert!(error.contains("data.protocol = \"official\""), "{error}");

    // The result is evaluated on the test images in the end, whatever evaluates the rounds.
    saved(&images.experiment(&[RIDGE, "data.protocol=merged-80-20"]), sums.path());
    let error = refusal_of(&images, &[&head(sums.path()), "data.validation=0.01"]);
    assert!(error.contains("images were among the training images"), "{error}");

    // Whether a folder of this name with other images has the same ones is not known.
    std::fs::remove_file(images.path().join("images/alpha/train/cat/0.png")).unwrap();
    let warnings = warnings(images.experiment(&[&adapter(flora.path()), held]));
    assert!(warnings[0].contains("with the same name, noise, but other images"), "{warnings:?}");
    assert_eq!(warnings.len(), 1);
}

/// A checkpoint that flora trained knows its images as well as an adapter does.
#[test]
fn a_base_that_was_trained_on_the_images_is_refused() {
    let images = Images::new(8, 2);
    let folder = tempfile::tempdir().unwrap();
    saved(&images.experiment(&["method.name=fedfft", "training.rounds=1"]), folder.path());
    let base = format!("model.path={}", folder.path().join("model").display());
    let error = refusal_of(&images, &[&base, "data.validation=0.25"]);
    assert!(error.contains("model.path: 24 of this run's 24 validation images"), "{error}");
    prepare(images.experiment(&[&base]), &burn::tensor::Device::flex(), &mut Listener::default())
        .unwrap();
}

#[test]
fn novel_classes_were_not_seen_before() {
    let images = Images::new(4, 2);
    let folder = tempfile::tempdir().unwrap();
    let halves = "partition={ kind = 'base-to-novel', of = { kind = 'natural' } }";
    saved(&images.experiment(&[RIDGE]), folder.path());
    let error = refusal_of(&images, &[&head(folder.path()), halves]);
    assert!(error.contains("method.head: was trained on \"sunflower seeds\""), "{error}");
    saved(&images.experiment(&[RIDGE, halves]), folder.path());
    saved(&images.experiment(&[&head(folder.path()), halves]), folder.path());

    // The classes that an adapter knows are recorded beside it.
    let flora = tempfile::tempdir().unwrap();
    saved(&images.experiment(&["training.rounds=1"]), flora.path());
    for method in [RIDGE, "method.name=flora"] {
        let error = refusal_of(&images, &[method, &adapter(flora.path()), halves]);
        assert!(
            error.contains("method.init_adapter: was trained on \"sunflower seeds\""),
            "{error}"
        );
    }
    saved(&images.experiment(&["training.rounds=1", halves]), flora.path());
    assert_eq!(warnings(images.experiment(&[&adapter(flora.path()), halves])), [""; 0]);
}

/// FLoRA, a classifier over it, and FLoRA again on the residual of both.
#[test]
fn training_goes_on_beside_the_classifier_that_was_solved_over_an_adapter() {
    let images = Images::new(4, 4);
    let [first, second, third] = [(); 3].map(|()| tempfile::tempdir().unwrap());
    saved(&images.experiment(&["training.rounds=2"]), first.path());
    let below = adapter(first.path());
    let layers = "method.closed_form.features=layers";
    let over = images.experiment(&[RIDGE, layers, &below]);
    let solved = saved(&over, second.path());
    let beside = head(second.path());
    let again = images.experiment(&[&below, &beside, "training.rounds=2"]);
    let outcome = saved(&again, third.path());
    assert_eq!(outcome.initial.accuracy, solved.last_round.accuracy);
    let (before, after) = (outcome.initial.loss.unwrap(), solved.last_round.loss.unwrap());
    assert!((before - after).abs() < 1e-5, "{before} {after}");
    assert_ne!(outcome.last_round.loss, outcome.initial.loss);
    let expected = logits(&again, third.path());
    assert_eq!(logits(&again.with_copies_in(third.path()), third.path()), expected);

    let error = refusal_of(&images, &[&beside]);
    assert!(error.contains("method.head") && error.contains("name the same adapter"), "{error}");
    saved(&images.experiment(&[RIDGE, &below]), second.path());
    let error = refusal_of(&images, &[&below, &beside]);
    assert!(error.contains("features = \"layers\""), "{error}");
}

/// The other half of the trained model is missing.
#[test]
fn an_adapter_without_the_classifier_beside_it_is_told() {
    let images = Images::new(4, 2);
    let [sums, other, flora] = [(); 3].map(|()| tempfile::tempdir().unwrap());
    saved(&images.experiment(&[RIDGE]), sums.path());
    let trained = images.experiment(&[&head(sums.path()), "training.rounds=1"]);
    saved(&trained, flora.path());
    let below = adapter(flora.path());
    let told = |set: &[&str]| {
        let warnings = warnings(images.experiment(set));
        assert!(warnings.iter().all(|it| it.contains("together with a classifier")));
        warnings.len()
    };
    assert_eq!(told(&[&below]), 1);
    assert_eq!(told(&[&below, &head(sums.path())]), 0);
    saved(&images.experiment(&[RIDGE, "method.closed_form.lambda=0.5"]), other.path());
    assert_eq!(told(&[&below, &head(other.path())]), 1);
    // Sums over it depend only on its features and texts.
    assert_eq!(told(&[RIDGE, &below]), 1);
}

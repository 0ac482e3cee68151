//! The classifiers in use: classes without images, export, and adapters under and beside them.

use super::*;

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

//! Flower's own servers at a desk.

use std::sync::Arc;

use flora_core::{Dtype, HostTensor, ParameterRecord};
use flora_federation::protocol::SERVER_ROUND;
use flora_federation::{Client, Config, Kind, Message, PARAMETERS, Task, Value};
use flora_tuning::{Experiment, INITIAL, Policy, Request, Silent, SiteClient};

use super::{Office, text_of};
use crate::common::{bits, random_like};

fn initial() -> Kind {
    Kind::Query(INITIAL.to_owned())
}

/// A ServerApp's message: the arrays, the experiment, and Flower's round from 1.
fn sent(experiment: &Experiment, round: i64, from: &ParameterRecord) -> Message {
    let config = Config::from([
        ("experiment".to_owned(), text_of(experiment)),
        (SERVER_ROUND.to_owned(), Value::Int(round)),
    ]);
    Message { config, ..Message::parameters(Arc::new(from.clone())) }
}

fn with(mut message: Message, key: &str, value: Value) -> Message {
    message.config.insert(key.to_owned(), value);
    message
}

fn parameters(message: &Message) -> ParameterRecord {
    message.get_parameters().unwrap().as_ref().clone()
}

/// The tensors in reverse order of their names.
fn reordered(record: &ParameterRecord) -> ParameterRecord {
    let mut entries: Vec<_> = record.iter().collect();
    entries.sort_by_key(|(name, _)| std::cmp::Reverse(*name));
    let mut reordered = ParameterRecord::new();
    for (name, tensor) in entries {
        reordered.insert(name, tensor.clone()).unwrap();
    }
    reordered
}

fn names(record: &ParameterRecord) -> Vec<String> {
    record.iter().map(|(name, _)| name.to_owned()).collect()
}

/// The client that the simulation would have in place of the desk's.
fn client(office: &Office) -> SiteClient {
    office.desk.site().client(&office.plan(&[]), &mut Silent).unwrap()
}

fn train(client: &mut SiteClient, round: usize, message: Message) -> Message {
    let task = Task { client: "alpha".to_owned(), round, attempt: 0, kind: Kind::Train, message };
    client.handle(&task).unwrap()
}

#[test]
fn a_stock_server_gets_the_bits_of_the_simulation() {
    let mut office = Office::new(Policy::default());
    let experiment = office.images.experiment(&[]);
    let mut client = client(&office);
    let ask = sent(&experiment, 0, &ParameterRecord::new());
    let begin = parameters(&office.ask(&initial(), &ask).unwrap());
    assert!(bits(&begin) == bits(client.initial()));
    let mut from = begin;
    for round in 0..3 {
        let message = sent(&experiment, round as i64 + 1, &reordered(&from));
        let answer = office.ask(&Kind::Train, &message).unwrap();
        let expected = train(&mut client, round, Message::parameters(Arc::new(from.clone())));
        let (ours, theirs) = (parameters(&answer), parameters(&expected));
        // The order in which they were sent.
        assert_eq!(names(&ours), names(&reordered(&from)));
        assert!(bits(&reordered(&ours)) == bits(&reordered(&theirs)), "{round}");
        assert_eq!(answer.num_examples(), Some(12));
        assert_eq!(answer.metrics["loss"], expected.metrics["loss"]);
        assert_eq!(answer.metrics["train_loss"], expected.metrics["loss"]);
        assert!(answer.config.is_empty() && answer.records.len() == 1);
        // Sent again, and after a restart.
        assert_eq!(office.ask(&Kind::Train, &message).unwrap(), answer);
        office.restart(Policy::default());
        assert_eq!(office.ask(&Kind::Train, &message).unwrap(), answer);

        let tested = office.ask(&Kind::Evaluate, &sent(&experiment, round as i64 + 1, &theirs));
        let tested = tested.unwrap();
        let task = Task {
            client: "alpha".to_owned(),
            round: round + 1,
            attempt: 0,
            kind: Kind::Evaluate,
            message: Message::parameters(Arc::new(theirs.clone())),
        };
        let expected = client.handle(&task).unwrap();
        assert_eq!(tested.metrics, expected.metrics);
        assert!(tested.records.is_empty() && tested.config.is_empty());
        from = theirs;
    }
}

/// A client's closed-form answer does not depend on the message it is sent, so a server that averages has the same
/// means after every round, and the site predicts with them.
#[test]
fn a_stock_server_averages_sums() {
    for name in ["ridge", "lda", "ncm"] {
        averages_sums(name);
    }
}

fn averages_sums(name: &str) {
    let name = format!("method.name={name}");
    let mut office = Office::new(Policy { max_update_norm: Some(2.0), ..Policy::default() });
    let begin = |experiment: &Experiment| sent(experiment, 0, &ParameterRecord::new());
    // These shrink by a number of images that the site is not told.
    for (refused, words) in [("lda", "method.closed_form.lambda"), ("gda", "ridge, ncm, or lda")] {
        let experiment = office.images.experiment(&[&format!("method.name={refused}")]);
        let error = office.ask(&initial(), &begin(&experiment)).unwrap_err();
        assert!(error.contains(words), "{error}");
    }
    let experiment =
        office.images.experiment(&[&name, "training.rounds=3", "method.closed_form.lambda=0.5"]);
    let begin = begin(&experiment);
    let zeros = parameters(&office.ask(&initial(), &begin).unwrap());
    let first = office.ask(&Kind::Train, &sent(&experiment, 1, &zeros)).unwrap();
    let means = parameters(&first);
    let counts = means.get("closed_form.class_counts").unwrap().to_f32().iter().sum::<f32>();
    assert!((counts - 1.0).abs() < 1e-6, "{counts}");
    let test = |office: &mut Office, from: &ParameterRecord| {
        office.ask(&Kind::Evaluate, &sent(&experiment, 1, from)).unwrap().metrics
    };
    let (before, after) = (test(&mut office, &zeros), test(&mut office, &means));
    assert_ne!(before["loss"], after["loss"]);
    assert!(first.metrics["loss"].is_finite());
    let again = office.ask(&Kind::Train, &sent(&experiment, 2, &means)).unwrap();
    assert!(bits(&parameters(&again)) == bits(&means));
}

/// Half precision is accepted, and answered in single precision.
#[test]
fn arrays_in_half_precision_are_answered_in_single() {
    let mut office = Office::new(Policy::default());
    let mut client = client(&office);
    let half = random_like(client.initial()).cast(Dtype::F16);
    for upload in ["federation.upload=f32", "federation.upload=f16"] {
        let experiment = office.images.experiment(&[upload]);
        let answer = office.ask(&Kind::Train, &sent(&experiment, 1, &half)).unwrap();
        let trained = parameters(&answer);
        assert!(trained.iter().all(|(_, tensor)| tensor.dtype() == Dtype::F32));
        let from = Message::parameters(Arc::new(half.cast(Dtype::F32)));
        client.restore(None).unwrap();
        let expected = parameters(&train(&mut client, 0, from));
        let expected = match upload.ends_with("f16") {
            true => expected.cast(Dtype::F16),
            false => expected,
        };
        assert!(bits(&trained) == bits(&expected), "{upload}");
    }
}

#[test]
fn arrays_that_do_not_fit_are_refused() {
    let mut office = Office::new(Policy::default());
    let experiment = office.images.experiment(&[]);
    let good = client(&office).initial().clone();
    let first = names(&good)[0].clone();
    let changed = |change: &dyn Fn(&str, &HostTensor) -> Option<HostTensor>| {
        let mut record = ParameterRecord::new();
        for (name, tensor) in good.iter() {
            if let Some(tensor) = change(name, tensor) {
                record.insert(name, tensor).unwrap();
            }
        }
        record
    };
    let missing = changed(&|name, tensor| (name != first).then(|| tensor.clone()));
    let flat = changed(&|name, tensor| {
        let flat = HostTensor::from_f32([tensor.len()], tensor.to_f32().into_owned()).unwrap();
        Some(if name == first { flat } else { tensor.clone() })
    });
    let not_a_number = changed(&|name, tensor| {
        let mut values = tensor.to_f32().into_owned();
        values[0] = if name == first { f32::NAN } else { values[0] };
        Some(HostTensor::from_f32(tensor.shape(), values).unwrap())
    });
    let mut more = good.clone();
    more.insert("classifier", HostTensor::from_f32([1], vec![0.0]).unwrap()).unwrap();
    for (record, named) in [
        (missing, first.as_str()),
        (flat, &first),
        (not_a_number, &first),
        (more, "classifier"),
        (ParameterRecord::new(), "have no "),
    ] {
        for kind in [Kind::Train, Kind::Evaluate] {
            let error = office.ask(&kind, &sent(&experiment, 1, &record)).unwrap_err();
            assert!(error.contains(named) && error.contains("the server's array"), "{error}");
        }
    }
    let mut none = sent(&experiment, 1, &good);
    none.records.clear();
    let error = office.ask(&Kind::Train, &none).unwrap_err();
    assert!(error.contains("`initial`"), "{error}");
    // None of it has changed the site's state.
    let answer = office.ask(&Kind::Train, &sent(&experiment, 1, &good)).unwrap();
    let expected = train(&mut client(&office), 0, Message::parameters(Arc::new(good)));
    assert!(bits(&parameters(&answer)) == bits(&parameters(&expected)));
}

#[test]
fn the_experiment_comes_from_the_server_or_the_node() {
    let mut office = Office::new(Policy::default());
    let experiment = office.images.experiment(&[]);
    let start = client(&office).initial().clone();
    let mut bare = sent(&experiment, 1, &start);
    bare.config.remove("experiment");
    for kind in [Kind::Train, Kind::Evaluate, initial()] {
        let error = office.ask(&kind, &bare).unwrap_err();
        assert!(error.contains("`experiment`") && error.contains("--experiment"), "{error}");
    }
    let answer = office.ask(&Kind::Train, &sent(&experiment, 1, &start)).unwrap();
    office.restart(Policy::default());
    office.desk = {
        let place = &crate::sites::domains(&office.images)[0];
        let folder = tempfile::tempdir().unwrap();
        super::desk(&office.images, place, &folder.keep(), Policy::default())
            .with_experiment(experiment.clone())
    };
    assert_eq!(office.ask(&Kind::Train, &bare).unwrap(), answer);
    // The server's takes precedence over the node's.
    let other = office.images.experiment(&["training.learning_rate=0.1"]);
    assert_ne!(office.ask(&Kind::Train, &sent(&other, 1, &start)).unwrap(), answer);

    let refused = |office: &mut Office, text: &str| {
        let message = with(bare.clone(), "experiment", Value::Text(text.to_owned()));
        office.ask(&Kind::Train, &message).unwrap_err()
    };
    let text = experiment.to_toml();
    assert!(refused(&mut office, "rounds =").contains("`experiment`"));
    let error = refused(&mut office, &text.replace("rounds = 2", "ronds = 2"));
    assert!(error.contains("`experiment`") && error.contains("ronds"), "{error}");
    let alone = text.replace("participants = \"all\"", "participants = \"alone\"");
    assert!(alone != text);
    assert!(refused(&mut office, &alone).contains("federation.participants"));
    let adapter = text.replace("[method]", "[method]\ninit_adapter = \"/etc\"");
    assert!(refused(&mut office, &adapter).contains("method.init_adapter"));
    let iid = text.replace("kind = \"natural\"", "kind = \"iid\"\nclients = 2");
    assert!(refused(&mut office, &iid).contains("partition"));
}

#[test]
fn classes_and_prompt_may_be_the_servers() {
    let mut office = Office::new(Policy::default());
    let experiment = office.images.experiment(&[]);
    let start = client(&office).initial().clone();
    let own = office.ask(&Kind::Evaluate, &sent(&experiment, 1, &start)).unwrap();
    let evaluate = |office: &mut Office, key: &str, value: Value| {
        office.ask(&Kind::Evaluate, &with(sent(&experiment, 1, &start), key, value))
    };
    // A list of strings arrives as its JSON.
    let list = |classes: &[&str]| Value::Text(serde_json::to_string(classes).unwrap());
    let classes = office.images.dataset().classes().to_vec();
    let mut all: Vec<&str> = classes.iter().map(String::as_str).collect();
    assert_eq!(evaluate(&mut office, "classes", list(&all)).unwrap(), own);
    all.push("teapot");
    let more = evaluate(&mut office, "classes", list(&all)).unwrap();
    // One more class to distinguish: the loss is larger.
    assert!(more.metrics["loss"] > own.metrics["loss"]);
    let error = evaluate(&mut office, "classes", list(&["cat"])).unwrap_err();
    assert!(error.contains("which the run does not have"), "{error}");
    assert!(evaluate(&mut office, "classes", list(&[])).is_err());
    let error = evaluate(&mut office, "classes", Value::Text("cat".to_owned())).unwrap_err();
    assert!(error.contains("`classes`"), "{error}");
    let prompt = |text: &str| Value::Text(text.to_owned());
    let other = evaluate(&mut office, "template", prompt("an odd picture of {}")).unwrap();
    assert_ne!(other.metrics["loss"], own.metrics["loss"]);
    let error = evaluate(&mut office, "template", prompt("no place")).unwrap_err();
    assert!(error.contains("`{}`"), "{error}");
}

/// The wrappers for differential privacy: the update is clipped, and the site reports whether it was.
#[test]
fn updates_are_clipped_where_the_server_asks_for_it() {
    let mut office = Office::new(Policy::default());
    let experiment = office.images.experiment(&[]);
    let start = client(&office).initial().clone();
    let message = sent(&experiment, 1, &start);
    let free = office.ask(&Kind::Train, &message).unwrap();
    assert!(!free.metrics.contains_key("norm_bit"));
    let whole = start.distance(&parameters(&free));
    let clip = |office: &mut Office, bound: Value| {
        office.ask(&Kind::Train, &with(message.clone(), "clipping_norm", bound))
    };
    let answer = clip(&mut office, Value::Float(whole / 4.0)).unwrap();
    assert_eq!(answer.metrics["norm_bit"], 1.0);
    let (clipped, free) = (parameters(&answer), parameters(&free));
    assert!((start.distance(&clipped) - whole / 4.0).abs() < 1e-5 * whole);
    for (name, tensor) in clipped.iter() {
        let (before, after) = (start.get(name).unwrap().to_f32(), free.get(name).unwrap().to_f32());
        for ((&w, &trained), &answered) in before.iter().zip(after.iter()).zip(&*tensor.to_f32()) {
            assert!((w + (trained - w) / 4.0 - answered).abs() < 1e-6, "{name}");
        }
    }
    let answer = clip(&mut office, Value::Int(1000)).unwrap();
    assert_eq!(answer.metrics["norm_bit"], 0.0);
    assert!(bits(&parameters(&answer)) == bits(&free));
    for bad in [Value::Float(0.0), Value::Int(-1), Value::Float(f64::NAN)] {
        assert!(clip(&mut office, bad).unwrap_err().contains("`clipping_norm`"));
    }
    // A strategy's settings for training do not apply to a test.
    let test = office.ask(
        &Kind::Evaluate,
        &with(sent(&experiment, 1, &start), "clipping_norm", Value::Float(0.1)),
    );
    assert!(!test.unwrap().metrics.contains_key("norm_bit"));
}

#[test]
fn fedprox_reaches_the_client() {
    let mut office = Office::new(Policy::default());
    let experiment = office.images.experiment(&["training.local_epochs=2"]);
    let start = client(&office).initial().clone();
    let message = sent(&experiment, 1, &start);
    let mut ask = |mu: Value| office.ask(&Kind::Train, &with(message.clone(), "proximal-mu", mu));
    let moved = |answer: &Message| start.distance(&parameters(answer));
    let off = ask(Value::Float(0.0)).unwrap();
    let near = ask(Value::Int(100)).unwrap();
    assert!(moved(&near) < moved(&off), "{} {}", moved(&near), moved(&off));
    assert!(ask(Value::Float(-1.0)).unwrap_err().contains("`proximal-mu`"));
    // The experiment is the same, and so are the bits.
    assert_eq!(office.ask(&Kind::Train, &message).unwrap(), off);
    let mut client =
        office.desk.site().client(&office.plan(&["training.local_epochs=2"]), &mut Silent).unwrap();
    let mu = with(Message::parameters(Arc::new(start.clone())), "proximal-mu", Value::Int(100));
    assert!(bits(&parameters(&train(&mut client, 0, mu))) == bits(&parameters(&near)));
}

/// A site without images to train on has nothing to average.
#[test]
fn a_site_without_images_answers_with_an_error() {
    let mut office = Office::new(Policy::default());
    let experiment = office.images.experiment(&[]);
    let start = client(&office).initial().clone();
    for split in ["train", "test"] {
        std::fs::remove_dir_all(office.images.path().join("images/alpha").join(split)).unwrap();
        let kept = if split == "train" { "test" } else { "train" };
        if split == "test" {
            let folder = office.images.path().join("images/alpha").join(kept).join("cat");
            std::fs::create_dir_all(&folder).unwrap();
            image::RgbImage::new(40, 36).save(folder.join("0.png")).unwrap();
        }
        office.restart(Policy::default());
        let (kind, other) = match split {
            "train" => (Kind::Train, Kind::Evaluate),
            _ => (Kind::Evaluate, Kind::Train),
        };
        let error = office.ask(&kind, &sent(&experiment, 1, &start)).unwrap_err();
        assert!(error.contains("no image"), "{split}: {error}");
        office.ask(&other, &sent(&experiment, 1, &start)).unwrap();
    }
}

#[test]
fn runs_of_flower_are_kept_apart() {
    let mut office = Office::new(Policy::default());
    let experiment = office.images.experiment(&[]);
    let start = client(&office).initial().clone();
    let message = sent(&experiment, 1, &start);
    let ask = |office: &mut Office, run: &str, round: i64| {
        let message = with(message.clone(), SERVER_ROUND, Value::Int(round));
        office.desk.handle(&Request { run: run.to_owned(), kind: &Kind::Train, message: &message })
    };
    let first = ask(&mut office, "flower-1", 1).unwrap();
    let second = ask(&mut office, "flower-1", 2).unwrap();
    assert_eq!(ask(&mut office, "flower-2", 1).unwrap(), first);
    assert_eq!(ask(&mut office, "flower-2", 2).unwrap(), second);
    assert_eq!(ask(&mut office, "flower-1", 2).unwrap(), second);
    // Another run has other initial parameters.
    assert_ne!(ask(&mut office, "flower-3", 2).unwrap(), second);
    assert!(ask(&mut office, "../flower", 1).is_err());
    assert!(ask(&mut office, "..", 1).unwrap_err().contains("not a valid token"));
    // Rounds that no run has.
    for round in [i64::MAX, 1 << 62, 0] {
        ask(&mut office, "flower-4", round).unwrap();
    }
    assert!(ask(&mut office, "flower-4", -1).unwrap_err().contains(SERVER_ROUND));
    let mut bare = message.clone();
    bare.config.remove(SERVER_ROUND);
    let request = Request { run: "flower-5".to_owned(), kind: &Kind::Train, message: &bare };
    assert_eq!(office.desk.handle(&request).unwrap(), first);
    let own = Kind::Query(PARAMETERS.to_owned());
    let error = office.ask(&own, &message).unwrap_err();
    assert!(error.contains("`query.parameters`"), "{error}");
}

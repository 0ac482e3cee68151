//! Limits set by a site's policy.

use flora_core::ParameterRecord;
use flora_federation::protocol::SERVER_ROUND;
use flora_federation::{Kind, Message, Value};
use flora_tuning::{MethodName, Policy, Silent};

use super::{Office, labelled, parameters, task, text_of};

const TOKEN: &str = "c0ffee";

fn begin(policy: Policy, set: &[&str]) -> (Office, Result<ParameterRecord, String>) {
    let mut office = Office::new(policy);
    let plan = office.plan(set);
    let client = office.desk.site().client(&plan, &mut Silent).unwrap();
    let joined = office.join(TOKEN, &plan).map(|_| client.initial().clone());
    (office, joined)
}

#[test]
fn every_field_is_enforced() {
    let digest = |digest: String| Policy { base_digest: Some(digest), ..Policy::default() };
    let own = digest(Office::new(Policy::default()).plan(&[]).base.weights);
    let methods = |names: &[MethodName]| Policy { methods: names.into(), ..Policy::default() };
    let (flora, fedaa) = (MethodName::Flora, MethodName::FedAa);
    let examples = |min_examples| Policy { min_examples, ..Policy::default() };
    let rounds = |rounds| Policy { max_rounds: Some(rounds), ..Policy::default() };
    let epochs = |epochs| Policy { max_local_epochs: Some(epochs), ..Policy::default() };
    let views = |views| Policy { max_views: Some(views), ..Policy::default() };
    for (policy, field, set) in [
        (digest("0".repeat(64)), "base_digest", &[][..]),
        (own, "", &[]),
        (methods(&[fedaa]), "methods", &[]),
        (methods(&[fedaa, flora]), "", &[]),
        (methods(&[flora]), "methods", &["method.name=fedaa"]),
        (examples(13), "min_examples", &[]),
        (examples(12), "", &[]),
        // Validation images are not trained on.
        (examples(12), "min_examples", &["data.validation=0.25"]),
        (rounds(1), "max_rounds", &[]),
        (rounds(2), "", &[]),
        (epochs(1), "max_local_epochs", &["training.local_epochs=2"]),
        (epochs(2), "", &["training.local_epochs=2"]),
        (Policy::default(), "max_views", &["data.views=11"]),
        (views(11), "", &["data.views=11"]),
        (views(1), "max_views", &["data.views=2"]),
        (views(0), "max_views", &["data.views=1"]),
        (views(0), "", &[]),
    ] {
        let (office, joined) = begin(policy.clone(), set);
        match (field, joined) {
            ("", joined) => drop(joined.unwrap()),
            (field, joined) => {
                let error = joined.unwrap_err();
                let told = format!("policy ({field})");
                assert!(error.contains(&told), "{policy:?}: {error}");
                assert!(!office.runs().exists(), "{policy:?}");
            }
        }
        // Flower's servers are refused the same.
        let (mut office, experiment) = {
            let office = Office::new(policy);
            let experiment = office.images.experiment(set);
            (office, experiment)
        };
        let mut ask = Message::default();
        ask.config.insert("experiment".to_owned(), text_of(&experiment));
        let answer = office.ask(&Kind::Query(flora_tuning::INITIAL.to_owned()), &ask);
        match field {
            "" => drop(answer.unwrap()),
            field => assert!(answer.unwrap_err().contains(&format!("policy ({field})"))),
        }
    }
}

#[test]
fn no_more_rounds_are_trained_than_allowed() {
    let policy = Policy { max_rounds: Some(2), ..Policy::default() };
    let (mut office, start) = begin(policy.clone(), &[]);
    let start = start.unwrap();
    office.train(TOKEN, 1, &start).unwrap();
    for round in [2, 3, 1 << 62, i64::MAX as usize] {
        let error = office.train(TOKEN, round, &start).unwrap_err();
        assert!(error.contains("policy (max_rounds)") && error.contains("of 2"), "{error}");
    }
    // The last evaluation is of the last round's result.
    office.ask(&Kind::Evaluate, &task(TOKEN, 2, &start)).unwrap();

    let experiment = office.images.experiment(&[]);
    let mut message = task(TOKEN, 0, &start);
    message.config.clear();
    message.config.insert("experiment".to_owned(), text_of(&experiment));
    for (round, fits) in [(1, true), (2, true), (3, false), (i64::MAX, false)] {
        message.config.insert(SERVER_ROUND.to_owned(), Value::Int(round));
        let answer = office.ask(&Kind::Train, &message);
        assert_eq!(answer.is_ok(), fits, "{round}");
        assert!(fits || answer.unwrap_err().contains("policy (max_rounds)"));
    }
}

#[test]
fn large_updates_stay() {
    let mut office = Office::new(Policy::default());
    let plan = office.plan(&["output.keep_clients=true"]);
    let client = office.desk.site().client(&plan, &mut Silent).unwrap();
    let start = client.initial().clone();
    office.join(TOKEN, &plan).unwrap();
    let norm = start.distance(&office.train(TOKEN, 0, &start).unwrap());
    assert!(norm > 0.0);
    let own = labelled(TOKEN, 1, 0, Message::default());
    office.ask(&parameters(), &own).unwrap();

    let at_most = |most: f64| Policy { max_update_norm: Some(most), ..Policy::default() };
    office.restart(at_most(norm * 1.01));
    office.train(TOKEN, 0, &start).unwrap();
    office.restart(at_most(norm * 0.99));
    let error = office.train(TOKEN, 0, &start).unwrap_err();
    assert!(error.contains("policy (max_update_norm)"), "{error}");
    // Nor do they leave another way.
    let error = office.ask(&parameters(), &own).unwrap_err();
    assert!(error.contains("policy (max_update_norm)"), "{error}");
    // Measurements leave.
    office.ask(&Kind::Evaluate, &task(TOKEN, 1, &start)).unwrap();
}

/// An update clipped for the server leaves; an unclipped one stays.
#[test]
fn an_update_is_measured_after_it_was_clipped() {
    let mut office = Office::new(Policy::default());
    let experiment = office.images.experiment(&[]);
    let client = office.desk.site().client(&office.plan(&[]), &mut Silent).unwrap();
    let start = client.initial().clone();
    let mut message = task(TOKEN, 0, &start);
    message.config.clear();
    message.config.insert("experiment".to_owned(), text_of(&experiment));
    message.config.insert(SERVER_ROUND.to_owned(), Value::Int(1));
    let answer = office.ask(&Kind::Train, &message).unwrap();
    let norm = start.distance(answer.get_parameters().unwrap());
    office.restart(Policy { max_update_norm: Some(norm / 2.0), ..Policy::default() });
    let error = office.ask(&Kind::Train, &message).unwrap_err();
    assert!(error.contains("policy (max_update_norm)"), "{error}");
    let mut clip = |bound: f64| {
        message.config.insert("clipping_norm".to_owned(), Value::Float(bound));
        office.ask(&Kind::Train, &message)
    };
    clip(norm * 0.49).unwrap();
    assert!(clip(norm * 0.51).unwrap_err().contains("policy (max_update_norm)"));
}

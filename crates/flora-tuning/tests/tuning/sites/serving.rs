//! Served runs, and the answers of their sites.

use super::*;

#[test]
fn a_site_says_what_it_has() {
    let images = Images::new(3, 2);
    let place = &domains(&images)[1];
    let site = open(place, &tiny_clip(), &images.cache());
    let profile = site.profile().unwrap();
    assert_eq!(profile.classes, images.dataset().classes());
    assert_eq!((profile.template.as_str(), profile.images), ("a {}.", 4 * (3 + 2)));
    let experiment = images.experiment(&[]);
    assert_eq!(profile.base, Base::of(&experiment).unwrap());
    let json = serde_json::to_string(&profile).unwrap();
    assert_eq!(serde_json::from_str::<flora_tuning::SiteProfile>(&json).unwrap(), profile);

    let info = |set: &[&str]| {
        let experiment = images.experiment(set);
        let info = site.info(&plan_for(&experiment, &images.dataset(), "me")).unwrap();
        (info.id, info.num_examples, info.num_test_examples)
    };
    assert_eq!(info(&[]), ("me".to_owned(), 12, 8));
    assert_eq!(info(&["data.protocol=merged-80-20"]), ("me".to_owned(), 16, 4));
    // Evaluated on its validation images.
    assert_eq!(info(&["data.validation=0.25"]), ("me".to_owned(), 9, 3));
}

#[test]
fn a_site_is_scored_on_validation_images_where_there_are_some() {
    let images = Images::new(4, 2);
    let experiment = images.experiment(&["data.validation=0.25"]);
    let mut heard = Heard::default();
    let prepared = served(&experiment, &domains(&images), &mut heard);
    assert_eq!(prepared.scored_on(), Split::Validation);
    assert_eq!(prepared.clients()[0].num_test_examples, 4);
    let finished = prepared.run(&mut heard);
    assert_eq!(finished.outcome.unwrap().last_round.num_clients, 3);
}

/// Only the server decides when a run ends: a site's plan does not contain it.
#[test]
fn a_served_run_ends_when_it_gets_no_better() {
    let images = Images::new(4, 2);
    let experiment = images.experiment(&NO_BETTER);
    let plan = plan_for(&experiment, &images.dataset(), "alpha");
    assert!(plan.experiment.contains("validation = 0.25"), "{}", plan.experiment);
    assert!(!plan.experiment.contains("patience"), "{}", plan.experiment);
    let mut heard = Heard::default();
    let outcome = served(&experiment, &domains(&images), &mut heard).run(&mut heard).outcome;
    let outcome = outcome.unwrap();
    assert!(outcome.stopped_early);
    assert_eq!((outcome.last_round.round, outcome.best_round.round), (2, 0));
}

/// The folder of a served run contains numbers of images, and no file names.
#[test]
fn the_server_knows_numbers_of_images_only() {
    let images = Images::new(3, 2);
    let experiment = images.experiment(&[]);
    let prepared = served(&experiment, &domains(&images), &mut Heard::default());
    let json: serde_json::Value = serde_json::from_str(&prepared.partition_json()).unwrap();
    assert_eq!(json["scored_on"], "test");
    let site = serde_json::json!({ "id": "alpha", "num_examples": 12, "num_test_examples": 8 });
    assert_eq!(json["sites"][0], site);
    assert_eq!(json["sites"].as_array().unwrap().len(), 3);
    let provenance = prepared.provenance();
    assert_eq!(provenance.classes, images.dataset().classes());
    assert_eq!((provenance.template.as_str(), provenance.data.fingerprint), ("a {}.", None));
    assert!(prepared.inputs.contains_key("prompts") && !prepared.inputs.contains_key("images"));
    let folder = images.path();
    let error = prepared.client_models(folder, &|_| folder.to_owned(), &Device::flex());
    assert!(error.unwrap_err().to_string().contains("served to sites"));

    let plan = plan_for(&experiment, &images.dataset(), "alpha");
    let own = images.path().display().to_string();
    assert!(!plan.experiment.contains(&own), "{}", plan.experiment);
    let prepared = prepare(experiment.clone(), &Device::flex(), &mut Silent).unwrap();
    let described = prepared.partition.described(&prepared.dataset);
    assert_eq!(prepared.partition_json(), serde_json::to_string_pretty(&described).unwrap());
}

/// Keeps every state in memory.
#[derive(Default)]
struct Keeper(Vec<RunState>);

impl Observer for Keeper {
    fn event(&mut self, _event: &Event) {}

    fn keep(&mut self, state: &RunState) -> Result<(), String> {
        self.0.push(state.clone());
        Ok(())
    }
}

/// The server resumes from any state; its sites keep their own states, and plain gradient descent has none.
#[test]
fn a_served_run_is_resumed_without_a_file_of_states() {
    let images = Images::new(3, 2);
    let places = domains(&images);
    let experiment = images.experiment(&["training.optimizer=sgd", "training.learning_rate=0.1"]);
    let mut keeper = Keeper::default();
    let whole = served(&experiment, &places, &mut Silent).run(&mut keeper).outcome.unwrap();
    assert!(keeper.0.len() > 2);
    for state in keeper.0 {
        let prepared = served(&experiment, &places, &mut Silent);
        let finished = prepared.resume(state, &mut Silent);
        assert!(finished.failure.is_none(), "{}", finished.failure.unwrap());
        let resumed = finished.outcome.unwrap();
        assert!(bits(&resumed.last) == bits(&whole.last));
        assert_eq!(resumed.history, whole.history);
    }
}

/// The models that left the server of a run with central privacy are listed in a file. A resumed run that repeats them
/// lists nothing new; with other results, it does.
#[test]
fn the_releases_of_a_served_run_are_listed() {
    let images = Images::new(3, 2);
    let places = domains(&images);
    let of = |rate: &str| {
        images.experiment(&[
            "training.optimizer=sgd",
            rate,
            "training.rounds=3",
            "federation.privacy={ kind = \"central\", clip = 0.1, noise = 1.0 }",
        ])
    };
    let (plain, other) = (of("training.learning_rate=0.1"), of("training.learning_rate=0.2"));
    let folder = tempfile::tempdir().unwrap();
    let served = |experiment: &Experiment| {
        let prepared = served(experiment, &places, &mut Silent);
        prepared.with_states_in(folder.path().join("clients.bin"))
    };
    let listed = || {
        let text = std::fs::read_to_string(folder.path().join("privacy.releases")).unwrap();
        text.lines().map(str::to_owned).collect::<Vec<_>>()
    };
    let mut keeper = Keeper::default();
    let whole = served(&plain).run(&mut keeper).outcome.unwrap();
    let lines = listed();
    assert_eq!(lines.len(), 3);
    let last = |listener: &Listener| {
        let of = |event: &Event| match event {
            Event::Aggregated { metrics, .. } => metrics.get(EPSILON).copied(),
            _ => None,
        };
        listener.events.iter().filter_map(of).next_back().unwrap()
    };
    for state in &keeper.0[..3] {
        let mut listener = Listener::default();
        let resumed = served(&plain).resume(state.clone(), &mut listener).outcome.unwrap();
        assert!(bits(&resumed.last) == bits(&whole.last));
        assert_eq!(listed(), lines);
    }
    // The clients reply something else after round 1: two more models leave.
    let mut listener = Listener::default();
    let finished = served(&other).resume(keeper.0[2].clone(), &mut listener);
    assert!(finished.failure.is_none());
    assert_eq!(listed().len(), 5);
    let mechanism = Mechanism { rounds: 5, ..Mechanism::default() };
    assert_eq!(last(&listener), Accountant::Pld.epsilon(&mechanism, 1e-5).unwrap());
    std::fs::remove_file(folder.path().join("privacy.releases")).unwrap();
    let failure = served(&plain).resume(keeper.0[2].clone(), &mut Silent).failure.unwrap();
    assert!(failure.to_string().contains("counts what the run has spent"), "{failure}");
    // A new run begins a new list.
    served(&plain).run(&mut Silent);
    assert_eq!(listed().len(), 3);
}

/// A site's state survives a restart, and its bytes equal those of the simulation's client.
#[test]
fn a_site_goes_on_from_its_state() {
    let images = Images::new(3, 2);
    let experiment = images.experiment(&["federation.upload=bf16"]);
    let place = &domains(&images)[0];
    let site = open(place, &tiny_clip(), &images.cache());
    let plan = plan_for(&experiment, &images.dataset(), &place.name);
    let client = || site.client(&plan, &mut Silent).unwrap();
    let mut whole = client();
    let start = whole.initial().clone();
    let first = fit(&mut whole, 0, &start);
    let state = whole.save().unwrap().unwrap();
    let second = fit(&mut whole, 1, &first);
    let mut again = client();
    again.restore(Some(&state)).unwrap();
    assert!(bits(&fit(&mut again, 1, &first)) == bits(&second));
    assert!(bits(&fit(&mut client(), 1, &first)) != bits(&second));
    again.restore(None).unwrap();
    assert!(bits(&fit(&mut again, 0, &start)) == bits(&first));
    assert!(again.restore(Some(&state[..9])).is_err());
    assert!(!again.needs_state(&Kind::Evaluate) && again.needs_state(&Kind::Train));
}

#[test]
fn what_a_site_cannot_do_is_told() {
    let images = Images::new(2, 1);
    let place = &domains(&images)[0];
    let site = open(place, &tiny_clip(), &images.cache());
    let good = plan_for(&images.experiment(&[]), &images.dataset(), "a");
    site.info(&good).unwrap();
    let refused = |change: &dyn Fn(&mut Plan)| {
        let mut plan = good.clone();
        change(&mut plan);
        let error = site.info(&plan).unwrap_err().to_string();
        assert_eq!(site.client(&plan, &mut Listener::default()).err().unwrap().to_string(), error);
        error
    };
    let with = |old: &str, new: &str| {
        assert!(good.experiment.contains(old), "{old}");
        refused(&|plan| plan.experiment = plan.experiment.replace(old, new))
    };
    for (old, new, told) in [
        ("rounds = 2", "ronds = 2", "ronds"),
        ("rounds = 2", "rounds = -2", "rounds"),
        ("kind = \"natural\"", "kind = \"iid\"\nclients = 3", "partition: "),
        ("[data]", "[data.limit]\ntrain = 3\n[data]", "data.limit"),
        ("[model]", "[model]\nrandom_weights = true", "model.random_weights"),
        ("participants = \"all\"", "participants = \"central\"", "federation.participants"),
        ("participants = \"all\"", "participants = [\"alpha\"]", "federation.participants"),
        ("[method]", "[faults]\nfail = 0.5\n[method]", "faults"),
        ("[method]", "[method]\ninit_adapter = \"/etc\"", "method.init_adapter"),
    ] {
        let error = with(old, new);
        assert!(error.starts_with("the server's plan: ") && error.contains(told), "{error}");
    }
    let error = refused(&|plan| plan.base.weights = "00".to_owned());
    assert!(error.contains("the weights 00"), "{error}");
    let error = refused(&|plan| plan.base.settings = "00".to_owned());
    assert!(error.contains("another configuration"), "{error}");
    let error = refused(&|plan| plan.client.clear());
    assert!(error.contains("no name"), "{error}");
    let error = refused(&|plan| plan.classes.retain(|class| class != "house"));
    assert!(error.contains("house") && error.contains("\"house\", which is not one of"), "{error}");
    let error = refused(&|plan| plan.classes.push("cat".to_owned()));
    assert!(error.contains("\"cat\" twice"), "{error}");
    let mut plan = good.clone();
    plan.template = "a picture".to_owned();
    let error = site.client(&plan, &mut Silent).err().unwrap().to_string();
    assert!(error.contains("`{}`"), "{error}");
    let json = serde_json::to_string(&good).unwrap();
    assert_eq!(serde_json::from_str::<Plan>(&json).unwrap(), good);
    let unknown = json.replacen('{', "{\"more\": 1, ", 1);
    assert!(serde_json::from_str::<Plan>(&unknown).is_err());
}

#[test]
fn what_cannot_be_served_is_told() {
    let images = Images::new(2, 1);
    let dataset = images.dataset();
    let base = Base { weights: "00".to_owned(), settings: "01".to_owned() };
    let planned = |set: &[&str]| {
        let classes = dataset.classes().to_vec();
        let plan = plan(&images.experiment(set), classes, "a {}.".into(), base.clone(), "a".into());
        plan.err().unwrap().to_string()
    };
    let error = planned(&["partition={ kind = 'iid', clients = 2 }"]);
    assert!(error.starts_with("noise: partition: "), "{error}");
    let error = planned(&["federation.participants=alone", "method.init_adapter=x"]);
    assert!(error.contains("including the adapter in method.init_adapter"), "{error}");
    let error = planned(&["federation.strategy=ffa", "method.init_adapter=x"]);
    assert!(error.contains("federation.strategy: with ffa A is not sent"), "{error}");
    let error = planned(&["method.init_adapter=/not/there"]);
    assert!(error.contains("method.init_adapter") && error.contains("/not/there"), "{error}");
    let error = planned(&["output.save_every=32"]);
    assert!(error.contains("output.save_every: ") && error.contains("at most 31"), "{error}");
    let error = planned(&["federation.retries=101"]);
    assert!(error.contains("federation.retries: ") && error.contains("at most 100"), "{error}");

    let served = |set: &[&str], sites: &[(&str, usize, usize)]| {
        let info = |&(id, num_examples, num_test_examples): &(&str, usize, usize)| {
            flora_federation::ClientInfo { id: id.to_owned(), num_examples, num_test_examples }
        };
        let infos = sites.iter().map(info).collect();
        let site = open(&domains(&images)[0], &tiny_clip(), &images.cache());
        let plan = plan_for(&images.experiment(&[]), &dataset, "a");
        let client: Box<dyn Client> = Box::new(site.client(&plan, &mut Silent).unwrap());
        let fleet = Box::new(Simulation::new(vec![client], 1).unwrap());
        let classes = dataset.classes().to_vec();
        let (experiment, device) = (images.experiment(set), Device::flex());
        let prepared = prepare_serving(
            experiment,
            classes,
            "a {}.".into(),
            infos,
            fleet,
            &device,
            &mut Silent,
        );
        prepared.err().unwrap().to_string()
    };
    let two = [("a", 2, 1), ("b", 2, 1)];
    for (set, sites, told) in [
        (&[][..], &[][..], "no site takes part"),
        (&[], &[("a", 2, 1), ("a", 2, 1)], "a"),
        (&[], &[("a", 2, 0)], "no site has a test image"),
        (&["data.validation=0.2"], &[("a", 2, 0)], "no site has a validation image"),
        (&["federation.min_clients=3"], &two, "federation.min_clients: 3"),
        (&["federation.quorum=3"], &two, "federation.quorum: 3"),
        (&["training.class_weights=balanced"], &two, "training.class_weights"),
        (&["method.softmax=restricted"], &two, "method.softmax"),
        (&["faults.fail=0.5"], &two, "faults"),
        (&["data.limit.train=5"], &two, "data.limit"),
    ] {
        let error = served(set, sites);
        assert!(error.contains(told), "{error}");
    }
}

//! Sites with their own images give the bits of the simulation that has all of them.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use burn::tensor::{Device, Tensor, TensorData};
use flora_clip::{Checkpoint, Clip, ClipConfig};
use flora_core::ParameterRecord;
use flora_core::workers::Workers;
use flora_data::{Dataset, Limit, Split};
use flora_federation::{Client, Event, Kind, RunState, Simulation};
use flora_inference::checkpoint_features;
use flora_privacy::{Accountant, EPSILON, Mechanism};
use flora_tuning::{
    Base, Experiment, Finished, Observer, Plan, Prepared, Silent, Site, SiteConfig, plan, prepare,
    prepare_serving,
};

use crate::common::{Images, Listener, bits, fit, single_threaded, tiny_clip};
use crate::methods::{TRAINED, named};
use crate::resume::{NO_BETTER, untimed};

/// All events of a run, and the contents of every state.
#[derive(Default)]
pub(crate) struct Heard {
    events: Vec<Event>,
    globals: Vec<Arc<ParameterRecord>>,
}

impl Observer for Heard {
    fn event(&mut self, event: &Event) {
        // The images of a served run are read by others.
        let is_of_images = matches!(event, Event::PhaseFinished { .. } | Event::Warning { .. });
        if !is_of_images {
            self.events.push(untimed(event.clone()));
        }
    }

    fn keep(&mut self, state: &RunState) -> Result<(), String> {
        self.globals.push(Arc::new(state.global().clone()));
        Ok(())
    }
}

/// The location of a client's images.
pub(crate) struct Place {
    pub(crate) name: String,
    data: PathBuf,
    domain: Option<String>,
}

pub(crate) fn open(place: &Place, model: &Path, cache: &Path) -> Site {
    Site::open(SiteConfig {
        data: place.data.clone(),
        root: None,
        domain: place.domain.clone(),
        model: model.display().to_string(),
        cache: Some(cache.join(&place.name)),
        device: Device::flex(),
        threads: 2,
    })
    .unwrap()
}

/// The common plan of all sites: the experiment's classes and prompt, and the weights.
pub(crate) fn plan_for(experiment: &Experiment, dataset: &Dataset, client: &str) -> Plan {
    let template = experiment.data.template.as_deref().unwrap_or(dataset.template().as_str());
    let base = Base::of(experiment).unwrap();
    plan(experiment, dataset.classes().to_vec(), template.to_owned(), base, client.to_owned())
        .unwrap()
}

/// The server's part of the experiment, with a client of each place as its fleet.
fn served(experiment: &Experiment, places: &[Place], heard: &mut dyn Observer) -> Prepared {
    let model = PathBuf::from(&experiment.model.path);
    let caches = tempfile::tempdir().unwrap();
    let dataset = Dataset::open(&flora_hub::find(&experiment.data.path).unwrap(), None).unwrap();
    let (mut clients, mut infos) = (Vec::new(), Vec::new());
    let mut agreed = None;
    for place in places {
        let site = open(place, &model, caches.path());
        let plan = plan_for(experiment, &dataset, &place.name);
        let client = site.client(&plan, &mut Silent).unwrap();
        assert_eq!(site.info(&plan).unwrap(), client.info());
        infos.push(client.info());
        clients.push(Box::new(client) as Box<dyn Client>);
        agreed = Some((plan.classes, plan.template));
    }
    let (classes, template) = agreed.unwrap();
    let fleet = Box::new(Simulation::new(clients, 2).unwrap());
    let experiment = experiment.clone();
    prepare_serving(experiment, classes, template, infos, fleet, &Device::flex(), heard).unwrap()
}

fn assert_same_bits(experiment: &Experiment, places: &[Place], what: &str) {
    assert_same_run(experiment, &|heard| served(experiment, places, heard), what);
}

/// Asserts that `served` runs as the simulation does.
pub(crate) fn assert_same_run(
    experiment: &Experiment,
    served: &dyn Fn(&mut Heard) -> Prepared,
    what: &str,
) {
    let run = |prepare: &dyn Fn(&mut Heard) -> Prepared| {
        let mut heard = Heard::default();
        let prepared = prepare(&mut heard);
        let initial = bits(prepared.initial());
        let Finished { outcome, failure, .. } = prepared.run(&mut heard);
        assert!(failure.is_none(), "{what}: {}", failure.unwrap());
        (initial, outcome.unwrap(), heard)
    };
    let (initial, together, expected) =
        run(&|heard| prepare(experiment.clone(), &Device::flex(), heard).unwrap());
    let (started, apart, heard) = run(served);
    assert!(started == initial, "{what}: another beginning");
    assert_eq!(heard.events, expected.events, "{what}");
    assert_eq!(heard.globals.len(), expected.globals.len(), "{what}");
    for (round, (apart, together)) in heard.globals.iter().zip(&expected.globals).enumerate() {
        assert!(bits(apart) == bits(together), "{what}: state {round}");
    }
    assert!(bits(&apart.last) == bits(&together.last), "{what}");
    assert!(bits(&apart.best) == bits(&together.best), "{what}");
    assert_eq!(apart.history, together.history, "{what}");
    let moved = expected.globals.windows(2).filter(|two| two[0] != two[1]).count();
    let trains = experiment.federation.share().is_all();
    assert!(!trains || moved >= experiment.rounds(), "{what}: the rounds change nothing");
}

/// One place for each domain of the images.
pub(crate) fn domains(images: &Images) -> Vec<Place> {
    let place = |name: &str| Place {
        name: name.to_owned(),
        data: images.path().to_owned(),
        domain: Some(name.to_owned()),
    };
    images.dataset().domains().iter().map(|name| place(name)).collect()
}

#[test]
fn every_method_trains_the_same_at_sites() {
    let images = Images::new(3, 2);
    for method in TRAINED {
        let experiment = images.experiment(&[&named(method)]);
        assert_same_bits(&experiment, &domains(&images), method);
    }
}

#[test]
fn every_setting_reaches_the_sites() {
    let images = Images::new(3, 2);
    for set in [
        &["method.lora.towers=both", "method.lora.lora_dropout=0.2"][..],
        &["method.implementation=naive", "training.rounds=1"],
        &["method.loss=class-ce", "training.class_weights=balanced"],
        &["method.loss=class-ce", "training.class_weights={ cat = 3.0 }"],
        &["method.loss=class-ce", "method.softmax=balanced"],
        &["federation.participants=alone"],
        &["federation.upload=f16"],
        &["federation.upload=top-k", "federation.download=int8"],
        &["federation.upload=eden", "training.rounds=3"],
        &["federation.evaluate_local=false", "training.schedule=cosine"],
        &["data.cache_dtype=f16", "data.template=an odd picture of {}"],
        &["federation.fraction=0.5", "seed=7"],
        &["method.name=zero-shot"],
    ] {
        assert_same_bits(&images.experiment(set), &domains(&images), &set.join(", "));
    }
}

#[test]
fn what_a_strategy_asks_of_clients_reaches_the_sites() {
    let images = Images::new(2, 1);
    let places = domains(&images);
    for strategy in [
        "ffa",
        "rolora",
        "fedsvd",
        "{ kind = \"fedprox\", proximal_mu = 1.0 }",
        "{ kind = \"fedavgm\", server_momentum = 0.9, rule = \"median\" }",
        "scaffold",
        "fedsa",
        "fed-sb",
        "{ kind = \"fed-sb\", bases = \"random\" }",
        "fedex",
        "{ kind = \"stacking\", ranks = [2, 1, 2] }",
        "{ kind = \"flexlora\", ranks = [2, 1, 2] }",
    ] {
        let set = format!("federation.strategy={strategy}");
        let sgd = if strategy == "scaffold" { "training.optimizer=sgd" } else { "seed=0" };
        let experiment = images.experiment(&[&set, "training.rounds=3", sgd]);
        assert_same_bits(&experiment, &places, strategy);
    }
}

#[test]
fn an_adapter_to_start_from_reaches_the_sites() {
    let images = Images::new(3, 2);
    let folder = tempfile::tempdir().unwrap();
    let experiment = images.experiment(&["method.lora.r=3"]);
    let trained = crate::common::outcome(experiment.clone()).last;
    crate::common::save(&experiment, &trained, folder.path()).unwrap();
    let from = format!("method.init_adapter={}", folder.path().display());
    let experiment = images.experiment(&[&from]);
    assert_same_bits(&experiment, &domains(&images), "init_adapter");
    let plan = plan_for(&experiment, &images.dataset(), "alpha");
    assert!(!plan.experiment.contains("init_adapter") && plan.experiment.contains("r = 3"));
}

/// Copies one domain of `from` into the folder `to`, with its own description.
fn move_out(from: &Path, domain: &str, to: &Path, template: &str, classes: &[(String, String)]) {
    let mut text = format!(
        "name = 'site'\ntemplate = '{template}'\n[layout]\nkind = 'image-folder'\npattern = '{{split}}/{{class}}'\n"
    );
    for (folder, name) in classes {
        let mut held = false;
        for split in ["train", "test"] {
            let images = from.join(domain).join(split).join(folder);
            let Ok(entries) = std::fs::read_dir(&images) else { continue };
            let copy = to.join(split).join(folder);
            std::fs::create_dir_all(&copy).unwrap();
            for entry in entries {
                let entry = entry.unwrap();
                std::fs::copy(entry.path(), copy.join(entry.file_name())).unwrap();
                held = true;
            }
        }
        if held {
            text += &format!("[[classes]]\nfolder = '{folder}'\nname = '{name}'\n");
        }
    }
    std::fs::write(to.join("dataset.toml"), text).unwrap();
}

/// Each site has its own folder and lists the classes in another order, and one lacks a class.
#[test]
fn folders_of_their_own_train_the_same() {
    let images = Images::new(3, 2);
    for split in ["train", "test"] {
        let house = images.path().join("images/beta").join(split).join("house");
        std::fs::remove_dir_all(house).unwrap();
    }
    let mut classes: Vec<(String, String)> =
        images.dataset().classes().iter().map(|it| (it.clone(), it.clone())).collect();
    let own = tempfile::tempdir().unwrap();
    let mut places = Vec::new();
    for name in ["alpha", "beta", "gamma"] {
        classes.rotate_left(1);
        let data = own.path().join(name);
        std::fs::create_dir(&data).unwrap();
        move_out(&images.path().join("images"), name, &data, "a {}.", &classes);
        places.push(Place { name: name.to_owned(), data, domain: None });
    }
    let beta = open(&places[1], &tiny_clip(), own.path()).profile().unwrap();
    assert_eq!((beta.classes.len(), beta.images), (3, 15));
    assert_same_bits(&images.experiment(&[]), &places, "own folders");
    let weighted = ["method.loss=class-ce", "training.class_weights=balanced"];
    assert_same_bits(&images.experiment(&weighted), &places, "own folders, weights");
    for softmax in ["method.softmax=balanced", "method.softmax=restricted"] {
        let experiment = images.experiment(&["method.loss=class-ce", softmax]);
        assert_same_bits(&experiment, &places, &format!("own folders, {softmax}"));
    }
}

fn emoji_vendors() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../datasets/emoji-vendors")
}

/// The data set and the model included in flora, in one folder and in four.
#[test]
fn four_vendors_train_the_same_at_their_sites() {
    let cache = tempfile::tempdir().unwrap();
    let set = ["training.rounds=2".to_owned(), format!("data.cache={}", cache.path().display())];
    let mut experiment = Experiment::find("quickstart", &set).unwrap();
    let model = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../models/clip-nano");
    experiment.model.path = model.display().to_string();
    let description = emoji_vendors().join("emoji-vendors.toml");
    let dataset = Dataset::open(&description, None).unwrap();
    let here = |name: &String| Place {
        name: name.clone(),
        data: description.clone(),
        domain: Some(name.clone()),
    };
    let places: Vec<_> = dataset.domains().iter().map(here).collect();
    assert_eq!(places.len(), 4);
    assert_same_bits(&experiment, &places, "domains");

    let text = std::fs::read_to_string(&description).unwrap();
    let table: toml::Table = text.parse().unwrap();
    let field = |entry: &toml::Value, key: &str| entry[key].as_str().unwrap().to_owned();
    let classes: Vec<_> = table["classes"]
        .as_array()
        .unwrap()
        .iter()
        .map(|it| (field(it, "folder"), field(it, "name")))
        .collect();
    let own = tempfile::tempdir().unwrap();
    let template = dataset.template().as_str();
    let moved = |place: &Place| {
        let data = own.path().join(&place.name);
        std::fs::create_dir(&data).unwrap();
        move_out(&emoji_vendors().join("images"), &place.name, &data, template, &classes);
        Place { name: place.name.clone(), data, domain: None }
    };
    let places: Vec<_> = places.iter().map(moved).collect();
    assert_same_bits(&experiment, &places, "folders");
}

/// An image has the same features whatever other images there are.
#[test]
fn features_do_not_depend_on_the_other_images() {
    let device = Device::flex();
    let workers = Workers::new(2).unwrap();
    let model = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../models/clip-nano");
    let whole = Dataset::open(&emoji_vendors().join("emoji-vendors.toml"), None).unwrap();
    // Enough batches, and a last one of another size.
    let parts: Vec<_> = whole
        .domains()
        .iter()
        .map(|name| whole.clone().with_domain(name).unwrap().only(Split::Test))
        .collect();
    for path in [tiny_clip(), model] {
        let checkpoint = Checkpoint::open(&path).unwrap();
        let features = |dataset: &Dataset| {
            let load = || checkpoint.load(&device);
            let quiet = &mut |_| {};
            checkpoint_features(&checkpoint, load, &device, dataset, None, &workers, quiet).unwrap()
        };
        let together = whole.clone().only(Split::Test);
        let rows = features(&together);
        let name = |dataset: &Dataset, i: usize| dataset.describe(i);
        let row = |rows: &flora_data::FeatureRows, i: usize| -> Vec<u32> {
            rows.gather(&[i]).unwrap().into_iter().map(f32::to_bits).collect()
        };
        let by_name: BTreeMap<_, _> =
            (0..together.len()).map(|i| (name(&together, i), row(&rows, i))).collect();
        for part in &parts {
            let rows = features(part);
            // One image more than a whole batch.
            let some = Limit { train: None, test: Some(33) };
            let fewer = part.clone().limit(some, 0);
            let last = features(&fewer);
            assert!(by_name[&name(&fewer, 32)] == row(&last, 32), "{}", name(&fewer, 32));
            for i in 0..part.len() {
                assert!(by_name[&name(part, i)] == row(&rows, i), "{}", name(part, i));
            }
        }
    }
}

/// The possible sizes of a last batch. A single image goes through the tower twice, because a product with a single row
/// uses another kernel.
#[test]
fn a_batch_of_any_size_has_the_features_of_a_whole_one() {
    let model = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../models/clip-nano");
    let whole = Dataset::open(&emoji_vendors().join("emoji-vendors.toml"), None).unwrap();
    let pictures: Vec<_> = (0..32).map(|i| whole.image(i * 100).unwrap()).collect();
    for path in [tiny_clip(), model] {
        let checkpoint = Checkpoint::open(&path).unwrap();
        let clip = checkpoint.load(&Device::flex()).unwrap();
        let batch = checkpoint.preprocessor.batch(&pictures, &Device::flex()).unwrap();
        assert_eq!(other_sizes(&clip, batch, 2..32), [], "{}", path.display());
    }
}

#[test]
#[ignore = "a model of full size takes half a minute"]
fn a_batch_of_a_full_sized_model_has_the_features_of_a_whole_one() {
    let config = ClipConfig::vit_base_patch32();
    let clip = Clip::random(&config, 1, &Device::flex());
    let size = config.vision_config.image_size;
    let values = (0..32 * 3 * size * size).map(|i| (i as f32 * 0.7).sin()).collect();
    let data = TensorData::new(values, [32, 3, size, size]);
    let batch = Tensor::from_data(data, &Device::flex());
    assert_eq!(other_sizes(&clip, batch, [2, 3, 5, 8, 19, 31]), []);
}

/// The first and last images of a batch whose features differ without the rest of the batch: how many they are, and
/// where they begin.
fn other_sizes(
    clip: &Clip,
    batch: Tensor<4>,
    sizes: impl IntoIterator<Item = usize>,
) -> Vec<(usize, usize)> {
    let features = |start: usize, size: usize| -> Vec<u32> {
        let part = batch.clone().narrow(0, start, size);
        let values = single_threaded(|| clip.image_features(part.clone()).into_data());
        values.try_into_vec::<f32>().unwrap().into_iter().map(f32::to_bits).collect()
    };
    let whole = features(0, 32);
    let width = whole.len() / 32;
    let mut others = Vec::new();
    for size in sizes {
        for start in [0, 32 - size] {
            let expected = &whole[start * width..(start + size) * width];
            others.extend((features(start, size)[..] != *expected).then_some((size, start)));
        }
    }
    others
}

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
    // The clients answer something else after round 1: two more models leave.
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

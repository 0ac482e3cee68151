//! Sites with their own images give the bits of the simulation that has all of them.

mod features;
mod serving;

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

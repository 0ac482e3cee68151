//! Training continues from an adapter saved by an earlier run, or by anyone.

use std::path::Path;

use burn::tensor::Device;
use flora_core::ParameterRecord;
use flora_federation::Outcome;
use flora_lora::{LoraConfig, load_peft, save_peft};
use flora_tuning::prepare;

use crate::common::{Images, Listener, bits, outcome, refusal, run, save};

/// A run whose adapter is saved into `folder`.
fn saved(images: &Images, set: &[&str], folder: &Path) -> Outcome {
    let experiment = images.experiment(set);
    let outcome = outcome(experiment.clone());
    save(&experiment, &outcome.last, folder).unwrap();
    outcome
}

fn from(folder: &Path) -> String {
    format!("method.init_adapter={}", folder.display())
}

#[test]
fn a_run_starts_where_an_earlier_one_ended() {
    let images = Images::new(3, 4);
    for towers in ["text", "vision", "both"] {
        let towers = format!("method.lora.towers={towers}");
        let folder = tempfile::tempdir().unwrap();
        let earlier = saved(&images, &[&towers, "training.rounds=3"], folder.path());
        assert_ne!(earlier.last_round.loss, earlier.initial.loss);
        // The run's folder works as well as that of its adapter. The experiment's own adapter settings have no effect.
        for folder in [folder.path().to_owned(), folder.path().join("adapter")] {
            let (finished, listener) = run(images.experiment(&[&from(&folder)]));
            let later = finished.outcome.unwrap();
            let scores = |outcome: &Outcome, round: usize| {
                let score = outcome.history[round];
                (score.accuracy, score.accuracy_weighted, score.loss, score.num_clients)
            };
            assert_eq!(scores(&later, 0), scores(&earlier, 3), "{towers}");
            assert!(later.last_round.loss != later.initial.loss, "it trains on");
            assert_eq!(listener.warnings(), [""; 0]);
        }
        let unchanged = outcome(images.experiment(&[&from(folder.path()), "training.rounds=0"]));
        assert_eq!(sorted(&unchanged.last), sorted(&earlier.last), "{towers}");
    }
}

/// A file has the tensors in its own order.
fn sorted(record: &ParameterRecord) -> Vec<(String, Vec<u32>)> {
    let mut tensors = bits(record);
    tensors.sort();
    tensors
}

#[test]
fn an_adapter_brings_its_configuration() {
    let images = Images::new(2, 2);
    let folder = tempfile::tempdir().unwrap();
    let set = [
        "method.lora.r=5",
        "method.lora.lora_alpha=10",
        "method.lora.target_modules=[\"q_proj\", \"fc1\"]",
        "training.rounds=1",
    ];
    let earlier = saved(&images, &set, folder.path());
    let mut listener = Listener::default();
    let experiment = images.experiment(&[&from(folder.path()), "method.lora.r=2"]);
    let prepared = prepare(experiment, &Device::flex(), &mut listener).unwrap();
    let lora = prepared.experiment.method.lora.clone();
    assert_eq!((lora.r, lora.scale()), (5, images.experiment(&set).method.lora.scale()));
    assert_eq!(prepared.trainable_parameters, earlier.last.num_parameters());

    // It is saved with the same configuration.
    let experiment = prepared.experiment.clone();
    let later = prepared.run(&mut listener).outcome.unwrap();
    assert_eq!(later.initial.loss, earlier.last_round.loss);
    let again = tempfile::tempdir().unwrap();
    save(&experiment, &later.last, again.path()).unwrap();
    let adapter = load_peft(&again.path().join("adapter")).unwrap();
    assert_eq!((adapter.config.r, adapter.config.scale()), (lora.r, lora.scale()));
    assert_eq!(sorted(&adapter.record), sorted(&later.last));
}

#[test]
fn adapters_of_peft_are_started_from_or_refused() {
    let images = Images::new(2, 2);
    let peft = Path::new(env!("CARGO_MANIFEST_DIR")).join("../flora-clip/tests/fixtures/peft");
    for name in ["text-model", "layers"] {
        let folder = peft.join(name);
        let adapter = load_peft(&folder).unwrap();
        let unchanged = outcome(images.experiment(&[&from(&folder), "training.rounds=0"]));
        assert_eq!(sorted(&unchanged.last), sorted(&adapter.record), "{name}");
        let later = outcome(images.experiment(&[&from(&folder), "training.rounds=1"]));
        assert_ne!(sorted(&later.last), sorted(&adapter.record), "{name} trains on");
    }
    for (name, problem) in [
        ("dora", "more parameters than A and B"),
        ("lora-bias", "more parameters than A and B"),
        ("whole", "flora export --merged"),
        ("bias-lora-only", "more parameters than A and B"),
        ("text-model-unnamed", "\"auto_mapping\""),
    ] {
        let message = refusal(images.experiment(&[&from(&peft.join(name))]));
        let told = message.contains("method.init_adapter") && message.contains(problem);
        assert!(told && message.contains(name), "{name}: {message}");
    }
}

#[test]
fn a_folder_that_holds_no_adapter_is_named() {
    let images = Images::new(1, 1);
    let empty = tempfile::tempdir().unwrap();
    for folder in [empty.path(), &empty.path().join("nowhere"), &images.path().join("dataset.toml")]
    {
        let message = refusal(images.experiment(&[&from(folder)]));
        assert!(message.contains("method.init_adapter"), "{message}");
        assert!(message.contains(folder.to_str().unwrap()), "{message}");
    }
    let error = images.try_experiment(&[&from(empty.path()), "method.name=fedlc"]).unwrap_err();
    assert!(error.contains("method.init_adapter") && error.contains("fedlc"), "{error}");
}

#[test]
fn an_adapter_that_does_not_fit_the_model_is_refused() {
    let images = Images::new(1, 1);
    let folder = tempfile::tempdir().unwrap();
    let trained = saved(&images, &["training.rounds=1"], folder.path());
    let adapter = folder.path().join("adapter");
    // The training recorded in a folder below is not flora's.
    std::fs::remove_file(adapter.join("flora.json")).unwrap();
    let lora = load_peft(&adapter).unwrap().config;
    let refused = |record: &ParameterRecord, lora: &LoraConfig| {
        save_peft(&adapter, record, lora, "tiny-clip").unwrap();
        let message = refusal(images.experiment(&[&from(folder.path())]));
        assert!(message.contains("method.init_adapter"), "{message}");
        message
    };
    // Of a model with fewer layers.
    let fewer = trained.last.filter(|name| !name.contains("layers.2."));
    let message = refused(&fewer, &lora);
    assert!(message.contains("layers.2.self_attn.out_proj"), "{message}");
    // Of a model with other layers.
    let mut others = ParameterRecord::new();
    for (name, tensor) in trained.last.iter() {
        others.insert(name.replace("out_proj", "c_proj"), tensor.clone()).unwrap();
    }
    let elsewhere = LoraConfig { target_modules: ["c_proj"].into(), ..lora.clone() };
    let message = refused(&others, &elsewhere);
    assert!(message.contains("c_proj"), "{message}");
    // Of a wider model.
    let mut wider = ParameterRecord::new();
    for (name, tensor) in trained.last.iter() {
        let shape: Vec<usize> =
            tensor.shape().iter().map(|&dim| if dim == 24 { 48 } else { dim }).collect();
        let values = [tensor.to_f32(), tensor.to_f32()].concat();
        wider.insert(name, flora_core::HostTensor::from_f32(shape, values).unwrap()).unwrap();
    }
    let message = refused(&wider, &lora);
    assert!(message.contains("48") && message.contains("24"), "{message}");
}

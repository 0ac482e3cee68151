//! Every method: its trained parameters, its initial values, and that it learns.

use burn::module::Module;
use burn::tensor::Device;
use flora_clip::{Clip, ClipConfig, ClipTokenizer};
use flora_core::ParameterRecord;
use flora_data::Template;
use flora_federation::{EvaluatedModel, Event};
use flora_lora::LoraConfig;
use flora_tuning::methods::{
    FedAa, FedFft, FedLc, FedPrompt, FedVmLc, Flora, Method, PromptConfig, Start, ZeroShot,
};
use flora_tuning::{TuningModel, prepare};

use crate::common::{Images, Listener, bits, outcome, refusal, run, save};

pub(crate) const TRAINED: [&str; 8] =
    ["flora", "fedfft", "fedlc", "fedvm-lc", "fedaa", "fedprompt", "ridge", "lda"];

/// Methods that take optimizer steps; the others have one round, whatever the experiment asks for.
pub(crate) const STEPPING: [&str; 6] =
    ["flora", "fedfft", "fedlc", "fedvm-lc", "fedaa", "fedprompt"];

pub(crate) fn named(name: &str) -> String {
    format!("method.name={name}")
}

/// The numbers of parameters in the FLoRA paper and of the methods that it compares with, on OpenAI's ViT-B/32.
#[test]
fn as_many_numbers_are_trained_as_the_papers_say() {
    let config = ClipConfig::vit_base_patch32();
    let device = Device::flex().autodiff();
    let clip = Clip::random(&config, 0, &device);
    let tokenizer = ClipTokenizer::openai(&config.text_config).unwrap();
    let template = Template::new(Template::PHOTO).unwrap();
    let classes: Vec<String> = (0..10).map(|class| format!("thing {class}")).collect();
    let vision = 87_849_216;
    let methods: [(Box<dyn Method>, usize); 8] = [
        (Box::new(Flora(LoraConfig::default())), 24_576),
        (Box::new(FedFft), 151_277_312),
        (Box::new(FedLc), 512 * 10 + 10),
        (Box::new(FedVmLc), vision + 512 * 10 + 10),
        (Box::new(FedAa), 525_312),
        (Box::new(FedPrompt(PromptConfig { length: 16 })), 16 * 512),
        // "a photo of a"
        (Box::new(FedPrompt(PromptConfig::default())), 4 * 512),
        (Box::new(ZeroShot), 0),
    ];
    let base = TuningModel::new(clip, true).no_grad();
    for (method, expected) in methods {
        let prompts = method.prompts(&tokenizer, &config.text_config, &template, &classes).unwrap();
        let start = Start::new(0, &device, &base, &prompts);
        let model = method.attach(base.clone(), &start).unwrap();
        assert_eq!(method.trainable().count(&model), expected, "{method:?}");
        if expected < 1_000_000 {
            let record = method.trainable().record(&model).unwrap();
            assert_eq!(record.num_parameters(), expected, "{method:?}");
            assert_eq!(record.byte_len(), 4 * expected, "{method:?}");
        }
    }
}

#[test]
fn what_is_trained_changes_and_is_saved() {
    let images = Images::new(3, 2);
    for name in STEPPING {
        let experiment = images.experiment(&[&named(name), "training.rounds=3"]);
        let mut listener = Listener::default();
        let prepared = prepare(experiment.clone(), &Device::flex(), &mut listener).unwrap();
        let trainable = prepared.trainable_parameters;
        let finished = prepared.run(&mut listener);
        assert!(listener.warnings().is_empty(), "{name}: {:?}", listener.warnings());
        let outcome = finished.outcome.unwrap();
        assert_eq!(outcome.last.num_parameters(), trainable, "{name}");
        let losses = listener.losses();
        assert!(losses[2] < losses[0], "{name}: {losses:?}");
        let start = crate::common::outcome(images.experiment(&[&named(name), "training.rounds=0"]));
        assert_eq!(
            start.last.names().collect::<Vec<_>>(),
            outcome.last.names().collect::<Vec<_>>()
        );
        for ((part, after), (_, before)) in outcome.last.iter().zip(start.last.iter()) {
            assert_ne!(after, before, "{name}: {part} stayed as it was");
        }
        let folder = tempfile::tempdir().unwrap();
        save(&experiment, &outcome.last, folder.path()).unwrap();
        let file = match name {
            "flora" => "adapter/adapter_model.safetensors",
            "fedfft" => "model/model.safetensors",
            _ => "trained.safetensors",
        };
        assert!(folder.path().join(file).is_file(), "{name}");
    }
}

/// Round 0 is the zero-shot model, except for the adapter of FedAA, whose softmax is not uniform, and for a random
/// context.
#[test]
fn training_starts_at_zero_shot() {
    let images = Images::new(1, 6);
    let zero_shot = outcome(images.experiment(&["method.name=zero-shot"]));
    assert_eq!((zero_shot.history.len(), zero_shot.last.len()), (1, 0));
    assert_eq!((zero_shot.bytes_up, zero_shot.bytes_down), (0, 0));
    for name in ["flora", "fedfft", "fedlc", "fedvm-lc", "fedprompt"] {
        let start = outcome(images.experiment(&[&named(name), "training.rounds=0"]));
        let accuracy = start.initial.accuracy;
        assert!((accuracy - zero_shot.initial.accuracy).abs() < 1e-12, "{name}: {accuracy}");
    }
    let drawn = images.experiment(&[
        "method.name=fedprompt",
        "method.prompt.length=3",
        "training.rounds=0",
    ]);
    assert_ne!(outcome(drawn).initial.loss, zero_shot.initial.loss);
}

/// Plain gradient descent, because Adam would amplify gradients that are only rounding errors.
#[test]
fn the_fast_way_learns_what_the_naive_one_does() {
    let images = Images::new(2, 1);
    for name in STEPPING {
        let run = |more: &str| {
            let set = [&named(name), "training.optimizer=sgd", "training.weight_decay=0", more];
            outcome(images.experiment(&[&set[..], &["training.learning_rate=1e-2"]].concat())).last
        };
        let start = run("training.rounds=0");
        let (fast, naive) = (run("method.implementation=fast"), run("method.implementation=naive"));
        assert_eq!(fast.names().collect::<Vec<_>>(), naive.names().collect::<Vec<_>>());
        let most = |left: &ParameterRecord, right: &ParameterRecord| {
            let pairs = left.iter().zip(right.iter());
            pairs.fold(0f32, |most, ((_, left), (_, right))| {
                let (left, right) = (left.to_f32(), right.to_f32());
                left.iter().zip(right.iter()).fold(most, |most, (a, b)| most.max((a - b).abs()))
            })
        };
        let (step, difference) = (most(&fast, &start), most(&fast, &naive));
        assert!(difference < 1e-3 * step, "{name}: {difference:e} of a step of {step:e}");
    }
}

#[test]
fn threads_change_nothing() {
    let images = Images::new(3, 2);
    for name in TRAINED {
        let run = |threads: &'static str| outcome(images.experiment(&[&named(name), threads])).last;
        assert_eq!(
            bits(&run("federation.threads=1")),
            bits(&run("federation.threads=3")),
            "{name}"
        );
    }
}

/// Each client ends as if the others were absent, and nothing is sent.
#[test]
fn alone_is_a_federation_of_one_for_each() {
    let images = Images::new(3, 4);
    let set = ["federation.participants=alone", "training.rounds=3"];
    let (finished, listener) = run(images.experiment(&set));
    let together = finished.outcome.unwrap();
    assert_eq!((together.bytes_up, together.bytes_down), (0, 0));
    let evaluations: Vec<_> = listener
        .events
        .iter()
        .filter_map(|event| match event {
            Event::Evaluated { model, round, clients, .. } => Some((*model, *round, clients)),
            _ => None,
        })
        .collect();
    assert_eq!(evaluations.len(), 4);
    assert!(evaluations.iter().all(|(model, ..)| *model == EvaluatedModel::Own));
    for score in evaluations[3].2 {
        let only = format!("federation.participants=[\"{}\"]", score.client);
        let (_, told) = run(images.experiment(&[&only, "training.rounds=3"]));
        let by_itself = told.events.iter().rev().find_map(|event| match event {
            Event::Evaluated { model: EvaluatedModel::Global, clients, .. } => {
                clients.iter().find(|other| other.client == score.client)
            }
            _ => None,
        });
        let by_itself = by_itself.unwrap();
        assert_eq!((score.accuracy, score.loss), (by_itself.accuracy, by_itself.loss));
    }
}

/// With base-to-novel, an image is compared with the classes of its own half only.
#[test]
fn base_and_novel_classes_are_told_apart_among_themselves() {
    let images = Images::new(3, 4);
    let partition = "partition={ kind = 'base-to-novel', of = { kind = 'iid', clients = 2 } }";
    for name in ["flora", "fedfft", "fedaa", "fedprompt"] {
        let set = [&named(name), partition, "method.loss=class-ce", "training.rounds=1"];
        let (finished, listener) = run(images.experiment(&set));
        assert!(finished.failure.is_none(), "{name}");
        let clients = listener.events.iter().rev().find_map(|event| match event {
            Event::Evaluated { model: EvaluatedModel::Global, clients, .. } => Some(clients),
            _ => None,
        });
        let ids: Vec<_> = clients.unwrap().iter().map(|score| score.client.as_str()).collect();
        assert_eq!(ids, ["client-00", "client-01", "novel"], "{name}");
    }
    let all = outcome(images.experiment(&["training.rounds=0"])).initial.loss.unwrap();
    let halves = outcome(images.experiment(&[partition, "training.rounds=0"])).initial.loss;
    assert!(halves.unwrap() < all, "{halves:?} {all}");
}

#[test]
fn settings_that_do_not_fit_are_refused() {
    let images = Images::new(2, 1);
    let error = images.try_experiment(&["method.name=fedlc", "method.loss=infonce"]).unwrap_err();
    assert!(error.contains("method.loss") && error.contains("class-ce"), "{error}");
    let error = images.try_experiment(&["method.name=coop"]).unwrap_err();
    assert!(error.contains("fedprompt"), "{error}");

    let prompt =
        |set: &[&str]| refusal(images.experiment(&[&["method.name=fedprompt"], set].concat()));
    let error = prompt(&["data.template={} there"]);
    assert!(error.contains("method.prompt.length") && error.contains("16"), "{error}");
    let error = prompt(&["data.template=a un{} there"]);
    assert!(error.contains("space"), "{error}");
    for many in ["method.prompt.length=20", "method.prompt.length=9000000000000000000"] {
        let error = prompt(&[many]);
        assert!(
            error.contains("method.prompt.length") && error.contains("choose fewer"),
            "{error}"
        );
    }
    let halves = "partition={ kind = 'base-to-novel', of = { kind = 'iid', clients = 2 } }";
    let error = refusal(images.experiment(&["method.name=fedlc", halves]));
    assert!(error.contains("method.name") && error.contains("novel"), "{error}");
    outcome(images.experiment(&[
        "method.name=fedprompt",
        "method.prompt.length=2",
        "data.template={} there",
        "training.rounds=1",
    ]));
}

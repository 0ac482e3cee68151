//! Adapters on a CLIP, compared with PEFT's.

mod common;

use std::collections::BTreeMap;

use burn::module::Module;
use burn::optim::{AdamConfig, GradientsParams};
use burn::tensor::{Device, Tensor};
use common::{Expected, bits, fixture, max_difference, values};
use flora_clip::{
    Checkpoint, Clip, ClipConfig, Padding, TextConfig, Tokens, VisionConfig, loss, normalize,
};
use flora_core::{HostTensor, ParameterRecord};
use flora_lora::{
    AdaptableModule, LoraConfig, Scaling, Towers, adapter_record, attach, detach,
    load_adapter_record, merge, named, num_adapter_parameters, save_peft,
};

/// Everything that carries adapters in either tower.
const ALL: [&str; 8] = [
    "q_proj",
    "k_proj",
    "v_proj",
    "out_proj",
    "fc1",
    "fc2",
    "text_projection",
    "visual_projection",
];

struct Case {
    model: Clip,
    tokens: Tokens,
    images: Tensor<4>,
}

impl Case {
    fn open(device: &Device) -> Self {
        let checkpoint = Checkpoint::open(&fixture("tiny-clip")).unwrap();
        let expected = Expected::read("tiny-clip/expected.safetensors");
        let rows = &expected.input_ids()[..3];
        let config = &checkpoint.config.text_config;
        Self {
            model: checkpoint.load(device).unwrap(),
            tokens: Tokens::new(rows, Padding::Longest, config).unwrap(),
            images: expected.tensor("pixel_values", device),
        }
    }

    fn logits(&self, model: &Clip) -> Tensor<2> {
        model.logits_per_image(self.images.clone(), &self.tokens)
    }
}

fn everything() -> LoraConfig {
    LoraConfig { target_modules: ALL.into(), towers: Towers::Both, ..LoraConfig::default() }
}

/// The bits of every parameter, by path.
fn parameters(model: &Clip) -> BTreeMap<String, Vec<u32>> {
    let mut parameters = BTreeMap::new();
    named::visit(model, |place, parameter| {
        let bits = parameter.values().into_iter().map(f32::to_bits).collect();
        parameters.insert(place.name.to_owned(), bits);
    });
    parameters
}

/// One Adam step of the contrastive loss.
fn step(case: &Case, model: Clip, tensors: usize) -> Clip {
    let loss = loss::contrastive(case.logits(&model));
    let grads = GradientsParams::from_grads(loss.backward(), &model);
    assert_eq!(grads.len(), tensors, "gradients of the adapters, and of nothing else");
    AdamConfig::new().init().step(1e-2, model, grads)
}

/// `record` with the Bs away from zero.
fn trained(record: &ParameterRecord, size: f32) -> ParameterRecord {
    let mut trained = ParameterRecord::new();
    for (salt, (name, tensor)) in record.iter().enumerate() {
        let mut values = tensor.to_f32().into_owned();
        if name.ends_with("lora_B.weight") {
            for (i, value) in values.iter_mut().enumerate() {
                *value = size * ((i * 37 + salt * 101 + 11) as f32 * 0.618).sin();
            }
        }
        trained.insert(name, HostTensor::from_f32(tensor.shape(), values).unwrap()).unwrap();
    }
    trained
}

#[test]
fn attaching_changes_no_bit_of_the_output() {
    for device in [Device::flex(), Device::flex().autodiff()] {
        let case = Case::open(&device);
        let before = bits(case.logits(&case.model));
        for config in [LoraConfig::default(), everything()] {
            let model = attach(case.model.clone(), &config, 0).unwrap();
            assert_eq!(bits(case.logits(&model)), before);
        }
    }
}

#[test]
fn one_step_moves_the_adapters_alone_and_detaching_undoes_it() {
    for (config, layers) in [(LoraConfig::default(), 3), (everything(), 5 * 6 + 2)] {
        let case = Case::open(&Device::flex().autodiff());
        let (base, before) = (parameters(&case.model), values(case.logits(&case.model)));
        let model = attach(case.model.clone(), &config, 0).unwrap();
        let fresh = parameters(&model);
        assert_eq!(fresh.len(), base.len() + 2 * layers);

        let model = step(&case, model, 2 * layers);
        assert!(max_difference(&values(case.logits(&model)), &before) > 1e-3);
        let mut moved = 0;
        for (name, bits) in parameters(&model) {
            match base.get(&name) {
                Some(unmoved) => assert_eq!(&bits, unmoved, "{name}"),
                None => moved += usize::from(bits != fresh[&name]),
            }
        }
        // The Bs: while B is zero A has no gradient.
        assert_eq!(moved, layers);

        let model = detach(model);
        assert_eq!(parameters(&model), base);
        let before: Vec<u32> = before.into_iter().map(f32::to_bits).collect();
        assert_eq!(bits(case.logits(&model)), before);
    }
}

#[test]
fn training_stays_in_the_halves_that_it_belongs_to() {
    // What the fast path relies on: the text half alone has the gradients of the whole.
    let device = Device::flex().autodiff();
    let case = Case::open(&device);
    let model = attach(case.model.clone(), &LoraConfig::default(), 0).unwrap();
    let model =
        load_adapter_record(model.clone(), &trained(&adapter_record(&model).unwrap(), 0.01));
    let model = model.unwrap();
    let whole = step(&case, model.clone(), 6);

    let images = normalize(case.model.valid().image_features(case.images.clone().inner()));
    let factor = f64::from(model.temperature_factor());
    let (text, _) = model.split();
    let texts = normalize(text.features(&case.tokens));
    let images = Tensor::from_inner(images);
    let loss = loss::contrastive(images.matmul(texts.transpose()).mul_scalar(factor));
    let grads = GradientsParams::from_grads(loss.backward(), &text);
    let half = AdamConfig::new().init().step(1e-2, text, grads);
    let (whole, half) = (adapter_record(&whole).unwrap(), adapter_record(&half).unwrap());
    half.check_matches(&whole).unwrap();
    for (name, tensor) in whole.iter() {
        let error = max_difference(&tensor.to_f32(), &half.get(name).unwrap().to_f32());
        assert!(error < 1e-5, "{name}: {error:e}");
    }
}

#[test]
fn merging_equals_the_adapters() {
    for device in [Device::flex(), Device::flex().autodiff()] {
        let case = Case::open(&device);
        let before = values(case.logits(&case.model));
        for (config, size) in [(LoraConfig::default(), 0.01), (everything(), 0.001)] {
            let model = attach(case.model.clone(), &config, 0).unwrap();
            let record = trained(&adapter_record(&model).unwrap(), size);
            let model = load_adapter_record(model, &record).unwrap();
            let adapted = values(case.logits(&model));
            assert!(max_difference(&adapted, &before) > 0.1, "the adapters do nothing");
            let features = |model: &Clip| {
                let texts = normalize(model.text_features(&case.tokens));
                let images = normalize(model.image_features(case.images.clone()));
                values(Tensor::cat(vec![texts, images], 0))
            };
            let (apart, merged) = (features(&model), features(&merge(model)));
            let error = max_difference(&apart, &merged);
            println!("merged: {error:e}");
            assert!(error <= 1e-5, "{error:e}");
        }
    }
}

#[test]
fn layers_are_listed_by_the_path_of_their_parameters() {
    let case = Case::open(&Device::flex());
    let paths = parameters(&case.model);
    let mut model = case.model;
    let names: Vec<String> = model.adaptable_layers().into_iter().map(|(name, _)| name).collect();
    assert_eq!(names.len(), 5 * 6 + 2);
    for name in &names {
        assert!(paths.contains_key(&format!("{name}.weight")), "{name}");
    }
    let (mut text, mut vision) = model.split();
    let mut halves: Vec<String> =
        text.adaptable_layers().into_iter().map(|(name, _)| name).collect();
    halves.extend(vision.adaptable_layers().into_iter().map(|(name, _)| name));
    assert_eq!(halves, names);
}

#[test]
fn a_record_names_every_layer_as_peft_does() {
    let case = Case::open(&Device::flex());
    let model = attach(case.model, &everything(), 0).unwrap();
    let record = adapter_record(&model).unwrap();
    assert_eq!(record.len(), 2 * (5 * 6 + 2));
    for (name, shape) in [
        ("text_model.encoder.layers.2.mlp.fc1.lora_A.weight", [2, 24]),
        ("text_model.encoder.layers.2.mlp.fc1.lora_B.weight", [48, 2]),
        ("vision_model.encoder.layers.1.self_attn.q_proj.lora_A.weight", [2, 32]),
        ("vision_model.encoder.layers.1.self_attn.q_proj.lora_B.weight", [32, 2]),
        ("visual_projection.lora_B.weight", [20, 2]),
        ("text_projection.lora_A.weight", [2, 24]),
    ] {
        assert_eq!(record.get(name).expect(name).shape(), shape, "{name}");
    }
    assert_eq!(num_adapter_parameters(&model), record.num_parameters());
}

/// The tensors of PEFT's file without its prefix, and the configuration that goes with them.
fn peft() -> (ParameterRecord, ParameterRecord, LoraConfig) {
    let file = ParameterRecord::load(fixture("tiny-clip-lora/adapter_model.safetensors")).unwrap();
    let mut stripped = ParameterRecord::new();
    for (name, tensor) in file.iter() {
        let name = name.strip_prefix("base_model.model.").unwrap();
        stripped.insert(name, tensor.clone()).unwrap();
    }
    let config =
        LoraConfig { r: 3, lora_alpha: 6.0, scaling: Scaling::Standard, ..LoraConfig::default() };
    (file, stripped, config)
}

#[test]
fn a_peft_adapter_gives_the_features_of_peft() {
    let device = Device::flex();
    let expected = Expected::read("tiny-clip-lora/expected.safetensors");
    let checkpoint = Checkpoint::open(&fixture("tiny-clip")).unwrap();
    let (_, record, config) = peft();
    let model = attach(checkpoint.load(&device).unwrap(), &config, 0).unwrap();
    let model = load_adapter_record(model, &record).unwrap();
    let config = &checkpoint.config.text_config;
    let tokens = Tokens::new(&expected.input_ids(), Padding::Context, config).unwrap();
    for (what, model) in [("adapters", model.clone()), ("merged", merge(model))] {
        let features = model.text_features(&tokens);
        for (name, tensor) in
            [("text_features", features.clone()), ("text_embeds", normalize(features))]
        {
            let error = max_difference(&values(tensor), &expected.f32(name).1);
            println!("{what} {name}: {error:e}");
            assert!(error <= 2e-5, "{what} {name} differs by {error:e}");
        }
    }
}

#[test]
fn what_is_saved_is_what_peft_saved() {
    let (file, record, config) = peft();
    let case = Case::open(&Device::flex());
    let model = load_adapter_record(attach(case.model, &config, 0).unwrap(), &record).unwrap();
    let folder = tempfile::tempdir().unwrap();
    save_peft(folder.path(), &adapter_record(&model).unwrap(), &config, "tiny-clip").unwrap();
    let saved = ParameterRecord::load(folder.path().join("adapter_model.safetensors")).unwrap();
    assert_eq!(saved, file);

    let read = |path: std::path::PathBuf| -> serde_json::Value {
        serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap()
    };
    let ours = read(folder.path().join("adapter_config.json"));
    let theirs = read(fixture("tiny-clip-lora/adapter_config.json"));
    for (key, value) in ours.as_object().unwrap() {
        match key.as_str() {
            // Another expression for the same layers; and how A was drawn, which nothing depends on.
            "target_modules" | "init_lora_weights" => {}
            "lora_alpha" => assert_eq!(value.as_f64(), theirs[key].as_f64()),
            _ => assert_eq!(*value, theirs[key], "{key}"),
        }
    }
}

#[test]
fn the_paper_s_adapter_has_24_576_parameters() {
    // The text tower's width and depth are ViT-B/32's; what the count does not depend on is small,
    // so that no 600 MB have to be drawn.
    let paper = ClipConfig::vit_base_patch32();
    let config = ClipConfig {
        text_config: TextConfig {
            vocab_size: 4,
            intermediate_size: 1,
            bos_token_id: 2,
            eos_token_id: 3,
            ..paper.text_config.clone()
        },
        vision_config: VisionConfig {
            hidden_size: 1,
            intermediate_size: 1,
            num_hidden_layers: 1,
            num_attention_heads: 1,
            ..paper.vision_config.clone()
        },
        ..paper
    };
    config.check().unwrap();
    let model = Clip::random(&config, 0, &Device::flex());
    let model = attach(model, &LoraConfig::default(), 0).unwrap();
    assert_eq!(num_adapter_parameters(&model), 24_576);
    let record = adapter_record(&model).unwrap();
    assert_eq!((record.len(), record.byte_len()), (24, 96 * 1024));
}

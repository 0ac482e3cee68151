//! Adapters of one tower of a CLIP, which `peft` made on `CLIPTextModelWithProjection` or
//! `CLIPVisionModelWithProjection`: their `target_modules` also match layers of the other tower.

mod common;

use burn::module::{Initializer, Module};
use burn::tensor::Device;
use common::{config, numbers};
use flora_core::{HostTensor, ParameterRecord};
use flora_lora::{
    AdaptableModule, LoraConfig, LoraError, LoraLinear, PeftAdapter, Scaling, TargetModules,
    Towers, adapter_record, attach_peft, load_peft, save_peft,
};

/// The names of CLIP.
#[derive(Module, Debug)]
struct Clip {
    text_model: Tower,
    vision_model: Tower,
}

#[derive(Module, Debug)]
struct Tower {
    q_proj: LoraLinear,
    v_proj: LoraLinear,
}

impl Clip {
    fn new() -> Self {
        let linear = || LoraLinear::new(6, 6, false, &Initializer::Zeros, &Device::flex());
        let tower = || Tower { q_proj: linear(), v_proj: linear() };
        Self { text_model: tower(), vision_model: tower() }
    }
}

impl AdaptableModule for Clip {
    fn adaptable_layers(&mut self) -> Vec<(String, &mut LoraLinear)> {
        let Self { text_model: text, vision_model: vision } = self;
        vec![
            ("text_model.q_proj".into(), &mut text.q_proj),
            ("text_model.v_proj".into(), &mut text.v_proj),
            ("vision_model.q_proj".into(), &mut vision.q_proj),
            ("vision_model.v_proj".into(), &mut vision.v_proj),
        ]
    }
}

fn record(layers: &[&str]) -> ParameterRecord {
    let mut record = ParameterRecord::new();
    for (layer, matrix) in layers.iter().flat_map(|layer| [(layer, "A"), (layer, "B")]) {
        let shape = if matrix == "A" { [2, 6] } else { [6, 2] };
        let tensor = HostTensor::from_f32(shape, numbers(12, layer.len())).unwrap();
        record.insert(format!("{layer}.lora_{matrix}.weight"), tensor).unwrap();
    }
    record
}

/// The adapter of these layers as `peft` writes it, loaded.
fn loaded(layers: &[&str], config: &LoraConfig) -> PeftAdapter {
    let folder = tempfile::tempdir().unwrap();
    save_peft(folder.path(), &record(layers), config, "").unwrap();
    load_peft(folder.path()).unwrap()
}

fn q_and_v() -> LoraConfig {
    LoraConfig {
        target_modules: ["q_proj", "v_proj"].into(),
        scaling: Scaling::Standard,
        ..config()
    }
}

#[test]
fn an_adapter_of_one_tower_keeps_to_it() {
    let text = ["text_model.q_proj", "text_model.v_proj"];
    let vision = ["vision_model.q_proj", "vision_model.v_proj"];
    let pattern = TargetModules::Pattern(r".*\.[qv]_proj".into());
    for target_modules in [["q_proj", "v_proj"].into(), pattern] {
        let config = LoraConfig { target_modules, ..q_and_v() };
        for (layers, towers) in [
            (text.to_vec(), Towers::Text),
            (vision.to_vec(), Towers::Vision),
            ([text, vision].concat(), Towers::Both),
        ] {
            let mut adapter = loaded(&layers, &config);
            // The written file means the same on a whole CLIP, whatever was read.
            for _ in 0..2 {
                assert_eq!(adapter.config.towers, towers);
                let clip = attach_peft(Clip::new(), &adapter).unwrap();
                assert_eq!(adapter_record(&clip).unwrap(), record(&layers));
                adapter = loaded(&layers, &adapter.config);
            }
        }
    }
}

#[test]
fn an_adapter_of_a_part_of_a_tower_is_refused() {
    for (layers, lacking) in [
        (vec!["text_model.q_proj"], "text_model.v_proj"),
        (vec!["vision_model.v_proj"], "vision_model.q_proj"),
        (
            vec!["text_model.q_proj", "text_model.v_proj", "vision_model.q_proj"],
            "vision_model.v_proj",
        ),
    ] {
        let error = attach_peft(Clip::new(), &loaded(&layers, &q_and_v())).unwrap_err();
        let LoraError::Layer { layer, problem } = &error else { panic!("{error:?}") };
        assert_eq!(layer, lacking);
        assert!(problem.contains("it may be an adapter of another model"), "{problem}");
    }
}

#[test]
fn layers_may_be_excluded() {
    let pattern = TargetModules::Pattern(r"text_model\.v.*".into());
    for exclude in [["text_model.v_proj"].into(), pattern] {
        let config = LoraConfig { exclude_modules: Some(exclude.clone()), ..q_and_v() };
        let adapter = loaded(&["text_model.q_proj"], &config);
        assert_eq!(adapter.config.exclude_modules, Some(exclude));
        let clip = attach_peft(Clip::new(), &adapter).unwrap();
        assert_eq!(adapter_record(&clip).unwrap(), adapter.record);
        let error =
            attach_peft(Clip::new(), &loaded(&["text_model.q_proj", "text_model.v_proj"], &config))
                .unwrap_err();
        assert!(error.to_string().contains("exclude_modules"), "{error}");
    }
}

#[test]
fn an_adapter_that_does_not_say_its_tower_is_told_by_its_layers() {
    // The names of `CLIPTextModel` and `CLIPVisionModel` in transformers since 5.6.
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("adapter_config.json");
    save_peft(folder.path(), &record(&["q_proj", "v_proj"]), &q_and_v(), "").unwrap();
    let written: serde_json::Value =
        serde_json::from_str(&std::fs::read_to_string(&path).unwrap()).unwrap();
    let load = |class: Option<&str>| {
        let mut document = written.clone();
        document["auto_mapping"] = serde_json::json!({ "base_model_class": class });
        std::fs::write(&path, document.to_string()).unwrap();
        load_peft(folder.path()).unwrap()
    };
    for (class, prefix, towers) in [
        ("CLIPTextModel", "text_model.", Towers::Text),
        ("CLIPVisionModel", "vision_model.", Towers::Vision),
    ] {
        let adapter = load(Some(class));
        assert_eq!(adapter.config.towers, towers);
        let clip = attach_peft(Clip::new(), &adapter).unwrap();
        let names = [format!("{prefix}q_proj"), format!("{prefix}v_proj")];
        let wanted = load(None).record;
        let attached = adapter_record(&clip).unwrap();
        for name in names {
            for end in [".lora_A.weight", ".lora_B.weight"] {
                let bare = name.strip_prefix(prefix).unwrap();
                let (found, wanted) =
                    (attached.get(&format!("{name}{end}")), wanted.get(&format!("{bare}{end}")));
                assert_eq!(found.unwrap(), wanted.unwrap());
            }
        }
        assert_eq!(attached.len(), 4);
    }
    // Both towers have such layers.
    for class in [None, Some("CLIPModel")] {
        let adapter = load(class);
        assert!(adapter.names_no_tower());
        let error = attach_peft(Clip::new(), &adapter).unwrap_err().to_string();
        assert!(error.contains("auto_mapping: ") && error.contains("\"CLIPTextModel\""), "{error}");
    }
    // One of them has others.
    let mut clip = Clip::new();
    clip.text_model.v_proj = LoraLinear::new(6, 5, false, &Initializer::Zeros, &Device::flex());
    let adapter = load(None).fitted(&mut clip).unwrap();
    assert_eq!(adapter.config.towers, Towers::Vision);
    attach_peft(clip.clone(), &adapter).unwrap();
    clip.vision_model.v_proj = LoraLinear::new(7, 6, false, &Initializer::Zeros, &Device::flex());
    let error = attach_peft(clip, &load(None)).unwrap_err().to_string();
    assert!(error.contains("may be an adapter of another model"), "{error}");
}

#[test]
fn an_expression_is_of_the_names_without_the_tower() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("adapter_config.json");
    for expression in ["[qv]_proj", "^[qv]_proj$", "q_proj|v_proj", "(?i)[QV]_proj"] {
        let target_modules = TargetModules::Pattern(expression.into());
        let config = LoraConfig { target_modules, ..q_and_v() };
        save_peft(folder.path(), &record(&["q_proj", "v_proj"]), &config, "").unwrap();
        let mut document: serde_json::Value =
            serde_json::from_str(&std::fs::read_to_string(&path).unwrap()).unwrap();
        document["auto_mapping"] = serde_json::json!({ "base_model_class": "CLIPVisionModel" });
        std::fs::write(&path, document.to_string()).unwrap();
        let adapter = load_peft(folder.path()).unwrap();
        let clip = attach_peft(Clip::new(), &adapter).unwrap();
        assert_eq!(adapter_record(&clip).unwrap(), adapter.record, "{expression}");
    }
}

/// The keys match `(.*\.)?(key)$` from the beginning of the names that the adapter was made with.
#[test]
fn ranks_and_alphas_are_of_the_names_without_the_tower() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("adapter_config.json");
    let config = q_and_v();
    save_peft(folder.path(), &record(&["q_proj", "v_proj"]), &config, "").unwrap();
    let written: serde_json::Value =
        serde_json::from_str(&std::fs::read_to_string(&path).unwrap()).unwrap();
    let load = |field: &str, key: &str, value: u32, class: &str| {
        let mut document = written.clone();
        document["auto_mapping"] = serde_json::json!({ "base_model_class": class });
        document[field] = serde_json::json!({ key: value });
        std::fs::write(&path, document.to_string()).unwrap();
        load_peft(folder.path())
    };
    let alpha = 6 * config.r as u32;
    assert_ne!(config.scale(), 6.0);
    // Whether Python's `re.match(rf"(.*\.)?({key})$", name)` is one for `q_proj` and for `v_proj`.
    for (key, matches) in [
        ("q_proj", [true, false]),
        ("^q_proj", [true, false]),
        ("^q_proj$", [true, false]),
        ("^(q|v)_proj", [true, true]),
        ("^q_proj|^v_proj", [true, true]),
        ("(?:^|x)q_proj", [true, false]),
        ("^.*q_proj", [true, false]),
        (r"\Av_proj", [false, true]),
        ("[^q]_proj", [false, true]),
        (".*_proj", [true, true]),
        ("^proj", [false, false]),
        ("_proj", [false, false]),
        (r".+\.q_proj", [false, false]),
        (r"\w+_model\.v_proj", [false, false]),
        ("vision_model.q_proj", [false, false]),
        ("text_model.q_proj", [false, false]),
    ] {
        for class in ["CLIPTextModel", "CLIPVisionModel"] {
            let adapter = load("alpha_pattern", key, alpha, class).unwrap();
            let Clip { text_model, vision_model } = attach_peft(Clip::new(), &adapter).unwrap();
            let tower = if class == "CLIPTextModel" { text_model } else { vision_model };
            let scales = [tower.q_proj, tower.v_proj].map(|layer| layer.lora.unwrap().scale);
            let expected = matches.map(|matches| if matches { 6.0 } else { config.scale() });
            assert_eq!(scales, expected, "{key} {class}");
        }
    }
    // Another rank does not fit the matrices, wherever it is said.
    for (key, matches) in [("^v_proj", true), ("^proj", false), ("vision_model.v_proj", false)] {
        let adapter = load("rank_pattern", key, 3, "CLIPVisionModel");
        let attached = adapter.and_then(|adapter| attach_peft(Clip::new(), &adapter));
        match attached {
            Ok(_) => assert!(!matches, "{key}"),
            Err(error) => {
                assert!(matches, "{key}: {error}");
                assert!(error.to_string().contains("v_proj"), "{error}");
            }
        }
    }
}

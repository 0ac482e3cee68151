//! The files that are written for PEFT, and what comes back from them.

mod common;

use std::path::Path;

use common::{config, numbers, trained};
use flora_core::{Dtype, HostTensor, ParameterRecord};
use flora_lora::{
    Init, LoraConfig, PeftAdapter, Scaling, TargetModules, Towers, load_peft, save_peft,
};

fn document(folder: &Path) -> serde_json::Value {
    let text = std::fs::read_to_string(folder.join("adapter_config.json")).unwrap();
    serde_json::from_str(&text).unwrap()
}

#[test]
fn the_files_say_what_the_configuration_means() {
    for (scaling, lora_alpha, rslora) in [
        (Scaling::Standard, 32.0, false),
        (Scaling::RsLora, 32.0, true),
        // PEFT divides by r: what is not divided here must be larger there.
        (Scaling::Unscaled, 64.0, false),
    ] {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("new/adapter");
        let config = LoraConfig { scaling, lora_dropout: 0.25, ..config() };
        save_peft(&path, &trained(), &config, "some/model").unwrap();
        let weights = ParameterRecord::load(path.join("adapter_model.safetensors")).unwrap();
        for (name, tensor) in trained().iter() {
            assert_eq!(weights.get(&format!("base_model.model.{name}")), Some(tensor));
        }
        assert_eq!(weights.len(), 4);
        let file = document(&path);
        assert_eq!(file["lora_alpha"].as_f64(), Some(lora_alpha));
        assert!(file["lora_alpha"].is_i64(), "PEFT declares an integer");
        assert_eq!(file["use_rslora"], rslora);
        assert_eq!(file["r"], 2);
        assert_eq!(file["lora_dropout"], 0.25);
        assert_eq!(file["peft_type"], "LORA");
        assert_eq!(file["base_model_name_or_path"], "some/model");
    }
}

#[test]
fn peft_s_expression_keeps_to_the_tower() {
    let written = |towers, target_modules: TargetModules| {
        let folder = tempfile::tempdir().unwrap();
        let config = LoraConfig { towers, target_modules, ..config() };
        save_peft(folder.path(), &trained(), &config, "").unwrap();
        document(folder.path())["target_modules"].clone()
    };
    let pattern = |pattern: &str| TargetModules::Pattern(pattern.into());
    // Checked against names with Python's `re.fullmatch`.
    for (towers, targets, expected) in [
        (Towers::Text, ["self_attn.out_proj", ""].into(), r"(?=text_)(.*\.)?(self_attn\.out_proj)"),
        (
            Towers::Vision,
            vec!["fc1".to_owned(), "fc2".to_owned()].into(),
            r"(?=visi|visual_)(.*\.)?(fc1|fc2)",
        ),
        (Towers::Text, ["q+"].into(), r"(?=text_)(.*\.)?(q\+)"),
        (Towers::Text, pattern(r".*fc1|.*fc2"), r"(?=text_)(?:.*fc1|.*fc2)"),
        (Towers::Vision, pattern("(?i).*FC1"), r"(?i)(?=visi|visual_)(?:.*FC1)"),
        (Towers::Both, pattern(".*fc1|.*fc2"), ".*fc1|.*fc2"),
    ] {
        assert_eq!(written(towers, targets), expected);
    }
    assert_eq!(written(Towers::Both, ["q+", "v"].into()), serde_json::json!(["q+", "v"]));
}

#[test]
fn a_written_expression_means_the_same_layers() {
    let names = [
        "text_model.encoder.layers.0.mlp.fc1",
        "text_model.encoder.layers.1.mlp.fc2",
        "text_projection",
        "vision_model.encoder.layers.0.mlp.fc1",
        "vision_model.encoder.layers.1.self_attn.out_proj",
        "visual_projection",
    ];
    let pattern = |pattern: &str| TargetModules::Pattern(pattern.into());
    for towers in [Towers::Text, Towers::Vision, Towers::Both] {
        for target_modules in [
            ["fc1", "text_projection", "visual_projection"].into(),
            pattern(r".*layers\.0\..*|.*_projection"),
            pattern("(?x) .*fc\\d | .*out_proj # all of them"),
        ] {
            let config = LoraConfig { towers, target_modules, ..config() };
            let folder = tempfile::tempdir().unwrap();
            save_peft(folder.path(), &trained(), &config, "").unwrap();
            let loaded = load_peft(folder.path()).unwrap().config;
            let (before, after) = (config.matcher().unwrap(), loaded.matcher().unwrap());
            let mut any = false;
            for name in names {
                any |= before.matches(name).unwrap();
                assert_eq!(after.matches(name).unwrap(), before.matches(name).unwrap(), "{name}");
            }
            assert!(any, "{config:?} takes nothing");
        }
    }
}

#[test]
fn what_is_written_comes_back() {
    let bits = |init, scaling, lora_alpha, lora_dropout| LoraConfig {
        init,
        scaling,
        lora_alpha,
        lora_dropout,
        ..config()
    };
    let pattern = TargetModules::Pattern(r"(?!third)first|second".into());
    for (written, read) in [
        (bits(Init::KaimingUniform, Scaling::Standard, 16.0, 0.0), None),
        (bits(Init::Gaussian, Scaling::RsLora, 0.1, 0.1), None),
        (bits(Init::Gaussian, Scaling::Standard, -1e30, 0.999), None),
        (
            LoraConfig {
                target_modules: pattern,
                ..bits(Init::Gaussian, Scaling::RsLora, 1.0, 0.0)
            },
            None,
        ),
        (
            LoraConfig {
                exclude_modules: Some(["third"].into()),
                ..bits(Init::Gaussian, Scaling::Standard, 1.0, 0.0)
            },
            None,
        ),
        // Settings that PEFT cannot represent.
        (
            bits(Init::GaussianSqrt, Scaling::Unscaled, 0.3, 0.0),
            Some(bits(Init::Gaussian, Scaling::Standard, 0.6, 0.0)),
        ),
    ] {
        for base_model in [None, Some("some/model".to_owned())] {
            let folder = tempfile::tempdir().unwrap();
            let name = base_model.as_deref().unwrap_or_default();
            save_peft(folder.path(), &trained(), &written, name).unwrap();
            let config = read.clone().unwrap_or_else(|| written.clone());
            assert_eq!(config.scale(), written.scale());
            let expected = PeftAdapter {
                config,
                record: trained(),
                extras: Default::default(),
                modules_to_save: Vec::new(),
                base_model,
            };
            assert_eq!(load_peft(folder.path()).unwrap(), expected);
        }
    }
}

#[test]
fn halves_come_back_as_singles() {
    for dtype in [Dtype::F16, Dtype::Bf16] {
        let folder = tempfile::tempdir().unwrap();
        let record = trained().cast(dtype);
        save_peft(folder.path(), &record, &config(), "").unwrap();
        assert_eq!(load_peft(folder.path()).unwrap().record, record.cast(Dtype::F32));
    }
}

#[test]
fn what_could_not_be_read_is_not_written() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("adapter");
    let refusal = |record: &ParameterRecord, config: &LoraConfig| {
        let error = save_peft(&path, record, config, "").unwrap_err().to_string();
        assert!(!path.exists(), "{error}");
        error
    };
    let rank = refusal(&trained(), &LoraConfig { r: 3, ..config() });
    assert!(rank.contains("first.lora_A.weight") && rank.contains("r is 3"), "{rank}");
    let alpha = refusal(&trained(), &LoraConfig { lora_alpha: f64::NAN, ..config() });
    assert!(alpha.starts_with("lora.lora_alpha"), "{alpha}");
    let empty = refusal(&ParameterRecord::new(), &config());
    assert!(empty.contains("empty"), "{empty}");
    let mut weights = trained();
    weights.insert("first.weight", HostTensor::from_f32([2, 2], numbers(4, 0)).unwrap()).unwrap();
    let weights = refusal(&weights, &config());
    assert!(weights.contains("`first.weight`"), "{weights}");
}

#[test]
fn a_folder_that_cannot_be_written_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("file");
    std::fs::write(&file, "").unwrap();
    let error = save_peft(&file, &trained(), &config(), "m").unwrap_err().to_string();
    assert!(error.contains(file.to_str().unwrap()), "{error}");
}

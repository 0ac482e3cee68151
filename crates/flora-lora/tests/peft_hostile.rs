//! Files that must not be loaded: unsupported, damaged or malicious ones.

mod common;

use std::path::Path;
use std::sync::OnceLock;
use std::time::{Duration, Instant};

use common::{config, numbers, trained};
use flora_core::{HostTensor, ParameterRecord};
use flora_lora::{LoraConfig, Scaling, load_peft, save_peft};
use serde_json::{Value, json};

const CONFIG: &str = "adapter_config.json";
const TENSORS: &str = "adapter_model.safetensors";

/// Milliseconds on a machine with nothing else to do.
const SOON: Duration = Duration::from_secs(30);

/// The files of a good adapter, written once: each write waits for the disk.
fn good_files() -> &'static [Vec<u8>; 2] {
    static FILES: OnceLock<[Vec<u8>; 2]> = OnceLock::new();
    FILES.get_or_init(|| {
        let folder = tempfile::tempdir().unwrap();
        let config = LoraConfig { scaling: Scaling::Standard, ..config() };
        save_peft(folder.path(), &trained(), &config, "base").unwrap();
        [CONFIG, TENSORS].map(|name| std::fs::read(folder.path().join(name)).unwrap())
    })
}

/// A folder with a good adapter in it.
fn good() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    for (name, bytes) in [CONFIG, TENSORS].iter().zip(good_files()) {
        std::fs::write(folder.path().join(name), bytes).unwrap();
    }
    folder
}

/// The message of a refusal, which must come soon and be short enough to read.
fn refusal(folder: &Path) -> String {
    let start = Instant::now();
    let message = load_peft(folder).unwrap_err().to_string();
    assert!(start.elapsed() < SOON, "{:?}: {message}", start.elapsed());
    assert!(message.len() < 1000, "{message}");
    message
}

fn refusal_of_config(bytes: &[u8]) -> String {
    let folder = good();
    std::fs::write(folder.path().join(CONFIG), bytes).unwrap();
    refusal(folder.path())
}

/// The good configuration with one field set, or (by `None`) left out.
fn with_field(field: &str, value: Option<Value>) -> Vec<u8> {
    let mut document: Value = serde_json::from_slice(&good_files()[0]).unwrap();
    let fields = document.as_object_mut().unwrap();
    match value {
        Some(value) => fields.insert(field.into(), value),
        None => fields.remove(field),
    };
    serde_json::to_vec(&document).unwrap()
}

#[test]
fn options_that_flora_lacks_are_refused_by_name() {
    for (field, value, meaning) in [
        ("peft_type", json!("LOHA"), "only \"LORA\""),
        ("peft_type", json!("ADALORA"), "only \"LORA\""),
        ("bias", json!("some"), "lora_only"),
        ("bias", json!(null), "lora_only"),
        ("init_lora_weights", json!("pissa"), "\"pissa\""),
        ("init_lora_weights", json!("pissa_niter_16"), "\"pissa_niter_16\""),
        ("init_lora_weights", json!("olora"), "\"olora\""),
        ("init_lora_weights", json!("loftq"), "\"loftq\""),
        ("init_lora_weights", json!("eva"), "\"eva\""),
        ("init_lora_weights", json!("corda"), "\"corda\""),
        ("init_lora_weights", json!("lora_ga"), "\"lora_ga\""),
        ("init_lora_weights", json!(3), "3"),
        ("target_modules", json!("all-linear"), "shorthand"),
        ("use_dora", json!(1), "true or false"),
        ("rank_pattern", json!([4]), "whole numbers by layer"),
        ("rank_pattern", json!({"first": 1.5}), "whole numbers by layer"),
        ("rank_pattern", json!({"first": 0}), "trains nothing"),
        ("rank_pattern", json!({"(first": 4}), "cannot be used"),
        ("alpha_pattern", json!({"first": "4"}), "numbers by layer"),
        ("alpha_pattern", json!({"first": 0}), "switch the adapter off"),
        ("modules_to_save", json!("head"), "a list of names"),
        ("modules_to_save", json!([""]), "a list of names"),
        ("layers_to_transform", json!([-1]), "whole numbers"),
        ("layers_to_transform", json!("0"), "whole numbers"),
        ("layers_pattern", json!("layers"), "layers_to_transform"),
        ("lora_bias", json!("yes"), "true or false"),
        ("auto_mapping", json!("CLIPModel"), "an object"),
        ("fan_in_fan_out", json!(true), "transposed"),
        ("layer_replication", json!([[0, 2]]), "repeats"),
        ("trainable_token_indices", json!([1]), "embedding"),
        ("target_parameters", json!(["w"]), "parameters"),
        ("use_qalora", json!(true), "QA-LoRA"),
        ("alora_invocation_tokens", json!([1]), "aLoRA"),
        ("arrow_config", json!({"top_k": 3}), "Arrow"),
        ("megatron_config", json!({"a": 1}), "Megatron"),
        ("loftq_config", json!({"bits": 4}), "LoftQ"),
        ("eva_config", json!({"rho": 2.0}), "EVA"),
        ("corda_config", json!({"a": 1}), "CorDA"),
        ("lora_ga_config", json!({"a": 1}), "LoRA-GA"),
        ("velora_config", json!({"a": 1}), "VeLoRA"),
        ("monteclora_config", json!({"a": 1}), "MonteCLoRA"),
        ("kasa_config", json!({"a": 1}), "KaSA"),
        ("use_bdlora", json!({"a": 1}), "BD-LoRA"),
        ("ensure_weight_tying", json!(true), "share their weights"),
        ("of_the_future", json!(true), "unknown"),
        ("of_the_future", json!(0), "unknown"),
        ("of_the_future", json!("on"), "unknown"),
    ] {
        let message = refusal_of_config(&with_field(field, Some(value.clone())));
        let told = message.contains(CONFIG) && message.contains(field) && message.contains(meaning);
        assert!(told, "{field} = {value}: {message}");
    }
}

#[test]
fn values_that_make_no_sense_are_refused_by_field() {
    for (field, value) in [
        ("peft_type", None),
        ("peft_type", Some(json!(null))),
        ("r", None),
        ("r", Some(json!(0))),
        ("r", Some(json!(-2))),
        ("r", Some(json!(2.5))),
        ("r", Some(json!(true))),
        ("r", Some(json!("2"))),
        ("r", Some(json!(u64::MAX))),
        ("lora_alpha", None),
        ("lora_alpha", Some(json!(0))),
        ("lora_alpha", Some(json!(null))),
        ("lora_alpha", Some(json!("16"))),
        ("lora_dropout", Some(json!(1.0))),
        ("lora_dropout", Some(json!(-0.1))),
        ("lora_dropout", Some(json!("no"))),
        ("use_rslora", Some(json!(1))),
        ("target_modules", None),
        ("target_modules", Some(json!(null))),
        ("target_modules", Some(json!([]))),
        ("target_modules", Some(json!([""]))),
        ("target_modules", Some(json!([1]))),
        ("target_modules", Some(json!({"first": true}))),
        ("target_modules", Some(json!(""))),
        ("target_modules", Some(json!("(first"))),
        ("target_modules", Some(json!("x".repeat(500_000)))),
        ("target_modules", Some(json!("(".repeat(10_000)))),
        ("target_modules", Some(json!(r"(?=\w{30})".repeat(1600)))),
        ("exclude_modules", Some(json!([1]))),
        ("exclude_modules", Some(json!(true))),
        ("exclude_modules", Some(json!("(first"))),
        ("base_model_name_or_path", Some(json!(["a"]))),
    ] {
        let message = refusal_of_config(&with_field(field, value.clone()));
        // A rank that only the tensors contradict is reported with the tensors.
        let file = if field == "r" && value == Some(json!(u64::MAX)) { TENSORS } else { CONFIG };
        assert!(message.contains(file), "{field}: {message}");
        assert!(file == TENSORS || message.contains(field), "{field}: {message}");
    }
}

#[test]
fn what_says_nothing_is_no_obstacle() {
    for (field, value) in [
        ("of_the_future", json!(null)),
        ("of_the_future", json!(false)),
        ("of_the_future", json!("")),
        ("of_the_future", json!([])),
        ("of_the_future", json!({})),
        ("task_type", json!("FEATURE_EXTRACTION")),
        ("auto_mapping", json!({"base_model_class": "CLIPModel"})),
        ("peft_version", json!("0.21.2")),
        ("revision", json!("main")),
        ("inference_mode", json!(false)),
        ("megatron_core", json!("megatron.core")),
        ("qalora_group_size", json!(16)),
        ("init_lora_weights", json!(false)),
        ("init_lora_weights", json!("orthogonal")),
        ("exclude_modules", json!("")),
        ("exclude_modules", json!([])),
        ("lora_dropout", json!(0)),
        ("use_rslora", json!(null)),
    ] {
        let folder = good();
        let before = load_peft(folder.path()).unwrap();
        std::fs::write(folder.path().join(CONFIG), with_field(field, Some(value.clone()))).unwrap();
        let mut after = load_peft(folder.path()).unwrap();
        after.config.init = before.config.init;
        assert_eq!(after, before, "{field} = {value}");
    }
}

#[test]
fn configurations_that_are_none_are_refused() {
    let twice = br#"{"peft_type": "LORA", "r": 2, "r": 3}"#;
    let deep = [b"{\"a\":".as_slice(), "[".repeat(900_000).as_bytes()].concat();
    for bytes in [
        b"".as_slice(),
        b"[]",
        b"null",
        b"\"LORA\"",
        b"{",
        b"{\"r\": NaN}",
        b"\xff\xfe{\x00}\x00",
        b"{\"peft_type\": \"\xff\"}",
        "[".repeat(10 << 20).as_bytes(),
        &deep,
        twice,
        b"{} {}",
    ] {
        let message = refusal_of_config(bytes);
        assert!(message.contains(CONFIG), "{message}");
    }
    assert!(refusal_of_config(twice).contains("\"r\" occurs twice"));
    assert!(refusal_of_config(b"{}").contains("peft_type"));
}

#[test]
fn folders_without_the_files_say_what_is_missing() {
    let folder = good();
    let file = folder.path().join(CONFIG);
    assert!(refusal(&file).contains("not a folder"));
    assert!(refusal(&folder.path().join("nowhere")).contains("not a folder"));
    std::fs::remove_file(folder.path().join(TENSORS)).unwrap();
    let missing = refusal(folder.path());
    assert!(missing.contains(TENSORS) && missing.contains("missing; an adapter is"), "{missing}");
    std::fs::write(folder.path().join("adapter_model.bin"), b"PK").unwrap();
    let pickle = refusal(folder.path());
    assert!(pickle.contains("adapter_model.bin") && pickle.contains("safe_serialization"));
    std::fs::create_dir(folder.path().join(TENSORS)).unwrap();
    assert!(refusal(folder.path()).contains("not a file"));
    std::fs::remove_file(&file).unwrap();
    let missing = refusal(folder.path());
    assert!(missing.contains(&format!("{CONFIG}: missing; an adapter is a folder")), "{missing}");
    std::fs::create_dir(&file).unwrap();
    assert!(refusal(folder.path()).contains("not a file"));
}

/// The good tensors in PEFT's names, with one named otherwise, replaced, or left out.
fn tensors(old: &str, new: Option<(&str, HostTensor)>) -> Vec<u8> {
    let mut record = ParameterRecord::new();
    for (name, tensor) in trained().iter().filter(|(name, _)| *name != old) {
        record.insert(format!("base_model.model.{name}"), tensor.clone()).unwrap();
    }
    if let Some((name, tensor)) = new {
        record.insert(name, tensor).unwrap();
    }
    record.to_safetensors()
}

fn refusal_of_tensors(bytes: &[u8]) -> String {
    let folder = good();
    std::fs::write(folder.path().join(TENSORS), bytes).unwrap();
    let message = refusal(folder.path());
    assert!(message.contains(TENSORS), "{message}");
    message
}

#[test]
fn tensors_that_are_none_of_an_adapter_are_refused_by_name() {
    let tensor = |shape: &[usize]| {
        let count = shape.iter().product();
        HostTensor::from_f32(shape, numbers(count, 2)).unwrap()
    };
    let bad = |value| HostTensor::from_f32([2, 6], vec![value; 12]).unwrap();
    let a = "base_model.model.first.lora_A.weight";
    let b = "base_model.model.first.lora_B.weight";
    let long = format!("base_model.model.{}", "x".repeat(100_000));
    for (old, name, new, problem) in [
        ("first.lora_A.weight", a, None, "missing"),
        ("first.lora_B.weight", b, None, "missing"),
        ("first.lora_A.weight", a, Some(tensor(&[3, 6])), "rank 3, but r is 2"),
        ("first.lora_B.weight", b, Some(tensor(&[5, 1])), "rank 1, but r is 2"),
        ("first.lora_A.weight", a, Some(tensor(&[2, 6, 1, 1])), "linear layers"),
        ("first.lora_A.weight", a, Some(tensor(&[12])), "linear layers"),
        ("first.lora_A.weight", a, Some(tensor(&[])), "linear layers"),
        ("first.lora_A.weight", a, Some(bad(f32::NAN)), "NaN"),
        ("first.lora_A.weight", a, Some(bad(f32::INFINITY)), "inf"),
        ("", "first.lora_A.weight", Some(tensor(&[2, 6])), "base_model.model."),
        ("", "base_model.model.e.lora_embedding_A", Some(tensor(&[2, 6])), "embeddings"),
        ("", "base_model.model.first.lora_magnitude_vector", Some(tensor(&[5])), "use_dora is not"),
        ("", "base_model.model.first.lora_B.bias", Some(tensor(&[5])), "lora_bias is not"),
        ("", "base_model.model.first.lora_A.bias", Some(tensor(&[2])), "beside B alone"),
        ("", "base_model.model.first.base_layer.bias", Some(tensor(&[5])), "bias is \"none\""),
        ("", "base_model.model.head.weight", Some(tensor(&[2, 2])), "not that of a LoRA"),
        ("", "base_model.model.lora_A.weight", Some(tensor(&[2, 2])), "not that of a LoRA"),
        ("", "base_model.model.x.lora_A.default.weight", Some(tensor(&[2, 2])), "not that of"),
        ("", &long, Some(tensor(&[2, 2])), "not that of a LoRA"),
    ] {
        let bytes = tensors(old, new.map(|tensor| (name, tensor)));
        let message = refusal_of_tensors(&bytes);
        let named =
            message.contains(&name[..name.len().min(150)]) || message.contains("`first.lora");
        assert!(named && message.contains(problem), "{name}: {message}");
    }
    assert!(refusal_of_tensors(&ParameterRecord::new().to_safetensors()).contains("empty"));
}

/// The options that put more than `A` and `B` into an adapter ask for their tensors.
#[test]
fn tensors_that_an_option_asks_for_must_be_there() {
    let vector = |length: usize| HostTensor::from_f32([length], numbers(length, 2)).unwrap();
    let first = |end: &str| format!("base_model.model.first.{end}");
    for (field, value, name, tensor, problem) in [
        ("use_dora", json!(true), "", None, "first.lora_magnitude_vector`: missing"),
        ("lora_bias", json!(true), "", None, "first.lora_B.bias`: missing"),
        (
            "use_dora",
            json!(true),
            "lora_magnitude_vector",
            Some(vector(4)),
            "shape [4], but the layer's lora_B has 5 outputs",
        ),
        ("lora_bias", json!(true), "lora_B.bias", Some(vector(6)), "has 5 outputs"),
        ("use_dora", json!(true), "lora_B.bias", Some(vector(5)), "lora_bias is not true"),
        ("bias", json!("lora_only"), "bias", Some(vector(5)), "not that of a LoRA matrix"),
        ("bias", json!("lora_only"), "", None, "although bias is not \"none\""),
        ("bias", json!("all"), "", None, "although bias is not \"none\""),
        ("modules_to_save", json!(["head"]), "", None, "the module is in modules_to_save"),
        ("modules_to_save", json!(["second"]), "weight", Some(vector(5)), "not that of a LoRA"),
    ] {
        let folder = good();
        let tensor = tensor.map(|tensor| (first(name), tensor));
        let new = tensor.as_ref().map(|(name, tensor)| (name.as_str(), tensor.clone()));
        std::fs::write(folder.path().join(TENSORS), tensors("", new)).unwrap();
        let config = with_field(field, Some(value.clone()));
        std::fs::write(folder.path().join(CONFIG), config).unwrap();
        let message = refusal(folder.path());
        let told = message.contains(TENSORS) && message.contains(problem);
        assert!(told, "{field} = {value}, {name}: {message}");
    }
    let folder = good();
    let mut both: Value =
        serde_json::from_slice(&with_field("use_dora", Some(json!(true)))).unwrap();
    both["lora_bias"] = json!(true);
    std::fs::write(folder.path().join(CONFIG), both.to_string()).unwrap();
    assert!(refusal(folder.path()).contains("does not combine it with use_dora"));
}

/// A file of this header in front of `length` zeros.
fn file(header: &str, length: usize) -> Vec<u8> {
    let mut bytes = (header.len() as u64).to_le_bytes().to_vec();
    bytes.extend(header.as_bytes());
    bytes.resize(bytes.len() + length, 0);
    bytes
}

#[test]
fn damaged_safetensors_are_refused() {
    let whole = tensors("", None);
    for end in 0..whole.len() {
        refusal_of_tensors(&whole[..end]);
    }
    refusal_of_tensors(&[whole.as_slice(), b"more"].concat());
    for length in [0, 7, whole.len() as u64, u64::MAX / 2, u64::MAX - 7, u64::MAX] {
        let mut lie = whole.clone();
        lie[..8].copy_from_slice(&length.to_le_bytes());
        refusal_of_tensors(&lie);
    }
    let name = "base_model.model.first.lora_A.weight";
    let entry = |dtype: &str, shape: &str, to: usize| {
        format!(r#""{name}":{{"dtype":"{dtype}","shape":{shape},"data_offsets":[0,{to}]}}"#)
    };
    for (entries, length, told) in [
        (entry("F32", "[2,6]", 48) + "," + &entry("F32", "[2,6]", 48), 48, "twice"),
        (entry("F64", "[2,6]", 96), 96, "F64"),
        (entry("I64", "[2,6]", 96), 96, "I64"),
        (entry("F99", "[2,6]", 96), 96, "F99"),
        (entry("F32", "[2,7]", 48), 48, name),
        (entry("F32", "[2,6]", 48), 44, ""),
        (entry("F32", "[18446744073709551615,9]", 48), 48, name),
        (entry("F32", "[-2,6]", 48), 48, ""),
        (entry("F32", &format!("[{}1]", "0,".repeat(1 << 20)), 0), 0, ""),
        (entry("F32", &"[".repeat(1 << 20), 0), 0, ""),
    ] {
        let b = r#""base_model.model.first.lora_B.weight""#;
        // A complete pair, so that only the element type is wrong.
        let pair = format!(
            r#"{{{entries},{b}:{{"dtype":"F32","shape":[5,2],"data_offsets":[{length},{}]}}}}"#,
            length + 40
        );
        let message = refusal_of_tensors(&file(&pair, length + 40));
        assert!(message.contains(told), "{told}: {message}");
    }
    let header = "[".repeat(1 << 20);
    refusal_of_tensors(&file(&header, 0));
    refusal_of_tensors(&file(&" ".repeat(20 << 20), 0));
}

/// Sparse: the file system gives zeros for the part that is not written.
#[test]
fn a_file_beyond_all_measure_is_refused_unread() {
    let folder = good();
    let file = std::fs::File::options().write(true).open(folder.path().join(TENSORS)).unwrap();
    if file.set_len(1 << 40).is_err() {
        return; // No sparse files here.
    }
    let message = refusal(folder.path());
    assert!(message.contains(TENSORS) && message.contains("bytes"), "{message}");
}

#[test]
fn an_expression_that_goes_back_for_ever_loads_and_fails_soon() {
    let folder = good();
    for slow in ["(a+)+$", "((?=a)a+)+$"] {
        let bytes = with_field("target_modules", Some(json!(slow)));
        std::fs::write(folder.path().join(CONFIG), bytes).unwrap();
        let config = load_peft(folder.path()).unwrap().config;
        let start = Instant::now();
        let matched = config.matcher().unwrap().matches(&format!("{}!", "a".repeat(10_000)));
        assert!(!matches!(matched, Ok(true)), "{slow}");
        assert!(start.elapsed() < SOON, "{slow}: {:?}", start.elapsed());
    }
}

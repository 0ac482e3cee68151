//! `model.safetensors` and its index.

use flora_core::{Dtype, HostTensor, ParameterRecord};

use crate::cases::{Case, Change, bytes, fixture};

const WEIGHTS: &str = "model.safetensors";
const BIAS: &str = "text_model.encoder.layers.2.mlp.fc1.bias";
/// What is said of every file that is not whole.
const DAMAGED: &[&str] = &[WEIGHTS, "not a valid safetensors file"];

pub(crate) fn cases() -> Vec<Case> {
    let mut cases = lengths();
    cases.extend(headers());
    cases.extend(tensors());
    cases.extend(indexes());
    cases
}

fn case(name: &str, named: &'static [&'static str], weights: Vec<u8>) -> Case {
    Case::new(format!("safetensors: {name}"), "tiny-clip", named).file(WEIGHTS, weights)
}

fn lengths() -> Vec<Case> {
    let whole = bytes("tiny-clip/model.safetensors");
    let header = u64::from_le_bytes(whole[..8].try_into().unwrap()) as usize;
    let mut cases = Vec::new();
    for end in [0, 1, 8, header, header + 8, whole.len() / 2, whole.len() - 1] {
        cases.push(case(&format!("cut at {end}"), DAMAGED, whole[..end].to_vec()));
    }
    for lie in [0, header as u64 + 1, 90_000_000, u64::MAX / 2, u64::MAX] {
        let mut bytes = whole.clone();
        bytes[..8].copy_from_slice(&lie.to_le_bytes());
        cases.push(case(&format!("header of {lie}"), DAMAGED, bytes));
    }
    cases.push(case("bytes at the end", DAMAGED, [&whole[..], b"more"].concat()));
    let zeros = Case::new("safetensors: a gigabyte of zeros", "tiny-clip", &[WEIGHTS]);
    cases.push(zeros.change(WEIGHTS, Change::Zeros(1 << 30)));
    cases
}

/// A file with this header and so many bytes of values.
fn file(header: &str, values: usize) -> Vec<u8> {
    let mut bytes = (header.len() as u64).to_le_bytes().to_vec();
    bytes.extend(header.as_bytes());
    bytes.resize(bytes.len() + values, 0);
    bytes
}

fn headers() -> Vec<Case> {
    let tensor = |dtype: &str, shape: &str, offsets: &str| {
        format!(r#"{{"w":{{"dtype":"{dtype}","shape":{shape},"data_offsets":{offsets}}}}}"#)
    };
    let twice = r#"{"w":{"dtype":"F32","shape":[1],"data_offsets":[0,4]},"w":{"dtype":"F32","shape":[1],"data_offsets":[0,4]}}"#;
    let overlap = r#"{"v":{"dtype":"F32","shape":[2],"data_offsets":[0,8]},"w":{"dtype":"F32","shape":[2],"data_offsets":[4,12]}}"#;
    let many: Vec<String> = (0..20_000)
        .map(|i| format!(r#""{i}":{{"dtype":"F32","shape":[],"data_offsets":[0,0]}}"#))
        .collect();
    let axes = format!("[{}1]", "1,".repeat(1_000_000));
    [
        ("no JSON", "weights".to_owned(), 4),
        ("an array", "[]".to_owned(), 4),
        ("deep brackets", "[".repeat(1_000_000), 4),
        ("deep objects", r#"{"a":"#.repeat(500_000), 4),
        ("the same name twice", twice.to_owned(), 4),
        ("overlapping tensors", overlap.to_owned(), 12),
        ("a hole", tensor("F32", "[1]", "[4,8]"), 8),
        ("backwards", tensor("F32", "[1]", "[4,0]"), 4),
        ("beyond the end", tensor("F32", "[1000000000]", "[0,4000000000]"), 4),
        ("too few bytes", tensor("F32", "[4]", "[0,4]"), 4),
        ("an overflowing shape", tensor("F32", "[18446744073709551615,9]", "[0,4]"), 4),
        ("a negative shape", tensor("F32", "[-1]", "[0,4]"), 4),
        ("an unknown type", tensor("F99", "[1]", "[0,4]"), 4),
        ("a million axes", tensor("F32", &axes, "[0,4]"), 4),
        ("empty tensors that overlap", format!("{{{}}}", many.join(",")), 4),
        ("metadata that is no text", r#"{"__metadata__":{"a":[1]}}"#.to_owned(), 0),
    ]
    .into_iter()
    .map(|(name, header, values)| case(name, DAMAGED, file(&header, values)))
    .chain([case("no UTF-8", DAMAGED, [&4u64.to_le_bytes()[..], &[0xff; 4]].concat())])
    .chain([case("no tensors", &[WEIGHTS, "no tensors of a CLIP"], file("{}", 0))])
    .collect()
}

fn record() -> ParameterRecord {
    ParameterRecord::load(fixture("tiny-clip/model.safetensors")).unwrap()
}

fn with(name: &str, tensor: Option<HostTensor>) -> Vec<u8> {
    let mut changed = ParameterRecord::new();
    for (other, kept) in record().iter().filter(|(other, _)| *other != name) {
        changed.insert(other, kept.clone()).unwrap();
    }
    if let Some(tensor) = tensor {
        changed.insert(name, tensor).unwrap();
    }
    changed.to_safetensors()
}

fn tensors() -> Vec<Case> {
    let filled = |shape: &[usize], value: f32| {
        HostTensor::from_f32(shape, vec![value; shape.iter().product()]).unwrap()
    };
    let integers = {
        let bytes = with(BIAS, Some(filled(&[48], 0.0)));
        let header = u64::from_le_bytes(bytes[..8].try_into().unwrap()) as usize;
        let text = std::str::from_utf8(&bytes[8..8 + header]).unwrap();
        // F32 and I32 take as many bytes.
        let entry = format!(r#""{BIAS}":{{"dtype":"F32""#);
        let changed = text.replacen(&entry, &entry.replace("F32", "I32"), 1);
        assert_ne!(changed, text);
        [&bytes[..8], changed.as_bytes(), &bytes[8 + header..]].concat()
    };
    vec![
        case("a tensor is missing", &[BIAS, "missing"], with(BIAS, None)),
        case("one too many", &["extra", "not a part"], with("extra", Some(filled(&[1], 0.0)))),
        case("another shape", &[BIAS, "[47]"], with(BIAS, Some(filled(&[47], 0.0)))),
        case("a scalar", &[BIAS, "[]"], with(BIAS, Some(filled(&[], 0.0)))),
        case("NaN", &[BIAS, "NaN"], with(BIAS, Some(filled(&[48], f32::NAN)))),
        case(
            "an infinity of f16",
            &[BIAS, "inf"],
            with(BIAS, Some(filled(&[48], 1e30).cast(Dtype::F16))),
        ),
        case("integers", &[BIAS, "I32"], integers),
    ]
}

fn indexes() -> Vec<Case> {
    const INDEX: &str = "model.safetensors.index.json";
    const SHARD: &str = "model-00001-of-00003.safetensors";
    let index = |name: &str, named, text: &str| {
        Case::new(format!("index: {name}"), "hf-sharded", named).file(INDEX, text)
    };
    let naming =
        |file: &str| format!(r#"{{"weight_map":{{"logit_scale":{}}}}}"#, serde_json::json!(file));
    let mut cases: Vec<Case> = [
        "../evil.safetensors",
        "/etc/passwd",
        "..",
        ".",
        "",
        "sub/model.safetensors",
        "..\\evil.safetensors",
        "C:evil.safetensors",
        "nul\0byte",
    ]
    .into_iter()
    .map(|file| index(file, &[INDEX, "weight_map", "same folder"], &naming(file)))
    .collect();
    cases.push(index("a missing part", &["absent.safetensors"], &naming("absent.safetensors")));
    cases.push(index("no JSON", &[INDEX], "weights"));
    cases.push(index("no map", &[INDEX, "weight_map"], "{}"));
    cases.push(index("an empty map", &[INDEX, "empty"], r#"{"weight_map":{}}"#));
    cases.push(index("a map of numbers", &[INDEX], r#"{"weight_map":{"a":1}}"#));
    cases.push(index("one part of three", &["missing"], &naming(SHARD)));
    cases.push(index("itself", &[INDEX], &naming(INDEX)));
    let twice = Case::new("index: the same tensors in two parts", "hf-sharded", &["also in"]);
    cases.push(
        twice.file("model-00002-of-00003.safetensors", bytes(&format!("hf-sharded/{SHARD}"))),
    );
    let lost = Case::new("index: a part is gone", "hf-sharded", &[SHARD, "missing"]);
    cases.push(lost.change(SHARD, Change::Missing));
    cases
}

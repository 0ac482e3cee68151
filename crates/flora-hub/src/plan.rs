//! Selection of a repository's files for a model or an adapter.

use std::collections::{BTreeMap, BTreeSet};

use serde::Deserialize;

/// The kind of files to select.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Model,
    Adapter,
}

/// The files to download, in this order: the weights come last, so that if they are present, all files are.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Plan {
    pub(crate) small: Vec<&'static str>,
    pub(crate) weights: Weights,
}

#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Weights {
    File(&'static str),
    /// The file that names the shards; see [`shards`].
    Index(&'static str),
}

/// The naming scheme of the weights, which determines the configuration file.
#[derive(Clone, Copy, PartialEq)]
enum Layout {
    HuggingFace,
    OpenClip,
}

/// The best comes first. No pickle is executed, but safetensors are faster to read and better checked. `flora-clip`
/// opens a folder in the same order.
const WEIGHTS: [(Layout, Weights); 6] = [
    (Layout::HuggingFace, Weights::File("model.safetensors")),
    (Layout::HuggingFace, Weights::Index("model.safetensors.index.json")),
    (Layout::OpenClip, Weights::File("open_clip_model.safetensors")),
    (Layout::HuggingFace, Weights::File("pytorch_model.bin")),
    (Layout::HuggingFace, Weights::Index("pytorch_model.bin.index.json")),
    (Layout::OpenClip, Weights::File("open_clip_pytorch_model.bin")),
];

/// flora's own file on the training, beside the others: classes, template and checksums.
const TRAINING: &str = "flora.json";

/// Whether [`plan`] needs the content of `config.json`, because the names alone do not decide.
pub(crate) fn needs_config(kind: Kind, names: &BTreeSet<String>) -> bool {
    kind == Kind::Model
        && ["config.json", "open_clip_config.json"].iter().all(|name| names.contains(*name))
}

/// The plan for a repository with these `names`, or the missing part. `config` is the content of `config.json`, where
/// it [is needed](needs_config).
pub(crate) fn plan(
    kind: Kind,
    names: &BTreeSet<String>,
    config: Option<&[u8]>,
) -> Result<Plan, String> {
    match kind {
        Kind::Adapter => adapter(names),
        Kind::Model => {
            // timm writes its own config.json for the vision tower alone, and its weights to model.safetensors, beside
            // the files of OpenCLIP.
            let hugging_face = names.contains("config.json") && config.is_none_or(describes_towers);
            model(names, hugging_face, names.contains("open_clip_config.json"))
        }
    }
}

fn model(names: &BTreeSet<String>, hugging_face: bool, open_clip: bool) -> Result<Plan, String> {
    if !hugging_face && !open_clip {
        return Err(
            "there is no config.json and no open_clip_config.json: this is not a CLIP".into()
        );
    }
    let (layout, weights) = WEIGHTS
        .into_iter()
        .find(|(layout, weights)| {
            let configured = match layout {
                Layout::HuggingFace => hugging_face,
                Layout::OpenClip => open_clip,
            };
            configured && names.contains(weights.name())
        })
        .ok_or_else(|| {
            let names = WEIGHTS.map(|(_, weights)| weights.name()).join(", ");
            format!("there are no weights beside the configuration; any of {names} would do")
        })?;
    let mut small = vec![match layout {
        Layout::HuggingFace => "config.json",
        Layout::OpenClip => "open_clip_config.json",
    }];
    if names.contains("tokenizer.json") {
        small.push("tokenizer.json");
    } else {
        small.extend(["vocab.json", "merges.txt"].into_iter().filter(|name| names.contains(*name)));
    }
    // transformers reads these, too (it writes the last of them since version 5).
    let optional = [
        "tokenizer_config.json",
        "special_tokens_map.json",
        "added_tokens.json",
        "preprocessor_config.json",
        "processor_config.json",
        TRAINING,
    ];
    small.extend(optional.into_iter().filter(|name| names.contains(*name)));
    Ok(Plan { small, weights })
}

fn adapter(names: &BTreeSet<String>) -> Result<Plan, String> {
    let (config, weights) = ("adapter_config.json", "adapter_model.safetensors");
    if !names.contains(config) {
        return Err(format!("there is no {config}: this is not a PEFT adapter"));
    }
    if !names.contains(weights) {
        let pickled = names.contains("adapter_model.bin");
        let remedy = if pickled {
            "; adapter_model.bin is not read, load it with PEFT and save it again"
        } else {
            ""
        };
        return Err(format!("there is no {weights}{remedy}"));
    }
    let small = [Some(config), names.contains(TRAINING).then_some(TRAINING)];
    Ok(Plan { small: small.into_iter().flatten().collect(), weights: Weights::File(weights) })
}

impl Weights {
    pub(crate) fn name(&self) -> &'static str {
        match self {
            Self::File(name) | Self::Index(name) => name,
        }
    }
}

/// Whether a `config.json` describes the towers of a CLIP, or at least a kind of model.
fn describes_towers(config: &[u8]) -> bool {
    let document: serde_json::Value = serde_json::from_slice(config).unwrap_or_default();
    ["model_type", "text_config", "vision_config"].iter().any(|key| document.get(key).is_some())
}

/// The shards that an index names, each a plain name among `names`; or the problem.
pub(crate) fn shards(index: &[u8], names: &BTreeSet<String>) -> Result<Vec<String>, String> {
    #[derive(Deserialize)]
    struct Index {
        weight_map: BTreeMap<String, String>,
    }
    let index: Index =
        serde_json::from_slice(index).map_err(|error| format!("not an index: {error}"))?;
    let shards: BTreeSet<String> = index.weight_map.into_values().collect();
    for shard in &shards {
        if !is_plain_name(shard) {
            return Err(format!("the shard {shard:?} is not a plain file name"));
        }
        if !names.contains(shard) {
            return Err(format!("the shard {shard:?} is not there"));
        }
    }
    if shards.is_empty() {
        return Err("it names no shards".into());
    }
    Ok(shards.into_iter().collect())
}

/// Whether a name stays in its folder on every system, and needs no escape in an address.
fn is_plain_name(name: &str) -> bool {
    (1..=200).contains(&name.len())
        && !name.starts_with('.')
        && !name.ends_with('.')
        && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn set(names: &[&str]) -> BTreeSet<String> {
        names.iter().map(|name| (*name).to_owned()).collect()
    }

    fn planned(kind: Kind, names: &[&str], config: &str) -> Result<Plan, String> {
        let names = set(names);
        let config = needs_config(kind, &names).then_some(config.as_bytes());
        plan(kind, &names, config)
    }

    #[test]
    fn the_same_weights_are_taken_once() {
        let openai = [
            ".gitattributes",
            "README.md",
            "config.json",
            "flax_model.msgpack",
            "merges.txt",
            "model.safetensors",
            "preprocessor_config.json",
            "pytorch_model.bin",
            "special_tokens_map.json",
            "tf_model.h5",
            "tokenizer.json",
            "tokenizer_config.json",
            "vocab.json",
        ];
        let plan = planned(Kind::Model, &openai, "{}").unwrap();
        assert_eq!(plan.weights, Weights::File("model.safetensors"));
        assert_eq!(
            plan.small,
            [
                "config.json",
                "tokenizer.json",
                "tokenizer_config.json",
                "special_tokens_map.json",
                "preprocessor_config.json"
            ]
        );
        let new = ["config.json", "model.safetensors", "processor_config.json"];
        assert_eq!(
            planned(Kind::Model, &new, "{}").unwrap().small,
            ["config.json", "processor_config.json"]
        );
        let trained = ["config.json", "flora.json", "model.safetensors"];
        assert_eq!(
            planned(Kind::Model, &trained, "{}").unwrap().small,
            ["config.json", "flora.json"]
        );
        let without: Vec<_> = openai.into_iter().filter(|name| *name != "tokenizer.json").collect();
        assert_eq!(
            planned(Kind::Model, &without, "{}").unwrap().small[1..3],
            ["vocab.json", "merges.txt"]
        );
    }

    #[test]
    fn weights_in_their_order() {
        let mut names = vec!["config.json", "open_clip_config.json"];
        names.extend(WEIGHTS.map(|(_, weights)| weights.name()));
        for (layout, weights) in WEIGHTS {
            let towers = r#"{"text_config": {}, "vision_config": {}}"#;
            let plan = planned(Kind::Model, &names, towers).unwrap();
            assert_eq!(planned(Kind::Model, &names, r#"{"model_type": "clip"}"#).unwrap(), plan);
            assert_eq!(plan.weights, weights);
            let config =
                if layout == Layout::OpenClip { "open_clip_config.json" } else { "config.json" };
            assert_eq!(plan.small, [config]);
            names.retain(|name| *name != weights.name());
        }
        let error = planned(Kind::Model, &names, r#"{"model_type": "clip"}"#).unwrap_err();
        assert!(error.contains("model.safetensors"), "{error}");
    }

    #[test]
    fn a_config_of_timm_is_no_clip() {
        let names = [
            "config.json",
            "model.safetensors",
            "open_clip_config.json",
            "open_clip_pytorch_model.bin",
        ];
        for config in [r#"{"architecture": "vit_base_patch16_clip_224"}"#, "[", "[]"] {
            let plan = planned(Kind::Model, &names, config).unwrap();
            assert_eq!(plan.weights, Weights::File("open_clip_pytorch_model.bin"));
            assert_eq!(plan.small, ["open_clip_config.json"]);
        }
        assert!(
            planned(Kind::Model, &["model.safetensors"], "{}").unwrap_err().contains("config.json")
        );
    }

    #[test]
    fn adapters() {
        let names = [
            "adapter_config.json",
            "adapter_model.safetensors",
            "model.safetensors",
            "config.json",
        ];
        let plan = planned(Kind::Adapter, &names, "{}").unwrap();
        assert_eq!(plan.small, ["adapter_config.json"]);
        assert_eq!(plan.weights, Weights::File("adapter_model.safetensors"));
        let trained = ["adapter_config.json", "adapter_model.safetensors", "flora.json"];
        let plan = planned(Kind::Adapter, &trained, "").unwrap();
        assert_eq!(plan.small, ["adapter_config.json", "flora.json"]);
        let error =
            planned(Kind::Adapter, &["adapter_config.json", "adapter_model.bin"], "").unwrap_err();
        assert!(error.contains("adapter_model.bin is not read"), "{error}");
        assert!(planned(Kind::Adapter, &["config.json"], "").is_err());
    }

    #[test]
    fn indexes() {
        let names = set(&["a.safetensors", "b.safetensors"]);
        let read = |index: &str| shards(index.as_bytes(), &names);
        let good = r#"{"metadata": {}, "weight_map": {"x": "b.safetensors", "y": "a.safetensors", "z": "b.safetensors"}}"#;
        assert_eq!(read(good).unwrap(), ["a.safetensors", "b.safetensors"]);
        for bad in [
            "../evil",
            "..",
            ".",
            "",
            "/etc/passwd",
            "a/b",
            "a\\b",
            "C:x",
            "a\u{0}b",
            "a b",
            "a%2fb",
            ".hidden",
            "a?b",
            "é",
            "c.safetensors",
        ] {
            let index = serde_json::json!({ "weight_map": { "x": bad } }).to_string();
            let error = read(&index).unwrap_err();
            assert!(error.contains(&format!("{bad:?}")), "{error}");
        }
        for bad in [
            "",
            "[]",
            "{}",
            r#"{"weight_map": {}}"#,
            r#"{"weight_map": {"x": 1}}"#,
            &"[".repeat(100_000),
        ] {
            assert!(read(bad).is_err(), "{bad:.40}");
        }
    }
}

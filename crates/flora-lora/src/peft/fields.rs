//! The fields of `adapter_config.json`, and the fields that must have no effect.

use std::collections::{BTreeMap, btree_map};
use std::fmt;

use serde::Deserialize;
use serde::de::{Deserializer, Error as _, MapAccess, Visitor};
use serde_json::Value;

use super::refusal::{Refusal, shown};
use crate::text::shortened;

/// The fields of the object by name.
#[derive(Debug)]
pub(super) struct Fields(BTreeMap<String, Value>);

impl Fields {
    pub(super) fn get(&self, name: &str) -> Option<&Value> {
        self.0.get(name)
    }
}

/// A map would silently keep the last of two fields with one name.
impl<'de> Deserialize<'de> for Fields {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Map;
        impl<'de> Visitor<'de> for Map {
            type Value = Fields;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Fields, A::Error> {
                let mut fields = BTreeMap::new();
                while let Some(name) = map.next_key::<String>()? {
                    match fields.entry(name) {
                        btree_map::Entry::Vacant(entry) => {
                            entry.insert(map.next_value()?);
                        }
                        btree_map::Entry::Occupied(entry) => {
                            let name = shortened(entry.key());
                            return Err(A::Error::custom(format!("{name:?} occurs twice")));
                        }
                    }
                }
                Ok(Fields(fields))
            }
        }
        deserializer.deserialize_map(Map)
    }
}

/// Fields that are read.
const READ: [&str; 18] = [
    "alpha_pattern",
    "auto_mapping",
    "base_model_name_or_path",
    "bias",
    "exclude_modules",
    "init_lora_weights",
    "layers_pattern",
    "layers_to_transform",
    "lora_alpha",
    "lora_bias",
    "lora_dropout",
    "modules_to_save",
    "peft_type",
    "r",
    "rank_pattern",
    "target_modules",
    "use_dora",
    "use_rslora",
];

/// Fields that do not change the adapter: its purpose, its origin, and details of options that other fields switch on.
const HARMLESS: [&str; 7] = [
    "inference_mode",
    "megatron_core",
    "peft_version",
    "qalora_group_size",
    "revision",
    "runtime_config",
    "task_type",
];

/// The meaning of the other fields of peft 0.21's `LoraConfig`.
const MEANINGS: [(&str, &str); 17] = [
    ("alora_invocation_tokens", "an adapter that is off until certain tokens come (aLoRA)"),
    ("arrow_config", "several adapters that are chosen by token (Arrow)"),
    ("corda_config", "CorDA, which changes the weights of the base model"),
    ("ensure_weight_tying", "one adapter for layers that share their weights"),
    ("eva_config", "EVA, which gives each layer its own rank"),
    ("fan_in_fan_out", "base layers that store their weights transposed (GPT-2's Conv1D)"),
    ("kasa_config", "a diagonal matrix between A and B (KaSA)"),
    ("layer_replication", "a base model that repeats some of its layers"),
    ("loftq_config", "LoftQ, which changes the weights of the base model"),
    ("lora_ga_config", "LoRA-GA, which changes the weights of the base model"),
    ("megatron_config", "layers of Megatron"),
    ("monteclora_config", "random weights around the adapter (MonteCLoRA)"),
    ("target_parameters", "adapters on parameters that belong to no linear layer"),
    ("trainable_token_indices", "rows of the token embedding that were trained"),
    ("use_bdlora", "A or B in blocks on the diagonal (BD-LoRA)"),
    ("use_qalora", "inputs that are pooled in groups (QA-LoRA)"),
    ("velora_config", "a backward pass of its own (VeLoRA)"),
];

/// Refuses every unsupported field that has an effect.
pub(super) fn check_others(fields: &Fields) -> Result<(), Refusal> {
    for (name, value) in &fields.0 {
        let known = READ.contains(&name.as_str()) || HARMLESS.contains(&name.as_str());
        if known || says_nothing(value) {
            continue;
        }
        let meaning = MEANINGS.iter().find(|(field, _)| field == name).map(|(_, meaning)| *meaning);
        return Err(match meaning {
            Some(meaning) => Refusal::new(
                name,
                format!("{} asks for {meaning}; this cannot be loaded", shown(value)),
            ),
            None => Refusal::new(
                shortened(name),
                format!(
                    "{}: this option is unknown here, perhaps from a newer PEFT; \
                 the adapter can only be loaded if it is null, false or empty",
                    shown(value)
                ),
            ),
        });
    }
    Ok(())
}

fn says_nothing(value: &Value) -> bool {
    match value {
        Value::Null | Value::Bool(false) => true,
        Value::String(text) => text.is_empty(),
        Value::Array(list) => list.is_empty(),
        Value::Object(object) => object.is_empty(),
        Value::Bool(true) | Value::Number(_) => false,
    }
}

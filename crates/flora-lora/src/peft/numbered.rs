//! `layers_to_transform` and `layers_pattern`: adapters in some of the numbered layers.

use serde_json::Value;

use super::fields::Fields;
use super::refusal::{Refusal, expected};
use crate::TargetModules;
use crate::pattern::escape;

const LAYERS: &str = "layers_to_transform";
const PATTERN: &str = "layers_pattern";

/// `targets` combined with the two fields, as in `check_target_module_exists` of PEFT: a layer whose full name is in
/// the list is always selected; a layer that matches by the end of its name is selected if its first number is among
/// those listed. The result is an expression for whole names.
pub(super) fn targets(fields: &Fields, targets: TargetModules) -> Result<TargetModules, Refusal> {
    let layers = match fields.get(LAYERS) {
        None | Some(Value::Null) => None,
        Some(number @ Value::Number(_)) => Some(vec![index(number)?]),
        Some(Value::Array(numbers)) => {
            Some(numbers.iter().map(index).collect::<Result<Vec<_>, _>>()?)
        }
        Some(other) => return Err(expected(LAYERS, "a list of whole numbers", other)),
    };
    let patterns = match fields.get(PATTERN) {
        None | Some(Value::Null) => Vec::new(),
        Some(Value::String(pattern)) if pattern.is_empty() => Vec::new(),
        Some(Value::String(pattern)) => vec![pattern.as_str()],
        Some(list @ Value::Array(patterns)) => {
            let patterns: Option<Vec<&str>> = patterns.iter().map(Value::as_str).collect();
            patterns.ok_or_else(|| expected(PATTERN, "a name or a list of names", list))?
        }
        Some(other) => return Err(expected(PATTERN, "a name or a list of names", other)),
    };
    let Some(layers) = layers else {
        return match patterns[..] {
            [] => Ok(targets),
            [..] => Err(Refusal::new(PATTERN, "it has no effect without layers_to_transform")),
        };
    };
    let TargetModules::List(names) = &targets else {
        let problem = "it cannot be combined with an expression in target_modules; \
             select the layers in that expression";
        return Err(Refusal::new(LAYERS, problem));
    };
    if layers.is_empty() {
        return Ok(targets);
    }
    let names: Vec<String> =
        names.iter().filter(|name| !name.is_empty()).map(|name| escape(name)).collect();
    if names.is_empty() {
        return Ok(targets);
    }
    let (names, layers) = (names.join("|"), layers.join("|"));
    let numbered = in_layers(&patterns, &layers);
    Ok(TargetModules::Pattern(format!(r"(?:{names})|(?={numbered})(?:.*\.)(?:{names})")))
}

/// A layer's number as it occurs in a name.
fn index(value: &Value) -> Result<String, Refusal> {
    let number = value.as_u64().map(|number| number.to_string());
    number.ok_or_else(|| expected(LAYERS, "a list of whole numbers", value))
}

/// An expression for the beginning of a name up to the number, which is one of `layers`.
fn in_layers(patterns: &[&str], layers: &str) -> String {
    match patterns {
        // The first number with two parts before it.
        [] => format!(r"[^.]*\.[^.]*\.(?:(?!\d+\.)[^.]*\.)*(?:{layers})\."),
        // The first number after the pattern; of several patterns, the first that occurs.
        [pattern, others @ ..] => {
            let numbered = format!(r"(?:{pattern})\.\d+\.");
            let here = format!(r"(?:(?!{numbered})[^.]*\.)*(?:{pattern})\.(?:{layers})\.");
            match others {
                [] => here,
                _ => {
                    let elsewhere = in_layers(others, layers);
                    format!(r"(?:{here}|(?!(?:[^.]*\.)*{numbered})(?:{elsewhere}))")
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::{LoraConfig, Towers};

    fn matches(layers: Value, patterns: Value, name: &str) -> bool {
        let text = json!({ LAYERS: layers, PATTERN: patterns }).to_string();
        let fields: Fields = serde_json::from_str(&text).unwrap();
        let list = ["q_proj", "a.1.b.2.fc", "layers.3.fc1"].into();
        let Ok(target_modules) = targets(&fields, list) else { panic!("{text}") };
        let config = LoraConfig { target_modules, towers: Towers::Both, ..LoraConfig::default() };
        config.matcher().unwrap().matches(name).unwrap()
    }

    #[test]
    fn layers_are_taken_as_peft_takes_them() {
        // Checked against `peft.tuners.tuners_utils.check_target_module_exists` of peft 0.21.2.
        let q = "text_model.encoder.layers.2.self_attn.q_proj";
        for (layers, patterns, name, expected) in [
            (json!([0, 2]), json!(null), q, true),
            (json!([0, 1]), json!(null), q, false),
            (json!(2), json!(null), q, true),
            (json!([12]), json!(null), q, false),
            (json!([2]), json!(null), "encoder.layers.2.k_proj", false),
            (json!([2]), json!(null), "layers.2.q_proj", false),
            (json!([2]), json!("layers"), "layers.2.q_proj", true),
            (json!([2]), json!(["layers"]), q, true),
            (json!([2]), json!("ayers"), q, false),
            (json!([2]), json!("encoder.layers"), q, true),
            (json!([2]), json!(["h", "layers"]), q, true),
            (json!([2]), json!(["h", "layers"]), "m.layers.2.h.3.q_proj", false),
            (json!([3]), json!(["h", "layers"]), "m.layers.2.h.3.q_proj", true),
            (json!([3]), json!(null), "m.layers.2.h.3.q_proj", false),
            (json!([2]), json!(null), "m.layers.2.h.3.q_proj", true),
            (json!([3]), json!("layers"), "m.layers.2.layers.3.q_proj", false),
            (json!([1]), json!(""), "q_proj", true),
            (json!([9]), json!([]), "a.1.b.2.fc", true),
            (json!([9]), json!([]), "x.a.1.b.2.fc", false),
            (json!([1]), json!([]), "x.a.1.b.2.fc", true),
            (json!([]), json!([]), q, true),
            (json!([3]), json!(null), "m.layers.3.fc1", true),
            (json!([4]), json!(null), "m.layers.3.fc1", false),
        ] {
            let found = matches(layers.clone(), patterns.clone(), name);
            assert_eq!(found, expected, "{layers} {patterns} {name}");
        }
    }

    #[test]
    fn what_peft_refuses_is_refused() {
        for (fields, field) in [
            (json!({ LAYERS: [-1] }), LAYERS),
            (json!({ LAYERS: [1.5] }), LAYERS),
            (json!({ LAYERS: "1" }), LAYERS),
            (json!({ PATTERN: "layers" }), PATTERN),
            (json!({ LAYERS: 1, PATTERN: [1] }), PATTERN),
            (json!({ LAYERS: 1, PATTERN: {} }), PATTERN),
        ] {
            let read: Fields = serde_json::from_str(&fields.to_string()).unwrap();
            let refusal = targets(&read, ["q_proj"].into()).expect_err("a refusal");
            assert_eq!(refusal.field, field, "{fields}");
        }
        let read: Fields = serde_json::from_str(&json!({ LAYERS: [1] }).to_string()).unwrap();
        let expression = TargetModules::Pattern("q_proj".into());
        assert!(targets(&read, expression).expect_err("a refusal").problem.contains("expression"));
    }
}

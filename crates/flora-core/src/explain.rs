//! Error messages of serde and `toml`, rewritten for people who write configuration files.

use crate::text::nearest;

/// Rewrites an error message of `toml` or serde in plain words: "a whole number" for `usize`, the key in front, and for
/// a mistyped name the most similar known one.
///
/// ```
/// let said = "invalid type: string \"five\", expected usize\nin `training.rounds`\n";
/// let plain = "training.rounds: expected a whole number, found the text \"five\"";
/// assert_eq!(flora_core::explain::toml(said), plain);
/// ```
pub fn toml(message: &str) -> String {
    let message = message.trim_end();
    let (message, key) = match message.rsplit_once("\nin `") {
        Some((message, key)) => (message, key.strip_suffix('`')),
        None => (message, None),
    };
    // A line of the file may come before the last line.
    let (before, problem) = match message.rsplit_once('\n') {
        Some((before, problem)) => (format!("{before}\n"), problem),
        None => (String::new(), message),
    };
    let key = key.map(|key| format!("{key}: ")).unwrap_or_default();
    let plain = mistyped(problem).or_else(|| mismatch(problem));
    format!("{before}{key}{}", plain.unwrap_or_else(|| problem.to_owned()))
}

/// Rewrites `unknown field` and `unknown variant`: lists the known names.
fn mistyped(problem: &str) -> Option<String> {
    let (what, rest) = match problem.strip_prefix("unknown field `") {
        Some(rest) => ("field", rest),
        None => ("value", problem.strip_prefix("unknown variant `")?),
    };
    let (name, known) = rest.split_once("`, ")?;
    let known = known.strip_prefix("expected ").unwrap_or_default();
    let known = known.strip_prefix("one of ").unwrap_or(known);
    let names: Vec<&str> = known.split('`').skip(1).step_by(2).collect();
    let meant = nearest(name, names.iter().copied()).or_else(|| {
        // `alpha` for `lora_alpha`.
        let is_part = |other: &&str| other.split('_').any(|part| part == name);
        names.iter().copied().find(is_part)
    });
    Some(match (meant, names.as_slice()) {
        (_, []) => format!("unknown {what} `{name}`; no settings are accepted here"),
        (Some(meant), _) => format!(
            "unknown {what} `{name}`; did you mean `{meant}`? Known are {}",
            names.join(", ")
        ),
        (None, _) => format!("unknown {what} `{name}`; known are {}", names.join(", ")),
    })
}

/// Rewrites `invalid type`, `invalid value` and `invalid length`: the expected and the found value.
fn mismatch(problem: &str) -> Option<String> {
    let rest = problem.strip_prefix("invalid ")?;
    let (found, expected) = rest.rsplit_once(", expected ")?;
    let (kind, found) = match found.split_once(": ") {
        Some((kind, found)) => (kind, found_words(found)),
        None => ("length", found.strip_prefix("length ")?.to_owned()),
    };
    let mut expected = expected_words(expected);
    if kind == "value" && found.starts_with('-') && expected == "a whole number" {
        expected += ", 0 or more";
    }
    Some(format!("expected {expected}, found {found}"))
}

fn found_words(found: &str) -> String {
    let value = || found.split_once('`').map(|(_, value)| value.trim_end_matches('`').to_owned());
    let words = match found {
        "sequence" => Some("a list".to_owned()),
        "map" => Some("a table".to_owned()),
        _ => match found.split_once(' ') {
            Some(("string", text)) => Some(format!("the text {text}")),
            Some(("integer" | "floating" | "boolean" | "datetime", _)) => value(),
            _ => None,
        },
    };
    words.unwrap_or_else(|| found.to_owned())
}

fn expected_words(expected: &str) -> String {
    const WHOLE: [&str; 10] =
        ["u8", "u16", "u32", "u64", "usize", "i8", "i16", "i32", "i64", "isize"];
    if let Some(length) = expected.strip_prefix("an array of length ") {
        return format!("a list of {length} values");
    }
    let words = match expected {
        whole if WHOLE.contains(&whole) => "a whole number",
        above if above.strip_prefix("a nonzero ").is_some_and(|it| WHOLE.contains(&it)) => {
            "a whole number above 0"
        }
        "f32" | "f64" => "a number",
        "a string" | "string" | "str" | "path string" | "a borrowed string" => "text",
        "a boolean" => "true or false",
        "a sequence" => "a list",
        "a map" => "a table",
        table if table.starts_with("struct ") => "a table of settings",
        tagged if tagged.starts_with("internally tagged enum ") => "a table with a kind",
        other => other,
    };
    words.to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde::Deserialize;

    #[test]
    fn types_are_called_what_people_call_them() {
        for (said, plain) in [
            ("invalid type: floating point `1.5`, expected u64", "a whole number, found 1.5"),
            ("invalid value: integer `-1`, expected usize", "a whole number, 0 or more, found -1"),
            (
                "invalid value: integer `0`, expected a nonzero usize",
                "a whole number above 0, found 0",
            ),
            ("invalid type: string \"a, expected b\", expected f64", "a number, found the text"),
            ("invalid type: integer `5`, expected a string", "text, found 5"),
            ("invalid type: string \"yes\", expected a boolean", "true or false, found the text"),
            ("invalid type: map, expected a sequence", "a list, found a table"),
            ("invalid type: boolean `true`, expected struct LoraConfig", "settings, found true"),
            ("invalid length 1, expected an array of length 2", "a list of 2 values, found 1"),
        ] {
            let told = toml(said);
            assert!(told.starts_with("expected ") && told.contains(plain), "{said}: {told}");
        }
    }

    #[test]
    fn a_mistyped_name_is_told_the_right_one() {
        let fields = "expected one of `rounds`, `local_epochs`, `learning_rate`";
        let told = toml(&format!("unknown field `learnig_rate`, {fields}\nin `training`\n"));
        assert_eq!(
            told,
            "training: unknown field `learnig_rate`; did you mean `learning_rate`? \
             Known are rounds, local_epochs, learning_rate"
        );
        let told = toml(&format!("unknown field `epochs`, {fields}"));
        assert!(told.contains("did you mean `local_epochs`?"), "{told}");
        let told = toml("unknown variant `x`, expected `f32` or `f16`");
        assert_eq!(told, "unknown value `x`; known are f32, f16");
        let told = toml("unknown field `x`, there are no fields");
        assert_eq!(told, "unknown field `x`; no settings are accepted here");
    }

    /// The messages come from another crate: this test fails if their wording changes.
    #[test]
    fn what_serde_says_is_understood() {
        #[derive(Debug, Deserialize)]
        #[serde(deny_unknown_fields)]
        #[expect(dead_code, reason = "only read")]
        struct Some {
            count: usize,
        }
        let said = |json: &str| serde_json::from_str::<Some>(json).unwrap_err().to_string();
        let said = |json| said(json).split(" at line").next().unwrap().to_owned();
        let told = toml(&said(r#"{"count": "x"}"#));
        assert_eq!(told, "expected a whole number, found the text \"x\"");
        let told = toml(&said(r#"{"cuont": 1}"#));
        assert_eq!(told, "unknown field `cuont`; did you mean `count`? Known are count");
        assert_eq!(toml("anything else\n"), "anything else");
    }
}

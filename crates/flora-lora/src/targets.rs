use std::fmt;

use serde::{Deserialize, Serialize};

use crate::pattern::Pattern;
use crate::{LoraError, Towers};

/// Which layers to adapt, as PEFT's `target_modules` says it.
///
/// In a file, a list and a string: `["q_proj", "v_proj"]`, `'.*layers\.[01]\..*_proj'`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged, expecting = "a list of names, or a string that is a regular expression")]
pub enum TargetModules {
    /// A layer is taken when its name equals an entry or ends in `.` + entry.
    List(Vec<String>),
    /// A layer is taken when this regular expression matches its whole name, as Python's
    /// `re.fullmatch` does. Look-ahead, look-behind and references back are allowed.
    Pattern(String),
}

impl<const N: usize> From<[&str; N]> for TargetModules {
    fn from(names: [&str; N]) -> Self {
        Self::List(names.map(str::to_owned).to_vec())
    }
}

impl From<Vec<String>> for TargetModules {
    fn from(names: Vec<String>) -> Self {
        Self::List(names)
    }
}

/// As a message cites it.
impl fmt::Display for TargetModules {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::List(names) => write!(f, "{names:?}"),
            Self::Pattern(pattern) => {
                write!(f, "the regular expression {pattern:?} (for whole names)")
            }
        }
    }
}

/// Tells the layers to adapt from the others, by name; made by
/// [`LoraConfig::matcher`](crate::LoraConfig::matcher).
#[derive(Debug, Clone)]
pub struct TargetMatcher {
    towers: Towers,
    rule: Rule,
}

#[derive(Debug, Clone)]
enum Rule {
    Ends(Vec<String>),
    Whole(Pattern),
}

impl TargetMatcher {
    pub(crate) fn new(targets: &TargetModules, towers: Towers) -> Result<Self, LoraError> {
        let rule = match targets {
            TargetModules::List(names) if names.iter().any(|name| !name.is_empty()) => {
                Rule::Ends(names.clone())
            }
            TargetModules::Pattern(pattern) if pattern.eq_ignore_ascii_case("all-linear") => {
                return Err(wrong(format!(
                    "{pattern:?} is a shorthand of PEFT that flora lacks; name the layers to \
                     adapt, for example [\"q_proj\", \"v_proj\"]"
                )));
            }
            TargetModules::Pattern(pattern) if !pattern.is_empty() => {
                let compiled = Pattern::compile(pattern).map_err(|problem| {
                    wrong(format!(
                        "the regular expression {} cannot be used: {problem}",
                        shortened(pattern)
                    ))
                })?;
                Rule::Whole(compiled)
            }
            TargetModules::List(_) | TargetModules::Pattern(_) => {
                return Err(wrong(
                    "empty; name the layers to adapt, for example [\"self_attn.out_proj\"]".into(),
                ));
            }
        };
        Ok(Self { towers, rule })
    }

    /// Whether the layer of this name is to be adapted.
    ///
    /// # Errors
    ///
    /// [`LoraError::Config`] if the regular expression takes too long on this name.
    pub fn matches(&self, name: &str) -> Result<bool, LoraError> {
        if !self.towers.contain(name) {
            return Ok(false);
        }
        match &self.rule {
            Rule::Ends(ends) => Ok(ends.iter().any(|end| {
                name.strip_suffix(end.as_str())
                    .is_some_and(|rest| rest.is_empty() || rest.ends_with('.'))
            })),
            Rule::Whole(pattern) => pattern.matches(name).map_err(|problem| {
                wrong(format!(
                    "the regular expression takes too long on {}: {problem}; \
                     write it without repetitions inside repetitions",
                    shortened(name)
                ))
            }),
        }
    }
}

fn wrong(problem: String) -> LoraError {
    LoraError::Config { field: "target_modules", problem }
}

/// `text` in quotes, cut where a message would drown in it.
pub(crate) fn shortened(text: &str) -> String {
    match text.char_indices().nth(100) {
        Some((end, _)) => format!("{:?}…", &text[..end]),
        None => format!("{text:?}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::LoraConfig;

    fn config(target_modules: impl Into<TargetModules>, towers: Towers) -> LoraConfig {
        LoraConfig { target_modules: target_modules.into(), towers, ..LoraConfig::default() }
    }

    fn pattern(pattern: &str) -> TargetModules {
        TargetModules::Pattern(pattern.into())
    }

    #[test]
    fn a_list_matches_whole_name_parts_inside_the_tower() {
        let paper = LoraConfig::default().matcher().unwrap();
        let q = config(["q_proj", "visual_projection", ""], Towers::Vision).matcher().unwrap();
        for (matcher, name, expected) in [
            (&paper, "text_model.encoder.layers.0.self_attn.out_proj", true),
            (&paper, "vision_model.encoder.layers.0.self_attn.out_proj", false),
            (&paper, "text_model.encoder.layers.0.cross_self_attn.out_proj", false),
            (&q, "vision_model.encoder.layers.11.self_attn.q_proj", true),
            (&q, "visual_projection", true),
            (&q, "text_projection", false),
        ] {
            assert_eq!(matcher.matches(name).unwrap(), expected, "{name}");
        }
    }

    #[test]
    fn a_pattern_matches_whole_names_inside_the_tower() {
        let matcher =
            config(pattern(r".*layers\.[01]\.mlp\.fc\d"), Towers::Text).matcher().unwrap();
        for (name, expected) in [
            ("text_model.encoder.layers.1.mlp.fc2", true),
            ("text_model.encoder.layers.2.mlp.fc2", false),
            ("text_model.encoder.layers.1.mlp.fc2.more", false),
            ("vision_model.encoder.layers.1.mlp.fc2", false),
        ] {
            assert_eq!(matcher.matches(name).unwrap(), expected, "{name}");
        }
    }

    #[test]
    fn patterns_that_cannot_be_used_are_refused_by_field() {
        for (bad, problem) in [("", "empty"), ("(a", "(a"), ("All-Linear", "shorthand")] {
            let error = config(pattern(bad), Towers::Both).check().unwrap_err().to_string();
            assert!(error.starts_with("lora.target_modules: "), "{error}");
            assert!(error.contains(problem), "{error}");
        }
    }

    #[test]
    fn a_pattern_that_goes_back_for_ever_ends() {
        let name = format!("{}!", "a".repeat(5000));
        // The first is linear time here; the look-ahead of the others makes them go back.
        let plain = config(pattern("(a+)+$"), Towers::Both);
        assert!(!plain.targets(&name).unwrap());
        for slow in ["((?=a)a+)+$", "(?:(?=a)a|(?=a)aa)+", r"(a*)*\1b", "(?:(?:(?=a)a*)*)*c"] {
            let error = config(pattern(slow), Towers::Both).targets(&name).unwrap_err().to_string();
            assert!(error.starts_with("lora.target_modules: "), "{slow}: {error}");
            assert!(error.contains("too long") && error.len() < 500, "{slow}: {error}");
        }
    }

    #[test]
    fn files_hold_a_list_or_a_string() {
        let list: TargetModules = serde_json::from_str(r#"["a", "b"]"#).unwrap();
        assert_eq!(list, ["a", "b"].into());
        let string: TargetModules = serde_json::from_str(r#""a|b""#).unwrap();
        assert_eq!(string, pattern("a|b"));
        for targets in [list, string] {
            let text = serde_json::to_string(&targets).unwrap();
            assert_eq!(serde_json::from_str::<TargetModules>(&text).unwrap(), targets);
        }
        let error = serde_json::from_str::<TargetModules>("[1]").unwrap_err().to_string();
        assert!(error.contains("a list of names"), "{error}");
    }
}

use crate::pattern::Pattern;
use crate::text::shortened;
use crate::{LoraConfig, LoraError, TargetModules, Towers};

/// Selects the layers to adapt by name; built by [`LoraConfig::matcher`](crate::LoraConfig::matcher).
#[derive(Debug, Clone)]
pub struct TargetMatcher {
    towers: Towers,
    target: Rule,
    exclude: Option<Rule>,
}

impl TargetMatcher {
    pub(crate) fn new(config: &LoraConfig) -> Result<Self, LoraError> {
        let targets = &config.target_modules;
        let problem = match targets {
            TargetModules::Pattern(pattern) if pattern.eq_ignore_ascii_case("all-linear") => {
                Some(format!(
                    "{pattern:?} is a shorthand of PEFT that flora lacks; name the layers to \
                     adapt, for example [\"q_proj\", \"v_proj\"]"
                ))
            }
            targets if targets.is_empty() => {
                Some("empty; name the layers to adapt, for example [\"self_attn.out_proj\"]".into())
            }
            TargetModules::List(_) | TargetModules::Pattern(_) => None,
        };
        if let Some(problem) = problem {
            return Err(LoraError::Config { field: TARGET, problem });
        }
        Ok(Self {
            towers: config.towers,
            target: Rule::new(TARGET, targets)?,
            exclude: config
                .exclude_modules
                .as_ref()
                .map(|exclude| Rule::new("exclude_modules", exclude))
                .transpose()?,
        })
    }

    /// Whether the layer with this name is to be adapted.
    ///
    /// # Errors
    ///
    /// [`LoraError::Config`] if the regular expression takes too long on this name.
    pub fn matches(&self, name: &str) -> Result<bool, LoraError> {
        if !self.towers.contain(name) || !self.target.matches(name)? {
            return Ok(false);
        }
        match &self.exclude {
            Some(exclude) => Ok(!exclude.matches(name)?),
            None => Ok(true),
        }
    }
}

const TARGET: &str = "target_modules";

/// The layers that one field of the configuration selects.
#[derive(Debug, Clone)]
struct Rule {
    field: &'static str,
    names: Names,
}

#[derive(Debug, Clone)]
enum Names {
    Ends(Vec<String>),
    Whole(Pattern),
}

impl Rule {
    fn new(field: &'static str, modules: &TargetModules) -> Result<Self, LoraError> {
        let names = match modules {
            TargetModules::List(names) => Names::Ends(names.clone()),
            TargetModules::Pattern(pattern) => {
                Names::Whole(Pattern::compile(pattern).map_err(|problem| LoraError::Config {
                    field,
                    problem: format!(
                        "the regular expression {:?} cannot be used: {problem}",
                        shortened(pattern)
                    ),
                })?)
            }
        };
        Ok(Self { field, names })
    }

    fn matches(&self, name: &str) -> Result<bool, LoraError> {
        match &self.names {
            Names::Ends(ends) => Ok(ends.iter().any(|end| {
                name.strip_suffix(end.as_str())
                    .is_some_and(|rest| rest.is_empty() || rest.ends_with('.'))
            })),
            Names::Whole(pattern) => pattern.matches(name).map_err(|problem| LoraError::Config {
                field: self.field,
                problem: format!(
                    "the regular expression takes too long on {:?}: {problem}; \
                     write it without repetitions inside repetitions",
                    shortened(name)
                ),
            }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

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
    fn what_is_excluded_is_left_out() {
        // As PEFT's `check_target_module_exists` decides.
        for exclude in [["layers.1.fc1", "head"].into(), pattern(r".*\.1\..*1|head")] {
            let config = LoraConfig {
                exclude_modules: Some(exclude),
                ..config(pattern(".*fc[12]|head"), Towers::Both)
            };
            let matcher = config.matcher().unwrap();
            for (name, expected) in
                [("layers.0.fc1", true), ("layers.1.fc1", false), ("layers.1.fc2", true)]
            {
                assert_eq!(matcher.matches(name).unwrap(), expected, "{name}");
            }
            assert!(!matcher.matches("head").unwrap());
        }
        for nothing in [[""].into(), Vec::new().into(), pattern("")] {
            let config =
                LoraConfig { exclude_modules: Some(nothing), ..config(["fc1"], Towers::Both) };
            assert!(config.matcher().unwrap().matches("fc1").unwrap());
        }
        let bad = LoraConfig { exclude_modules: Some(pattern("(a")), ..LoraConfig::default() };
        let error = bad.check().unwrap_err().to_string();
        assert!(error.starts_with("lora.exclude_modules: "), "{error}");
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
        assert!(!plain.matcher().unwrap().matches(&name).unwrap());
        for slow in ["((?=a)a+)+$", "(?:(?=a)a|(?=a)aa)+", r"(a*)*\1b", "(?:(?:(?=a)a*)*)*c"] {
            let matcher = config(pattern(slow), Towers::Both).matcher().unwrap();
            let error = matcher.matches(&name).unwrap_err().to_string();
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

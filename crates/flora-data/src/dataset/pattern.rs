//! Patterns of folder trees: `images/{domain}/{split}/{class}`.

use std::fmt;

/// One folder level of a pattern.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Level {
    /// A folder of exactly this name.
    Literal(String),
    /// Every folder is a domain.
    Domain,
    /// Every folder named in `layout.splits` is a split.
    Split,
    /// Every folder is a class.
    Class,
}

/// The folder levels between the root and the images.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Pattern(pub(crate) Vec<Level>);

impl Pattern {
    /// Parses a pattern; the error is the problem.
    pub(crate) fn parse(text: &str) -> Result<Self, String> {
        let levels = text
            .split('/')
            .filter(|part| !matches!(*part, "" | "."))
            .map(|part| match part {
                "{domain}" => Ok(Level::Domain),
                "{split}" => Ok(Level::Split),
                "{class}" => Ok(Level::Class),
                _ if part.contains(['{', '}']) => Err(format!(
                    "{part:?} is neither a folder name nor one of {{domain}}, {{split}}, {{class}}"
                )),
                _ => Ok(Level::Literal(part.to_owned())),
            })
            .collect::<Result<Vec<_>, _>>()?;
        let pattern = Self(levels);
        for (level, name) in
            [(Level::Domain, "{domain}"), (Level::Split, "{split}"), (Level::Class, "{class}")]
        {
            if pattern.0.iter().filter(|other| **other == level).count() > 1 {
                return Err(format!("{name} occurs more than once"));
            }
        }
        if pattern.has(&Level::Class) { Ok(pattern) } else { Err("it has no {class}".to_owned()) }
    }

    /// The levels from the root down.
    pub(crate) fn levels(&self) -> &[Level] {
        &self.0
    }

    /// Whether a level occurs.
    pub(crate) fn has(&self, level: &Level) -> bool {
        self.0.contains(level)
    }
}

/// The syntax of descriptions.
impl fmt::Display for Pattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = |level: &Level| match level {
            Level::Literal(name) => name.clone(),
            Level::Domain => "{domain}".to_owned(),
            Level::Split => "{split}".to_owned(),
            Level::Class => "{class}".to_owned(),
        };
        f.write_str(&self.0.iter().map(name).collect::<Vec<_>>().join("/"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn levels_are_read_in_order() {
        let pattern = Pattern::parse("./images/{domain}/{split}/{class}").unwrap();
        assert_eq!(
            pattern.levels(),
            [Level::Literal("images".into()), Level::Domain, Level::Split, Level::Class]
        );
        assert_eq!(pattern.to_string(), "images/{domain}/{split}/{class}");
    }

    #[test]
    fn a_bad_pattern_says_why() {
        for (bad, why) in [
            ("", "no {class}"),
            ("{split}", "no {class}"),
            ("{class}/{class}", "more than once"),
            ("{klass}", "neither"),
            ("x{class}", "neither"),
        ] {
            let problem = Pattern::parse(bad).unwrap_err();
            assert!(problem.contains(why), "{bad}: {problem}");
        }
    }
}

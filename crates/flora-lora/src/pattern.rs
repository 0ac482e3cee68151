//! Regular expressions with the semantics of Python's `re.fullmatch`.

use fancy_regex::{Expr, Regex, RegexBuilder};

/// Room for some hundred names of layers. The compiled size grows with the length.
const MOST_BYTES: usize = 16 << 10;

/// The limit on backtracking steps in one match. Four stars over a name of usual length take fewer; nested repetitions
/// would take a power of 2.
const MOST_STEPS: usize = 100_000;

/// The limit on the size of an expression with its repetitions expanded, in units of about 40 bytes of automaton.
/// Twenty classes and three hundred names take 40,000.
const MOST_UNITS: usize = 100_000;

/// `\w` has some hundred ranges of characters, and in UTF-8 more.
const CLASS_UNITS: usize = 1000;

/// Each assertion splits the expression into pieces that are compiled separately.
const ASSERTION_UNITS: usize = 100;

/// A compiled expression that must match a whole name.
#[derive(Debug, Clone)]
pub(crate) struct Pattern(Regex);

impl Pattern {
    /// Compiles an expression; the error is the reason why it is unsupported.
    pub(crate) fn compile(expression: &str) -> Result<Self, String> {
        if expression.len() > MOST_BYTES {
            let length = expression.len();
            return Err(format!("{length} bytes long; at most {MOST_BYTES} are compiled"));
        }
        // Alone first: `a)|(b` would be valid inside a group, and error positions should be right.
        let tree = Expr::parse_tree(expression).map_err(|error| error.to_string())?;
        if units(&tree.expr)? > MOST_UNITS {
            return Err("too large with its repetitions written out".into());
        }
        RegexBuilder::new(&enclose(r"\A", expression, r"\z"))
            .backtrack_limit(MOST_STEPS)
            .build()
            .map(Self)
            .map_err(|error| error.to_string())
    }

    /// Whether the expression matches all of `name`; the error is the reason why matching failed.
    pub(crate) fn matches(&self, name: &str) -> Result<bool, String> {
        self.0.is_match(name).map_err(|error| error.to_string())
    }
}

/// The size of an expression once compiled. The parser limits the nesting depth.
///
/// The library can limit the size of each compiled piece, but not their number.
fn units(expression: &Expr) -> Result<usize, String> {
    let sum = |start, parts: &[&Expr]| -> Result<usize, String> {
        parts.iter().try_fold(start, |sum: usize, part| Ok(sum.saturating_add(units(part)?)))
    };
    Ok(match expression {
        Expr::Empty | Expr::Any { .. } | Expr::BackrefExistsCondition(_) => 1,
        Expr::Literal { val, .. } => val.len(),
        Expr::Delegate { inner, .. } => CLASS_UNITS + inner.len(),
        Expr::Concat(parts) | Expr::Alt(parts) => sum(1, &parts.iter().collect::<Vec<_>>())?,
        Expr::Group(inner) => sum(1, &[inner])?,
        Expr::Assertion(_) | Expr::Backref { .. } => ASSERTION_UNITS,
        Expr::LookAround(inner, _) | Expr::AtomicGroup(inner) => sum(ASSERTION_UNITS, &[inner])?,
        Expr::Conditional { condition, true_branch, false_branch } => {
            sum(ASSERTION_UNITS, &[condition, true_branch, false_branch])?
        }
        Expr::Repeat { child, lo, hi, .. } => {
            let times = if *hi == usize::MAX { *lo } else { *hi };
            units(child)?.saturating_mul(times.max(1))
        }
        Expr::KeepOut
        | Expr::ContinueFromPreviousMatchEnd
        | Expr::BackrefWithRelativeRecursionLevel { .. }
        | Expr::SubroutineCall(_)
        | Expr::UnresolvedNamedSubroutineCall { .. } => {
            return Err(r"\K, \G and calls of groups are unknown to Python, and to PEFT".into());
        }
    })
}

/// `expression` as one unit between `before` and `after`. Python accepts flags for a whole expression, such as `(?i)`,
/// only at its very start.
pub(crate) fn enclose(before: &str, expression: &str, after: &str) -> String {
    let (flags, rest) = split_flags(expression);
    // Where `x` allows comments, one at the end would swallow the parenthesis.
    let end = if flags.contains('x') { "\n" } else { "" };
    format!("{flags}{before}(?:{rest}{end}){after}")
}

/// The flags in front of an expression, and the rest.
fn split_flags(expression: &str) -> (&str, &str) {
    let flags = expression.strip_prefix("(?").and_then(|rest| {
        let letters = rest.bytes().take_while(u8::is_ascii_alphabetic).count();
        (letters > 0 && rest[letters..].starts_with(')')).then_some(letters + 3)
    });
    expression.split_at(flags.unwrap_or(0))
}

/// `text` as an expression that matches only itself, in Python and here.
pub(crate) fn escape(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for c in text.chars() {
        if r"()[]{}?*+-|^$\.&~#".contains(c) {
            escaped.push('\\');
        }
        escaped.push(c);
    }
    escaped
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_whole_name_must_match() {
        // Checked against Python's `re.fullmatch`.
        for (expression, name, expected) in [
            ("q_proj", "q_proj", true),
            ("q_proj", "a.q_proj", false),
            (r".*\.q_proj", "a.q_proj", true),
            ("a|ab", "ab", true),
            ("a|ab", "abc", false),
            (r"(?!vision).*\.(q|v)_proj", "text.0.q_proj", true),
            (r"(?!vision).*\.(q|v)_proj", "vision.0.q_proj", false),
            (r"(?=text_)(.*\.)?(self_attn\.out_proj)", "text_model.self_attn.out_proj", true),
            (r"(?=text_)(.*\.)?(self_attn\.out_proj)", "vision_model.self_attn.out_proj", false),
            (r".*layers\.(\d)\1\.fc", "m.layers.11.fc", true),
            (r".*layers\.(\d)\1\.fc", "m.layers.10.fc", false),
            (r"(?P<n>a)(?P=n)", "aa", true),
            (r".*(?<!vision)\.fc", "text.fc", true),
            (r".*(?<!vision)\.fc", "vision.fc", false),
            ("(?i)TEXT", "text", true),
            ("(?ix) te xt # the end", "TEXT", true),
            ("^fc1$", "fc1", true),
            (r"fc1\Z", "fc1", true),
        ] {
            let pattern = Pattern::compile(expression).unwrap();
            assert_eq!(pattern.matches(name), Ok(expected), "{expression} {name}");
        }
    }

    #[test]
    fn what_cannot_be_compiled_is_told() {
        let nested = format!("{}a{}", "(".repeat(5000), ")".repeat(5000));
        for expression in
            ["(", "a)|(b", "[", "*", r"((a{1000}){1000}){1000}", r"\w{500}", r"(a)\g<1>", &nested]
        {
            assert!(!Pattern::compile(expression).unwrap_err().is_empty(), "{expression}");
        }
        assert!(Pattern::compile(&"a".repeat(MOST_BYTES + 1)).unwrap_err().contains("bytes long"));
    }

    #[test]
    fn the_largest_that_compile_take_no_time() {
        let names = ["text_model.encoder.layers.11.self_attn.out_proj"; 300].join("|");
        let plain = format!(r"(?=text_)(.*\.)?({})", names.replace('.', r"\."));
        assert!(Pattern::compile(&plain).unwrap().matches(&names[..47]).unwrap());
        for (piece, most) in [
            ("(?=a)", 950),
            ("(?=.)b", 950),
            (r"(?=\w)", 80),
            (r"(?i:\w)", 90),
            (r"(?=\w{30})", 3),
            (r"(?:\w{30}|(?=a))", 3),
            ("(?=a{3000})", 31),
            ("(?>a{9})b", 800),
            (r"(a)\1", 900),
            ("(?:(?=a)b){99}", 9),
            (r"\b", 990),
        ] {
            let start = std::time::Instant::now();
            let pattern = Pattern::compile(&piece.repeat(most)).expect(piece);
            let compiled = start.elapsed();
            let _ = pattern.matches(&"ab".repeat(5000));
            println!("{piece}: {compiled:?} {:?}", start.elapsed());
            assert!(start.elapsed().as_secs_f64() < 30.0, "{piece}: {compiled:?}");
            let larger = Pattern::compile(&piece.repeat(2000)).unwrap_err();
            assert!(larger.contains("too large") || larger.contains("bytes long"), "{larger}");
        }
    }

    #[test]
    fn escaped_names_match_themselves_alone() {
        let name = r"a.b+c(d)[e]{f}?*^$|\-&&~~#_<g>";
        let pattern = Pattern::compile(&escape(name)).unwrap();
        assert_eq!(pattern.matches(name), Ok(true));
        assert_eq!(Pattern::compile(&escape("a.b")).unwrap().matches("aXb"), Ok(false));
    }

    #[test]
    fn flags_stay_in_front() {
        assert_eq!(enclose("(?=t)", "a|b", ""), "(?=t)(?:a|b)");
        assert_eq!(enclose("(?=t)", "(?i)a|b", ""), "(?i)(?=t)(?:a|b)");
        assert_eq!(enclose("(?=t)", "(?x)a # b", ""), "(?x)(?=t)(?:a # b\n)");
        assert_eq!(enclose("", "(?:a)b", ""), "(?:(?:a)b)");
        assert_eq!(enclose("", "(?i", ""), "(?:(?i)");
    }
}

//! What a program's output must match.

use regex_lite::Regex;

/// Asserts that `text` matches `pattern`, in which `^` and `$` are the ends of a line.
///
/// # Panics
///
/// With the text, if it does not.
#[track_caller]
pub fn assert_found(pattern: &str, text: &str) {
    assert!(regex(pattern).is_match(text), "no \"{pattern}\" in: {text}");
}

/// The number in the first group of the first match of `pattern`, in which `^` and `$` are the ends of a line.
///
/// # Panics
///
/// With the text, if it does not match, or with what is no number.
#[track_caller]
pub fn captured(pattern: &str, text: &str) -> f64 {
    let captures = regex(pattern).captures(text);
    let captures = captures.unwrap_or_else(|| panic!("no \"{pattern}\" in: {text}"));
    captures[1].parse().unwrap_or_else(|error| panic!("{pattern}: {}: {error}", &captures[1]))
}

fn regex(pattern: &str) -> Regex {
    Regex::new(&format!("(?m){pattern}")).unwrap_or_else(|error| panic!("{pattern}: {error}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_have_ends() {
        assert_found("^two$", "one\ntwo\nthree");
        assert_eq!(captured("^recall ([0-9.]+) %$", "classes 1 %\nrecall 50.5 %\n"), 50.5);
    }

    #[test]
    #[should_panic(expected = "in: one two")]
    fn what_does_not_match_is_shown() {
        assert_found("^two$", "one two");
    }
}

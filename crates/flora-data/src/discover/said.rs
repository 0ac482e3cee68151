//! Formatting of names and numbers in sentences.

use flora_core::text::printable;

/// `a, b and c`, or `a, b and 7 more` if there are more than `most`.
pub(super) fn some_of<S: AsRef<str>>(names: &[S], most: usize) -> String {
    let names: Vec<String> =
        names.iter().map(|name| printable(name.as_ref()).into_owned()).collect();
    match &names[..] {
        [] => "nothing".to_owned(),
        [one] => one.clone(),
        // One more name is no longer than the words for it.
        all if all.len() <= most.max(1) + 1 => {
            let (last, first) = all.split_last().expect("there are two");
            format!("{} and {last}", first.join(", "))
        }
        all => format!("{} and {} more", all[..most].join(", "), all.len() - most),
    }
}

/// `1 image`, `2 images`.
pub(super) fn counted(count: usize, what: &str) -> String {
    let digits = count.to_string();
    let mut grouped = String::new();
    for (place, digit) in digits.chars().enumerate() {
        if place > 0 && (digits.len() - place).is_multiple_of(3) {
            grouped.push(',');
        }
        grouped.push(digit);
    }
    match (count, what.strip_suffix("class")) {
        (1, _) => format!("1 {what}"),
        (_, Some(_)) => format!("{grouped} {what}es"),
        _ => format!("{grouped} {what}s"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_numbers_are_said_in_short() {
        assert_eq!(some_of(&["a", "b", "c"], 3), "a, b and c");
        assert_eq!(some_of(&["a", "b", "c"], 2), "a, b and c");
        assert_eq!(some_of(&["a", "b", "c", "d"], 2), "a, b and 2 more");
        assert_eq!(some_of(&["a\u{1b}[31m"], 2), "a\\u{1b}[31m");
        assert_eq!(counted(1_234_567, "image"), "1,234,567 images");
        assert_eq!(
            (counted(1, "class"), counted(0, "class")),
            ("1 class".into(), "0 classes".into())
        );
    }
}

use std::collections::BTreeSet;

/// The names cut to at most `width` characters: whole if they all fit, else without the beginning
/// that they share, else cut off. `None` if two of them would then read the same.
pub(super) fn shorten(names: &[&str], width: usize) -> Option<Vec<String>> {
    let fits = |name: &str| name.chars().count() <= width;
    let whole = names.iter().all(|name| fits(name));
    let shared = if whole { 0 } else { shared_prefix(names) };
    let short: Vec<String> = names
        .iter()
        .map(|name| {
            let name = &name[shared..];
            if fits(name) {
                name.to_owned()
            } else {
                let kept: String = name.chars().take(width.saturating_sub(1)).collect();
                kept + "…"
            }
        })
        .collect();
    let distinct = short.iter().collect::<BTreeSet<_>>().len();
    (distinct == names.len() && !short.iter().any(String::is_empty)).then_some(short)
}

/// Bytes of the beginning that all names share, at a character boundary.
fn shared_prefix(names: &[&str]) -> usize {
    let [first, rest @ ..] = names else { return 0 };
    let same = |name: &&str| {
        let pairs = first.chars().zip(name.chars());
        pairs.take_while(|(a, b)| a == b).map(|(a, _)| a.len_utf8()).sum()
    };
    rest.iter().map(same).min().unwrap_or(0)
}

/// The names broken into lines of at most `width` characters: after a `-`, `_`, `.` or blank where
/// there is one, anywhere else otherwise.
pub(super) fn wrap(names: &[&str], width: usize) -> Vec<String> {
    names.iter().map(|name| wrap_one(name, width)).collect()
}

fn wrap_one(name: &str, width: usize) -> String {
    let mut wrapped = String::new();
    let mut used = 0;
    for part in name.split_inclusive(['-', '_', '.', ' ']) {
        if used > 0 && used + part.chars().count() > width {
            wrapped.push('\n');
            used = 0;
        }
        for character in part.chars() {
            if used == width {
                wrapped.push('\n');
                used = 0;
            }
            wrapped.push(character);
            used += 1;
        }
    }
    wrapped
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_stay_whole_if_they_fit() {
        assert_eq!(shorten(&["noto", "twemoji"], 7).unwrap(), ["noto", "twemoji"]);
        assert_eq!(shorten(&[], 7).unwrap(), [""; 0]);
    }

    #[test]
    fn a_shared_beginning_goes_first() {
        assert_eq!(shorten(&["client-00", "client-17"], 4).unwrap(), ["00", "17"]);
        assert_eq!(shorten(&["é-a-long", "é-b"], 4).unwrap(), ["a-l…", "b"]);
    }

    #[test]
    fn names_that_would_read_the_same_are_none() {
        assert_eq!(shorten(&["photograph-1", "photograph-2", "x"], 6), None);
        assert_eq!(shorten(&["client", "client-b"], 6), None);
    }

    #[test]
    fn long_names_are_broken_at_their_joints() {
        let wrapped = wrap(&["openmoji", "fluent-emoji-flat", "a-b-c", "photographer"], 9);
        assert_eq!(wrapped, ["openmoji", "fluent-\nemoji-\nflat", "a-b-c", "photograp\nher"]);
    }
}

use std::collections::BTreeSet;

use unicode_width::{UnicodeWidthChar, UnicodeWidthStr};

/// The names in at most `width` characters: complete if they all fit, else without their common beginning, else cut
/// off. `None` if two of them would become the same.
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

/// The names in at most `width` columns of a terminal: long ones are shortened in the middle. `None` if two of them
/// would become the same.
pub(super) fn without_middles(names: &[&str], width: usize) -> Option<Vec<String>> {
    let short: Vec<String> = names.iter().map(|name| without_middle(name, width)).collect();
    let count = |names: BTreeSet<&str>| names.len();
    let before = count(names.iter().copied().collect());
    (count(short.iter().map(String::as_str).collect()) == before).then_some(short)
}

fn without_middle(name: &str, width: usize) -> String {
    if name.width() <= width {
        return name.to_owned();
    }
    let room = width.saturating_sub(1);
    let (head, tail) = (room / 2, room.div_ceil(2));
    let head: String = within(name.chars(), head).collect();
    let mut tail: Vec<char> = within(name.chars().rev(), tail).collect();
    tail.reverse();
    head + "…" + &String::from_iter(tail)
}

/// The first characters, as far as there is room.
fn within(characters: impl Iterator<Item = char>, mut room: usize) -> impl Iterator<Item = char> {
    characters.take_while(move |character| {
        let width = character.width().unwrap_or(0);
        let fits = width <= room;
        room = room.saturating_sub(width);
        fits
    })
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
    fn the_middle_goes_unless_it_is_what_tells_them_apart() {
        let short = without_middles(&["runs/a/1.png", "猫猫猫猫猫猫", "b"], 8).unwrap();
        assert_eq!(short, ["run….png", "猫…猫猫", "b"]);
        assert_eq!(without_middles(&["photograph-1-xyz", "photograph-2-xyz"], 7), None);
        assert_eq!(without_middles(&["same", "same"], 9).unwrap(), ["same", "same"]);
    }

    #[test]
    fn long_names_are_broken_at_their_joints() {
        let wrapped = wrap(&["openmoji", "fluent-emoji-flat", "a-b-c", "photographer"], 9);
        assert_eq!(wrapped, ["openmoji", "fluent-\nemoji-\nflat", "a-b-c", "photograp\nher"]);
    }
}

//! Moods of drawn faces, which sets call "face happy", "smiley sad" or "emoji meh".

use crate::classes::{Class, find};

const FACES: &[&str] = &["face", "emoji", "smiley", "emoticon", "sentiment", "mood", "emotion"];
/// Words that leave the mood as it is.
const DETAILS: &[&str] = &[
    "alt",
    "beam",
    "big",
    "circle",
    "closed",
    "eyes",
    "in",
    "mouth",
    "open",
    "outline",
    "squint",
    "squinting",
    "tears",
    "tightly",
    "very",
    "whit",
    "wide",
    "with",
];
/// Words of the classes of faces, without those that name a held-out concept (crying, fearful, slightly smiling ...).
const MOODS: [(&str, &[&str]); 4] = [
    (
        "face-smiling",
        &[
            "cheerful",
            "grin",
            "grinning",
            "happy",
            "joy",
            "laugh",
            "laughing",
            "lol",
            "satisfied",
            "smile",
            "smiling",
            "wink",
            "winking",
        ],
    ),
    (
        "face-neutral-skeptical",
        &["blank", "expressionless", "indifferent", "meh", "neutral", "smirk"],
    ),
    ("face-unwell", &["dizzy", "nauseas", "nauseated", "sick", "vomiting"]),
    (
        "face-concerned",
        &[
            "astonished",
            "confounded",
            "confused",
            "disappointed",
            "dissatisfied",
            "distraught",
            "frown",
            "frowning",
            "nervous",
            "sad",
            "shocked",
            "surprised",
            "tired",
            "unhappy",
            "weary",
            "worried",
        ],
    ),
];

/// The class of a face with one mood; `Some(None)` for a name that is about a face but about none of the four.
///
/// Every word has to be understood: "laptop smiley" shows a laptop.
pub(crate) fn mood(name: &str) -> Option<Option<Class>> {
    let words: Vec<&str> = name.split(' ').collect();
    let has_face = words.iter().any(|word| FACES.contains(word));
    let lone = matches!(words.as_slice(), ["smile" | "smiley"]);
    if !has_face && !lone {
        return None;
    }
    let mut classes: Vec<&str> = words.iter().filter_map(|word| folder(word)).collect();
    if lone {
        classes.push("face-smiling");
    }
    classes.dedup();
    let understood = words
        .iter()
        .all(|word| FACES.contains(word) || DETAILS.contains(word) || folder(word).is_some());
    Some(match classes.as_slice() {
        [folder] if understood => find(folder),
        _ => None,
    })
}

fn folder(word: &str) -> Option<&'static str> {
    MOODS.iter().find(|(_, words)| words.contains(&word)).map(|(folder, _)| *folder)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn folder_of(name: &str) -> Option<Option<&'static str>> {
        mood(name).map(|class| class.map(|class| class.folder))
    }

    #[test]
    fn a_face_with_one_mood_is_of_its_class() {
        assert_eq!(folder_of("smiley sad"), Some(Some("face-concerned")));
        assert_eq!(folder_of("face grin beam"), Some(Some("face-smiling")));
        assert_eq!(folder_of("smile"), Some(Some("face-smiling")));
        assert_eq!(folder_of("emoji meh"), Some(Some("face-neutral-skeptical")));
    }

    #[test]
    fn what_is_not_understood_mixed_or_held_out_has_no_class() {
        for name in ["laptop smiley", "face happy sad", "face crying", "clock face", "face id"] {
            assert_eq!(folder_of(name), Some(None), "{name}");
        }
        assert_eq!(folder_of("happy dog"), None);
        assert_eq!(folder_of("camera smile"), None);
    }

    #[test]
    fn every_class_of_a_mood_is_one() {
        assert!(MOODS.iter().all(|(folder, _)| find(folder).is_some()));
    }
}

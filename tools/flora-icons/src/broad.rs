//! Broader words than the classes of EmojiVendors: what people call things in general.

/// The prompt that the words below complete.
const TEMPLATE: &str = "a picture of {}.";

/// The words, with their article where they have one, and the Unicode subgroups that they cover. Signs and symbols have
/// none.
const WORDS: [(&str, &[&str]); 20] = [
    (
        "a face",
        &[
            "face-smiling",
            "face-affection",
            "face-tongue",
            "face-hand",
            "face-neutral-skeptical",
            "face-sleepy",
            "face-unwell",
            "face-hat",
            "face-glasses",
            "face-concerned",
            "face-negative",
            "face-costume",
        ],
    ),
    (
        "a person",
        &[
            "person",
            "person-gesture",
            "person-role",
            "person-fantasy",
            "person-activity",
            "person-resting",
            "family",
        ],
    ),
    (
        "a hand",
        &[
            "hand-fingers-open",
            "hand-fingers-partial",
            "hand-single-finger",
            "hand-fingers-closed",
            "hands",
            "hand-prop",
        ],
    ),
    (
        "an animal",
        &[
            "cat-face",
            "monkey-face",
            "animal-mammal",
            "animal-bird",
            "animal-amphibian",
            "animal-reptile",
            "animal-marine",
            "animal-bug",
        ],
    ),
    ("a plant", &["plant-flower", "plant-other"]),
    ("food", &["food-fruit", "food-vegetable", "food-prepared", "food-asian", "food-sweet"]),
    ("a drink", &["drink"]),
    ("a vehicle", &["transport-ground", "transport-water", "transport-air"]),
    ("a town", &["place-building", "place-religious", "hotel"]),
    ("a landscape", &["place-geographic"]),
    ("the sky or space", &["sky-weather"]),
    ("a holiday", &["event"]),
    ("a sport", &["sport", "person-sport"]),
    ("a hobby or game", &["game", "arts-crafts"]),
    ("clothes", &["clothing"]),
    ("music", &["music", "musical-instrument"]),
    ("a household object", &["household", "dishware", "light-video"]),
    ("an electronic device", &["phone", "computer"]),
    ("office work", &["book-paper", "mail", "writing", "office"]),
    ("a tool", &["tool", "lock"]),
];

/// The caption with the broader word for a Unicode subgroup.
pub(crate) fn caption(subgroup: &str) -> Option<String> {
    let (word, _) = WORDS.iter().find(|(_, subgroups)| subgroups.contains(&subgroup))?;
    Some(TEMPLATE.replace("{}", word))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::classes::CLASSES;
    use std::collections::BTreeSet;

    #[test]
    fn subgroups_have_one_word_and_nearly_all_classes_have_one() {
        let all: Vec<&str> = WORDS.iter().flat_map(|(_, subgroups)| *subgroups).copied().collect();
        assert_eq!(all.iter().collect::<BTreeSet<_>>().len(), all.len());
        let without: Vec<&str> = CLASSES
            .iter()
            .map(|class| class.folder)
            .filter(|folder| !all.contains(folder))
            .collect();
        assert_eq!(without, ["heart", "body-parts"]);
        assert_eq!(caption("animal-bug").as_deref(), Some("a picture of an animal."));
        assert_eq!(caption("zodiac"), None);
    }
}

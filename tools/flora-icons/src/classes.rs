//! The classes of EmojiVendors: 39 Unicode subgroups with a name for a prompt.

/// The prompt that the names below complete.
pub(crate) const TEMPLATE: &str = "an emoji of a {}.";

/// A class: a Unicode subgroup and its name in plain English.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Class {
    /// The Unicode subgroup, which is also the folder.
    pub(crate) folder: &'static str,
    /// A singular noun phrase that follows the article "a".
    pub(crate) name: &'static str,
}

const fn class(folder: &'static str, name: &'static str) -> Class {
    Class { folder, name }
}

/// Every class, in Unicode's order.
pub(crate) const CLASSES: [Class; 39] = [
    class("face-smiling", "smiling face"),
    class("face-neutral-skeptical", "neutral or skeptical face"),
    class("face-unwell", "sick face"),
    class("face-concerned", "worried or sad face"),
    class("heart", "heart"),
    class("body-parts", "part of the body"),
    class("person", "person"),
    class("person-gesture", "person making a gesture"),
    class("person-role", "person with a job"),
    class("person-fantasy", "fantasy character"),
    class("person-activity", "person in motion"),
    class("person-sport", "person playing a sport"),
    class("animal-mammal", "mammal"),
    class("animal-bird", "bird"),
    class("animal-marine", "sea animal"),
    class("animal-bug", "bug"),
    class("plant-flower", "flower"),
    class("food-fruit", "fruit"),
    class("food-vegetable", "vegetable"),
    class("food-prepared", "prepared meal"),
    class("food-asian", "dish of Asian food"),
    class("food-sweet", "dessert"),
    class("drink", "drink"),
    class("place-building", "building"),
    class("transport-ground", "land vehicle"),
    class("transport-air", "flying vehicle"),
    class("sky-weather", "sky or weather phenomenon"),
    class("event", "celebration"),
    class("sport", "piece of sports equipment"),
    class("game", "game or toy"),
    class("clothing", "piece of clothing"),
    class("musical-instrument", "musical instrument"),
    class("computer", "computer device"),
    class("light-video", "lamp or camera"),
    class("book-paper", "book or document"),
    class("mail", "mail item"),
    class("office", "desk item"),
    class("tool", "tool"),
    class("household", "household item"),
];

/// Unicode groups that hold no pictures of things.
pub(crate) const EXCLUDED_GROUPS: [&str; 3] = ["component", "symbols", "flags"];

/// Subgroups with enough concepts that are no class all the same: the catch-alls, the groups of figures that most
/// vendors draw as one pictogram (`family`), and signs rather than things (`emotion`: marks such as "anger symbol";
/// `time`: 24 clock faces).
pub(crate) const EXCLUDED_SUBGROUPS: [&str; 5] =
    ["family", "emotion", "time", "plant-other", "place-other"];

/// The class of a Unicode subgroup, if it is one.
pub(crate) fn find(subgroup: &str) -> Option<Class> {
    CLASSES.into_iter().find(|class| class.folder == subgroup)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn folders_and_names_are_unique_and_no_class_is_excluded() {
        assert_eq!(CLASSES.iter().map(|class| class.folder).collect::<BTreeSet<_>>().len(), 39);
        assert_eq!(CLASSES.iter().map(|class| class.name).collect::<BTreeSet<_>>().len(), 39);
        assert!(CLASSES.iter().all(|class| !EXCLUDED_SUBGROUPS.contains(&class.folder)));
    }

    #[test]
    fn every_name_follows_the_article_of_the_template() {
        assert!(TEMPLATE.contains(" a {}"));
        for class in CLASSES {
            assert!(
                !class.name.starts_with(['a', 'e', 'i', 'o', 'u', 'A', 'E', 'I', 'O', 'U']),
                "an {}",
                class.name
            );
        }
    }
}

//! Which drawings of the clip art are left out, and what the folders say about the others.

use crate::categories::Categories;
use crate::classes::{Class, find};
use crate::names::has_word;

/// Folders of flags, logos, letters, colours and of copies of other files.
const SKIPPED_FOLDERS: &[&str] = &[
    "signs_and_symbols/flags",
    "signs_and_symbols/led",
    "logos",
    "special/gradients",
    "unsorted/duplicates",
];
/// Words of flags, companies and letters.
const SKIPPED_WORDS: &[&str] =
    &["alphabet", "brand", "flag", "flags", "font", "fonts", "logo", "logos", "trademark"];
/// The folder of playing cards, which are called by the pack's style and the card's letters.
pub(crate) const CARDS: &str = "recreation/games/cards";
/// Folders with the class of what they hold.
const FOLDERS: &[(&str, &str)] = &[
    ("animals/birds", "animal-bird"),
    ("animals/bugs", "animal-bug"),
    ("animals/fish", "animal-marine"),
    ("animals/mammals", "animal-mammal"),
    ("buildings/furniture", "household"),
    ("buildings/homes", "place-building"),
    ("computer/hardware", "computer"),
    ("education/books", "book-paper"),
    ("electronics/bulb", "light-video"),
    ("food/beverages", "drink"),
    ("food/desserts", "food-sweet"),
    ("food/fruit", "food-fruit"),
    ("food/meats_and_eggs", "food-prepared"),
    ("food/vegetables", "food-vegetable"),
    ("people/bodypart", "body-parts"),
    ("people/clothing", "clothing"),
    ("plants/flowers", "plant-flower"),
    (CARDS, "game"),
    ("recreation/games/chess", "game"),
    ("transportation/vehicles", "transport-ground"),
];

/// Whether nothing in `folder` is taken.
pub(crate) fn is_skipped_folder(folder: &str) -> bool {
    SKIPPED_FOLDERS.iter().any(|skipped| is_in(folder, skipped))
}

/// Whether a name or keyword tells of a flag, a company or letters.
pub(crate) fn is_skipped_text(text: &str) -> bool {
    has_word(&text.to_lowercase(), SKIPPED_WORDS)
}

/// The class that the folder or the name says, unless they say two or the name is related to a held-out concept.
pub(crate) fn class_of(folder: &str, name: &str, categories: &Categories<'_>) -> Option<Class> {
    if categories.touches_held_out(name) {
        return None;
    }
    let by_folder =
        FOLDERS.iter().find(|(path, _)| is_in(folder, path)).and_then(|(_, class)| find(class));
    match (by_folder, categories.find(name)) {
        (Some(a), Some(b)) if a != b => None,
        (a, b) => a.or(b),
    }
}

/// Whether `folder` is `parent` or lies below it.
pub(crate) fn is_in(folder: &str, parent: &str) -> bool {
    folder.strip_prefix(parent).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_folder_with_a_class_is_taken_and_its_class_is_one() {
        for (folder, class) in FOLDERS {
            assert!(find(class).is_some() && !is_skipped_folder(folder), "{folder}");
        }
    }

    #[test]
    fn folders_and_words_are_whole() {
        assert!(is_skipped_folder("logos") && is_skipped_folder("signs_and_symbols/flags/asia"));
        assert!(!is_skipped_folder("signs_and_symbols") && !is_skipped_folder("logos_old"));
        assert!(is_skipped_text("Flag_of_Brazil") && !is_skipped_text("flagship"));
    }
}

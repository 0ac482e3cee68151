//! The names of Firefox OS emoji, which follow the Unicode names of 2015 without spaces, more or less.

use std::collections::{BTreeMap, BTreeSet};

use crate::emojibase::{Emoji, Emojibase};
use crate::iconify::IconSet;

/// Drawings whose name is neither the emoji's label nor its Unicode name, each checked by eye. (The `dog` of
/// this set is Unicode's "dog face", its `dogside` Unicode's "dog".)
const RENAMED: &[(&str, &str)] = &[
    ("1F600", "grin"),
    ("1F603", "grinwide"),
    ("1F604", "grinwideeyes"),
    ("1F601", "grineyes"),
    ("1F606", "grinsquint"),
    ("1F605", "grinsweat"),
    ("1F602", "grintears"),
    ("1F642", "smallsmile"),
    ("1F609", "winking"),
    ("1F60A", "smileeyes"),
    ("1F607", "halo"),
    ("1F610", "neutral"),
    ("1F611", "expressionless"),
    ("1F636", "nomouth"),
    ("1F60F", "smirk"),
    ("1F612", "unamused"),
    ("1F62C", "grimacing"),
    ("1F637", "medicalmask"),
    ("1F615", "confused"),
    ("1F61F", "worried"),
    ("1F641", "smallfrown"),
    ("1F62E", "openmouth"),
    ("1F62F", "hushed"),
    ("1F632", "astonished"),
    ("1F633", "flushed"),
    ("1F626", "frownmouth"),
    ("1F627", "anguish"),
    ("1F628", "fearful"),
    ("1F630", "coldsweat"),
    ("1F625", "dissapointedrelief"),
    ("1F622", "crying"),
    ("1F62D", "loudlycrying"),
    ("1F631", "screamfear"),
    ("1F616", "confounded"),
    ("1F623", "perservere"),
    ("1F61E", "disappointed"),
    ("1F613", "sweat"),
    ("1F629", "weary"),
    ("1F62B", "tired"),
    ("1F498", "heartarrow"),
    ("1F49D", "heartribbon"),
    ("1F495", "2hearts"),
    ("1F49B", "heartyellow"),
    ("1F49A", "heartgreen"),
    ("1F49C", "heartpurple"),
    ("1F4AA", "flexbicep"),
    ("1F471", "blonde"),
    ("1F474", "gpa"),
    ("1F475", "gma"),
    ("1F64D", "frown"),
    ("1F64E", "pout"),
    ("1F645", "nogesture"),
    ("1F646", "okgesture"),
    ("1F481", "waitress"),
    ("1F64B", "handup"),
    ("1F647", "bowing"),
    ("1F46E", "cop"),
    ("1F575", "sleuthspy"),
    ("1F477", "construct"),
    ("1F473", "turban"),
    ("1F472", "guapimao"),
    ("1F470", "bride"),
    ("1F486", "headmassage"),
    ("1F6B6", "walking"),
    ("1F3C3", "running"),
    ("1F46F", "bunny-ears"),
    ("1F3CA", "swimming"),
    ("1F415", "dogside"),
    ("1F436", "dog"),
    ("1F408", "catside"),
    ("1F431", "cat"),
    ("1F416", "pigside"),
    ("1F437", "pig"),
    ("1F401", "mouseside"),
    ("1F42D", "mouse"),
    ("1F405", "tigerside"),
    ("1F42F", "tiger"),
    ("1F406", "leopardside"),
    ("1F407", "bunnyside"),
    ("1F430", "bunny"),
    ("1F43D", "pigsnout"),
    ("1F439", "hampster"),
    ("1F425", "frontfacingchick"),
    ("1F433", "spurtingwhale"),
    ("1F336", "chilipepper"),
    ("1F330", "acorn"),
    ("1F365", "fishcakeswirl"),
    ("1F5FC", "toykotower"),
    ("1F685", "highspeedtrainbulletnose"),
    ("1F3CE", "racecar"),
    ("1F316", "waningbibbousmoon"),
    ("2600", "sunrays"),
    ("1F327", "raincloud"),
    ("1F328", "snowcloud"),
    ("1F329", "stormcloud"),
    ("1F326", "sunraincloud"),
    ("1F324", "whitesunsmallcloud"),
    ("26A1", "bolt"),
    ("1F30A", "wave"),
    ("1F38A", "confetti"),
    ("1F380", "bow"),
    ("1F381", "present"),
    ("1F397", "reminder"),
    ("1F3BE", "tennisball"),
    ("1F004", "mahjong"),
    ("1F454", "tie"),
    ("1F455", "mansshirt"),
    ("1F45A", "womansshirt"),
    ("1F45B", "pinkwallet"),
    ("1F45D", "makeupbag"),
    ("1F45E", "mensshoe"),
    ("1F45F", "mensrunner"),
    ("1F460", "heels"),
    ("1F461", "sandals"),
    ("1F462", "boot"),
    ("1F48E", "gem"),
    ("1F4BE", "floppydisk2"),
    ("2328", "wiredkeyboard"),
    ("1F4F9", "handheldvideocamera"),
    ("1F4FC", "videocasette"),
    ("1F50D", "leftmagnifyingglass"),
    ("1F50E", "rightmagnifyingglass"),
    ("1F4D4", "notebookdecorativecover"),
    ("1F4D1", "bookmarktab"),
    ("1F4E9", "envelopedownarrowabove"),
    ("1F4E4", "outbox"),
    ("1F4EB", "closedmailboxraised"),
    ("1F4EA", "closedmailboxlowered"),
    ("1F4EC", "openmailboxraised"),
    ("1F4ED", "openmailboxlowered"),
    ("1F5F3", "ballottboxwithballott"),
    ("1F4C8", "chartupwardstrend"),
    ("1F4C9", "chartdownwardstrend"),
];

/// Drawings that would mislead: paths that are cut off in the package, `fog` that is white on white, and a `keyboard`
/// that makes music.
const UNUSABLE: [&str; 4] = ["fog", "heartblue", "keyboard", "tramcar"];

/// Finds drawings by name.
pub(crate) struct Index {
    by_key: BTreeMap<String, String>,
    renamed: BTreeMap<&'static str, &'static str>,
    taken: BTreeSet<&'static str>,
}

impl Index {
    /// Indexes the set by squeezed name.
    pub(crate) fn new(set: &IconSet) -> Self {
        Self {
            by_key: set.names().map(|name| (squeeze(name), name.to_owned())).collect(),
            renamed: RENAMED.iter().copied().filter(|(_, name)| set.contains(name)).collect(),
            taken: RENAMED.iter().map(|(_, name)| *name).chain(UNUSABLE).collect(),
        }
    }

    /// The drawing of `emoji`: from the table of renamed ones, else by Unicode name, else by label.
    pub(crate) fn find(&self, emoji: &Emoji, base: &Emojibase) -> Option<String> {
        if let Some(name) = self.renamed.get(emoji.hexcode.as_str()) {
            return Some((*name).to_owned());
        }
        [base.unicode_name(&emoji.hexcode), Some(emoji.label.as_str())]
            .into_iter()
            .flatten()
            .filter_map(|name| self.by_key.get(&squeeze(name)))
            .find(|name| !self.taken.contains(name.as_str()))
            .cloned()
    }
}

/// Letters and digits only, in lower case.
fn squeeze(name: &str) -> String {
    name.chars().filter(char::is_ascii_alphanumeric).map(|c| c.to_ascii_lowercase()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_drawing_is_renamed_once_and_never_to_an_unusable_one() {
        let names: BTreeSet<&str> = RENAMED.iter().map(|(_, name)| *name).collect();
        let hexcodes: BTreeSet<&str> = RENAMED.iter().map(|(hexcode, _)| *hexcode).collect();
        assert_eq!((names.len(), hexcodes.len()), (RENAMED.len(), RENAMED.len()));
        assert!(UNUSABLE.iter().all(|name| !names.contains(name)));
    }

    #[test]
    fn names_are_compared_without_spaces_signs_and_case() {
        assert_eq!(squeeze("ALARM CLOCK"), "alarmclock");
        assert_eq!(squeeze("man’s shoe"), "mansshoe");
    }
}

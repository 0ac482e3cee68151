//! The candidates of an icon set, whose only text is the icons' names.

use std::collections::{BTreeMap, BTreeSet};

use crate::candidates::{Candidate, Pair, with_class};
use crate::categories::Categories;
use crate::held_out::phrases;
use crate::iconify::IconSet;
use crate::names::{Naming, Style, clean, has_word};

/// What an icon of a class is called.
const ICON_TEMPLATE: &str = "an icon of a {}.";
/// Words of names that stand for a company, not for a thing.
const BRAND_WORDS: [&str; 3] = ["brand", "logo", "logos"];
/// Numbers of drawings, where a set spells them.
const ORDINALS: [&str; 5] = ["one", "two", "three", "four", "five"];

/// At most two drawings per caption: one of lines, one filled.
pub(crate) fn candidates(
    set: &IconSet,
    naming: Naming,
    categories: &Categories<'_>,
) -> Vec<Candidate> {
    let skipped: BTreeSet<&str> = set
        .categories
        .iter()
        .filter(|(category, _)| is_skipped_category(category))
        .flat_map(|(_, names)| names.iter().map(String::as_str))
        .collect();
    let mut best: BTreeMap<(String, Style, Option<&str>), &str> = BTreeMap::new();
    for icon in set.names().filter(|icon| !skipped.contains(icon) && !has_word(icon, &BRAND_WORDS))
    {
        let Some((caption, style)) = clean(icon, naming) else { continue };
        if style == Style::Variant {
            continue;
        }
        best.entry((caption, style, ordinal(icon)))
            .and_modify(|kept| {
                if rank(icon) < rank(kept) {
                    *kept = icon;
                }
            })
            .or_insert(icon);
    }
    let mut candidates: Vec<Candidate> = best
        .into_iter()
        .map(|((name, ..), icon)| {
            let mut captions = vec![name.clone()];
            let also = phrases(&name.split(' ').collect::<Vec<_>>()).into_iter().collect();
            let class = categories.find(&name);
            if let Some(class) = class {
                captions.extend(with_class(&name, class, ICON_TEMPLATE));
            }
            let pair = Pair { icon: icon.to_owned(), name, captions, class };
            Candidate { pair, hexcode: None, also }
        })
        .collect();
    candidates.sort_by(|a, b| a.pair.icon.cmp(&b.pair.icon));
    candidates
}

/// The number in words at the end of a name, which tells drawings of the same thing apart.
fn ordinal(icon: &str) -> Option<&str> {
    icon.rsplit('-').next().filter(|word| ORDINALS.contains(word))
}

/// The drawing for 24 pixels first: it suits 64 pixels best; then the shortest name, which has no variant's number.
fn rank(icon: &str) -> (bool, usize, &str) {
    (!has_word(icon, &["24", "24px"]), icon.len(), icon)
}

fn is_skipped_category(category: &str) -> bool {
    let category = category.to_lowercase();
    ["brand", "logo", "flags"].iter().any(|word| category.contains(word))
}

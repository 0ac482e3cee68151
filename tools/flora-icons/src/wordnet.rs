//! The nouns of WordNet: senses, how frequent they are, and what they are a kind of.

use std::collections::{BTreeMap, BTreeSet};

use crate::error::Result;
use crate::packages::{Packages, WORDNET};
pub(crate) use crate::wordnet_format::Synset;
use crate::wordnet_format::{Parents, data_line, entries, index_line, malformed, sense_line};

/// Endings of plurals with those of the singular, the more special ones first.
const PLURALS: [(&str, &str); 10] = [
    ("ies", "y"),
    ("ves", "fe"),
    ("ves", "f"),
    ("men", "man"),
    ("ches", "ch"),
    ("shes", "sh"),
    ("xes", "x"),
    ("oes", "o"),
    ("ses", "s"),
    ("s", ""),
];

/// One meaning of a noun.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Sense {
    /// What is meant.
    pub(crate) synset: Synset,
    /// How often the noun has this meaning in WordNet's tagged texts; mostly 0.
    pub(crate) count: u32,
}

/// WordNet's nouns, and the words of its other parts of speech.
#[derive(Debug)]
pub(crate) struct WordNet {
    nouns: BTreeMap<String, Vec<Synset>>,
    others: BTreeSet<String>,
    counts: BTreeMap<(String, Synset), u32>,
    parents: BTreeMap<Synset, Parents>,
}

/// The files that [`WordNet::read`] reads, inside the package.
pub(crate) const FILES: [&str; 6] = [
    "dict/data.noun",
    "dict/index.adj",
    "dict/index.adv",
    "dict/index.noun",
    "dict/index.sense",
    "dict/index.verb",
];

impl WordNet {
    /// Reads [`FILES`].
    ///
    /// # Errors
    ///
    /// As [`Packages::text`], and [`Error::Mismatch`](crate::error::Error::Mismatch) for a line that does not follow the format.
    pub(crate) fn read(packages: &Packages) -> Result<Self> {
        let [data, adjectives, adverbs, nouns, senses, verbs] =
            FILES.map(|file| packages.text(WORDNET, file));
        Self::parse(&nouns?, &data?, &senses?, &[&adjectives?, &adverbs?, &verbs?])
    }

    /// Parses the texts of `index.noun`, `data.noun`, `index.sense`, and of the other `index` files.
    ///
    /// # Errors
    ///
    /// [`Error::Mismatch`](crate::error::Error::Mismatch) for a line that does not follow the format.
    pub(crate) fn parse(index: &str, data: &str, senses: &str, others: &[&str]) -> Result<Self> {
        let mut nouns = BTreeMap::new();
        for (number, line) in entries(index) {
            let (lemma, synsets) =
                index_line(line).ok_or_else(|| malformed("index.noun", number))?;
            nouns.insert(lemma.to_owned(), synsets);
        }
        let mut parents = BTreeMap::new();
        for (number, line) in entries(data) {
            let (synset, above) = data_line(line).ok_or_else(|| malformed("data.noun", number))?;
            parents.insert(synset, above);
        }
        let mut counts = BTreeMap::new();
        for (number, line) in entries(senses) {
            let sense = sense_line(line).ok_or_else(|| malformed("index.sense", number))?;
            if let Some((lemma, synset, count)) = sense {
                counts.insert((lemma.to_owned(), synset), count);
            }
        }
        let others = others
            .iter()
            .flat_map(|index| entries(index))
            .filter_map(|(_, line)| line.split(' ').next())
            .map(str::to_owned)
            .collect();
        Ok(Self { nouns, others, counts, parents })
    }

    /// The noun that `words` is, in the singular and as WordNet spells it (`tennis_ball`).
    pub(crate) fn noun(&self, words: &str) -> Option<&str> {
        let lemma = words.to_lowercase().replace(' ', "_");
        let singulars = PLURALS.iter().filter_map(|(plural, singular)| {
            let stem = lemma.strip_suffix(plural)?;
            (stem.len() >= 2).then(|| format!("{stem}{singular}"))
        });
        std::iter::once(lemma.clone())
            .chain(singulars)
            .find_map(|lemma| self.nouns.get_key_value(&lemma))
            .map(|(lemma, _)| lemma.as_str())
    }

    /// Whether `word` is English of any part of speech.
    pub(crate) fn knows(&self, word: &str) -> bool {
        self.noun(word).is_some() || self.others.contains(word)
    }

    /// The senses of a noun that are kinds of things, the most frequent first.
    pub(crate) fn senses(&self, lemma: &str) -> Vec<Sense> {
        let synsets = self.nouns.get(lemma).map(Vec::as_slice).unwrap_or_default();
        synsets
            .iter()
            .filter(|synset| !self.parents.get(synset).is_some_and(|above| above.is_instance))
            .map(|&synset| Sense {
                synset,
                count: self.counts.get(&(lemma.to_owned(), synset)).copied().unwrap_or(0),
            })
            .collect()
    }

    /// The synset that `name` stands for, for example `bird.1`: the first sense of "bird", instances counted.
    pub(crate) fn synset(&self, name: &str) -> Option<Synset> {
        let (lemma, sense) = name.rsplit_once('.')?;
        let sense: usize = sense.parse().ok()?;
        self.nouns.get(lemma)?.get(sense.checked_sub(1)?).copied()
    }

    /// The first value that `table` has on the way up from `synset`, which comes first itself.
    pub(crate) fn nearest<T: Copy>(
        &self,
        synset: Synset,
        table: &BTreeMap<Synset, T>,
    ) -> Option<T> {
        let mut level = vec![synset];
        let mut seen = BTreeSet::from([synset]);
        while !level.is_empty() {
            if let Some(value) = level.iter().find_map(|synset| table.get(synset)) {
                return Some(*value);
            }
            level = level
                .iter()
                .filter_map(|synset| self.parents.get(synset))
                .flat_map(|above| above.synsets.iter().copied())
                .filter(|synset| seen.insert(*synset))
                .collect();
        }
        None
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// A dictionary of a few nouns: animals, a ball that is mostly a thing and sometimes a dance, a writer called Crane.
    pub(crate) fn miniature() -> WordNet {
        let index = "\
\x20 1 This software and database is being provided to you, the LICENSEE, by
animal n 1 1 ~ 1 1 00000001
bird n 1 2 @ ~ 1 1 00000002
crane n 3 1 @ 3 0 00000010 00000004 00000003
finch n 1 1 @ 1 0 00000005
ball n 2 1 @ 2 2 00000006 00000007
tennis_ball n 1 1 @ 1 0 00000008
fox n 1 1 @ 1 0 00000009
";
        let data = "\
00000001 05 n 02 animal 0 beast 0 001 ~ 00000002 n 0000 | a living being
00000002 05 n 01 bird 0 002 @ 00000001 n 0000 ~ 00000003 n 0000 | it flies | and sings
00000003 05 n 01 crane 0 001 @ 00000002 n 0000 | a large bird
00000004 06 n 01 crane 1 000 | lifts heavy objects
00000005 05 n 01 finch 0 001 @ 00000002 n 0000 | a small bird
00000006 06 n 01 ball 0 000 | a round thing
00000007 14 n 01 ball 1 000 | a dance
00000008 06 n 01 tennis_ball 0 001 @ 00000006 n 0000 | yellow
00000009 05 n 01 fox 0 001 @ 00000001 n 0000 | red
00000010 18 n 01 Crane 0 001 @i 00000001 n 0000 | a writer
";
        let senses = "\
ball%1:06:00:: 00000006 1 35
ball%1:14:00:: 00000007 2 2
ball%2:35:00:: 00000007 1 9
bird%1:05:00:: 00000002 1 29
finch%1:05:00:: 00000005 1 0
";
        WordNet::parse(index, data, senses, &["red a 1 0 1 0 00000011\n"]).expect("a dictionary")
    }

    #[test]
    fn nouns_are_found_in_the_singular_and_as_compounds() {
        let wordnet = miniature();
        assert_eq!(wordnet.noun("Tennis Balls"), Some("tennis_ball"));
        assert_eq!(wordnet.noun("finches"), Some("finch"));
        assert_eq!(wordnet.noun("foxes"), Some("fox"));
        assert_eq!(wordnet.noun("golf ball"), None);
        assert!(wordnet.knows("red") && wordnet.knows("balls") && !wordnet.knows("rosso"));
    }

    #[test]
    fn senses_come_with_their_frequency_and_without_persons() {
        let wordnet = miniature();
        let senses = |lemma: &str| -> Vec<(Synset, u32)> {
            wordnet.senses(lemma).iter().map(|sense| (sense.synset, sense.count)).collect()
        };
        assert_eq!(senses("ball"), [(6, 35), (7, 2)]);
        assert_eq!(senses("crane"), [(4, 0), (3, 0)]);
        assert_eq!(senses("absent"), []);
        assert_eq!(wordnet.synset("crane.1"), Some(10));
        assert_eq!(wordnet.synset("ball.2"), Some(7));
        assert_eq!((wordnet.synset("ball.3"), wordnet.synset("ball.0")), (None, None));
    }

    #[test]
    fn the_nearest_entry_above_a_synset_counts() {
        let wordnet = miniature();
        let table = BTreeMap::from([(1, "animal"), (2, "bird")]);
        assert_eq!(wordnet.nearest(3, &table), Some("bird"));
        assert_eq!(wordnet.nearest(9, &table), Some("animal"));
        assert_eq!(wordnet.nearest(8, &table), None);
    }

    #[test]
    fn a_line_of_another_format_is_named() {
        for (index, data, senses) in [
            ("bird n 1\n", "", ""),
            ("", "00000002 05 n 01 bird\n", ""),
            ("", "", "bird 00000002 1 29\n"),
        ] {
            let error = WordNet::parse(index, data, senses, &[]).unwrap_err().to_string();
            assert!(error.contains("line 1") && error.contains("npm install"), "{error}");
        }
    }
}

//! The lines of WordNet's plain text files, described at <https://wordnet.princeton.edu/documentation/wndb5wn>.

use crate::error::Error;
use crate::packages::{INSTALL_COMMAND, WORDNET};

/// The byte offset of a synset in `data.noun`, which is its name.
pub(crate) type Synset = u32;

/// What a synset is a kind of.
#[derive(Debug, Default)]
pub(crate) struct Parents {
    /// The synsets above.
    pub(crate) synsets: Vec<Synset>,
    /// A particular person, place or work rather than a kind of thing.
    pub(crate) is_instance: bool,
}

/// The numbered lines of a file; those of the licence at its top are indented.
pub(crate) fn entries(text: &str) -> impl Iterator<Item = (usize, &str)> {
    text.lines().enumerate().filter(|(_, line)| !line.starts_with(' ') && !line.is_empty())
}

/// `lemma pos synsets pointers [pointer]... senses tagged [offset]...`
pub(crate) fn index_line(line: &str) -> Option<(&str, Vec<Synset>)> {
    let fields: Vec<&str> = line.split_whitespace().collect();
    let pointers: usize = fields.get(3)?.parse().ok()?;
    let offsets = fields.get(pointers.checked_add(6)?..)?;
    let offsets: Vec<Synset> =
        offsets.iter().map(|offset| offset.parse().ok()).collect::<Option<_>>()?;
    (!offsets.is_empty()).then_some((fields[0], offsets))
}

/// `offset file pos words(hex) [word id]... pointers [symbol offset pos source/target]... | gloss`
pub(crate) fn data_line(line: &str) -> Option<(Synset, Parents)> {
    let mut fields = line.split('|').next()?.split_whitespace();
    let synset = fields.next()?.parse().ok()?;
    let words = usize::from_str_radix(fields.nth(2)?, 16).ok()?;
    let pointers: usize = fields.nth(words.checked_mul(2)?)?.parse().ok()?;
    let mut parents = Parents::default();
    for _ in 0..pointers {
        let symbol = fields.next()?;
        let offset = fields.next()?.parse().ok()?;
        fields.nth(1)?;
        if symbol == "@" || symbol == "@i" {
            parents.synsets.push(offset);
            parents.is_instance |= symbol == "@i";
        }
    }
    Some((synset, parents))
}

/// `lemma%pos:file:id:head:head-id offset number count`; a sense of a noun that occurs, or nothing.
pub(crate) fn sense_line(line: &str) -> Option<Option<(&str, Synset, u32)>> {
    let mut fields = line.split_whitespace();
    let (lemma, key) = fields.next()?.split_once('%')?;
    let synset = fields.next()?.parse().ok()?;
    let count = fields.nth(1)?.parse().ok()?;
    Some((key.starts_with("1:") && count > 0).then_some((lemma, synset, count)))
}

/// The error for line `index` of `file`, counted from 0.
pub(crate) fn malformed(file: &str, index: usize) -> Error {
    Error::mismatch(
        format!("{WORDNET}/dict/{file}, line {}", index + 1),
        format!("not in WordNet's format; install the pinned version:\n  {INSTALL_COMMAND}"),
    )
}

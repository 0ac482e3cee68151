//! CLIP's vocabulary, and the pipeline around one.

use std::io::Read;

use tokenizers::models::bpe::{BPE, Vocab};
use tokenizers::normalizers::{Lowercase, NFC, Replace, Sequence as Normalizers};
use tokenizers::pre_tokenizers::byte_level::ByteLevel;
use tokenizers::pre_tokenizers::sequence::Sequence as PreTokenizers;
use tokenizers::pre_tokenizers::split::{Split, SplitPattern};
use tokenizers::{SplitDelimiterBehavior, Tokenizer};

use super::{END, START};
use crate::TextConfig;

/// Two symbols that are merged into one.
pub(super) type Merge = (String, String);

/// The expression by which CLIP splits a text into words before the byte pairs are merged.
const WORDS: &str =
    r"<\|startoftext\|>|<\|endoftext\|>|'s|'t|'re|'ve|'m|'ll|'d|[\p{L}]+|[\p{N}]|[^\s\p{L}\p{N}]+";
/// CLIP's merges, most frequent first, from `open_clip`'s `bpe_simple_vocab_16e6.txt.gz` (MIT).
const MERGES: &[u8] = include_bytes!("../../assets/merges.txt.gz");

/// CLIP's own vocabulary, cut to `size` entries.
pub(super) fn openai(size: usize) -> Result<(Vocab, Vec<Merge>), String> {
    let wanted = size.checked_sub(514).ok_or_else(|| format!("{size} is less than 514"))?;
    let mut text = String::new();
    flate2::read::GzDecoder::new(MERGES)
        .read_to_string(&mut text)
        .expect("the merges are part of the program");
    let merges: Vec<_> = text.lines().filter_map(pair).take(wanted).collect();
    if merges.len() < wanted {
        let most = merges.len() + 514;
        return Err(format!(
            "{size} is more than CLIP's {most}; put the checkpoint's vocab.json and merges.txt \
             beside it"
        ));
    }
    let bytes = byte_symbols();
    let symbols = bytes.iter().cloned();
    let words = bytes.iter().map(|symbol| format!("{symbol}</w>"));
    let merged = merges.iter().map(|(left, right)| format!("{left}{right}"));
    let special = [START.to_owned(), END.to_owned()];
    let vocabulary = symbols.chain(words).chain(merged).chain(special).zip(0..).collect();
    Ok((vocabulary, merges))
}

/// CLIP's text pipeline with this vocabulary and without added tokens.
pub(super) fn pipeline(
    vocabulary: Vocab,
    merges: Vec<Merge>,
    unknown: &str,
) -> Result<Tokenizer, String> {
    // `tokenizers` 0.23 panics if such a word is longer than all others.
    let known = |(left, right): &&Merge| vocabulary.contains_key(format!("{left}{right}").as_str());
    if let Some((left, right)) = merges.iter().find(|pair| !known(pair)) {
        return Err(format!("{left:?} and {right:?} merge to a word that it lacks"));
    }
    let bpe = BPE::builder()
        .vocab_and_merges(vocabulary, merges)
        .end_of_word_suffix("</w>".into())
        .unk_token(unknown.into())
        .build()
        .map_err(|error| error.to_string())?;
    let mut tokenizer = Tokenizer::new(bpe);
    let spaces =
        Replace::new(tokenizers::normalizers::replace::ReplacePattern::Regex(r"\s+".into()), " ")
            .expect("a valid expression");
    let normalizers = vec![NFC.into(), spaces.into(), Lowercase.into()];
    tokenizer
        .with_normalizer(Some(Normalizers::new(normalizers)))
        .map_err(|error| error.to_string())?;
    let words =
        Split::new(SplitPattern::Regex(WORDS.into()), SplitDelimiterBehavior::Removed, true)
            .expect("a valid expression");
    let bytes = ByteLevel::default().add_prefix_space(false);
    tokenizer.with_pre_tokenizer(Some(PreTokenizers::new(vec![words.into(), bytes.into()])));
    Ok(tokenizer)
}

/// Checks that every id has a row in the model's table and belongs to one token: of two tokens, the tokenizer would
/// lose one when it is saved.
pub(super) fn check_ids<T: std::fmt::Debug + Ord>(
    vocabulary: impl IntoIterator<Item = (T, u32)>,
    config: &TextConfig,
) -> Result<(), String> {
    let mut tokens: Vec<_> = vocabulary.into_iter().map(|(token, id)| (id, token)).collect();
    tokens.sort_unstable();
    if let Some((id, token)) = tokens.last().filter(|&&(id, _)| id as usize >= config.vocab_size) {
        return Err(format!(
            "{token:?} has id {id}, outside the model's vocabulary of {}",
            config.vocab_size
        ));
    }
    match tokens.array_windows().find(|[(first, _), (second, _)]| first == second) {
        None => Ok(()),
        Some([(id, first), (_, second)]) => {
            Err(format!("{first:?} and {second:?} have the same id {id}; each needs its own"))
        }
    }
}

/// A line of `merges.txt`.
pub(super) fn pair(line: &str) -> Option<Merge> {
    let (left, right) = line.trim_end().split_once(' ')?;
    Some((left.to_owned(), right.to_owned()))
}

/// The character for each byte, in the order of CLIP's vocabulary: bytes that print as Latin-1 first, as themselves,
/// then the others, as the characters from U+0100 on.
fn byte_symbols() -> Vec<String> {
    let printable = |byte: &u8| matches!(byte, b'!'..=b'~' | 0xa1..=0xac | 0xae..=0xff);
    let visible = (0..=255u8).filter(printable).map(char::from);
    let hidden = (0..=255u8).filter(|byte| !printable(byte)).zip('\u{100}'..).map(|(_, c)| c);
    visible.chain(hidden).map(String::from).collect()
}

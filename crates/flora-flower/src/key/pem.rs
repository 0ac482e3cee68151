//! The text form of keys: base64 between two lines.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use zeroize::Zeroizing;

/// The text between a BEGIN and an END line.
pub(super) struct Block<'a> {
    pub(super) label: &'a str,
    /// `None` if it is not base64.
    pub(super) bytes: Option<Zeroizing<Vec<u8>>>,
}

/// The blocks of a text. Text around them is ignored, as by other readers.
pub(super) fn blocks(mut text: &str) -> impl Iterator<Item = Block<'_>> {
    std::iter::from_fn(move || {
        let (_, rest) = text.split_once("-----BEGIN ")?;
        let (label, rest) = rest.split_once("-----")?;
        let (body, rest) = rest.split_once(&format!("-----END {label}-----"))?;
        text = rest;
        let packed: Zeroizing<Vec<u8>> =
            Zeroizing::new(body.bytes().filter(|byte| !byte.is_ascii_whitespace()).collect());
        Some(Block { label, bytes: STANDARD.decode(&*packed).ok().map(Zeroizing::new) })
    })
}

/// A block with lines of `width` characters.
pub(super) fn write(label: &str, bytes: &[u8], width: usize) -> Zeroizing<String> {
    let packed = Zeroizing::new(STANDARD.encode(bytes));
    // Enough capacity for everything: reallocation would leave unerased copies behind.
    let mut text = Zeroizing::new(String::with_capacity(2 * packed.len() + 2 * label.len() + 64));
    text.push_str("-----BEGIN ");
    text.push_str(label);
    text.push_str("-----\n");
    let mut rest = packed.as_str();
    while !rest.is_empty() {
        let (line, more) = rest.split_at(width.min(rest.len()));
        text.push_str(line);
        text.push('\n');
        rest = more;
    }
    text.push_str("-----END ");
    text.push_str(label);
    text.push_str("-----\n");
    text
}

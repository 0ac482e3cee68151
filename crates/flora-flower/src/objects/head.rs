//! Head and body of an object.

use std::collections::HashSet;

use flora_core::hex;
use sha2::{Digest, Sha256};

use super::ObjectError;

/// The types of objects.
pub(super) const MESSAGE: &str = "Message";
pub(super) const RECORD_DICT: &str = "RecordDict";
pub(super) const ARRAY_RECORD: &str = "ArrayRecord";
pub(super) const METRIC_RECORD: &str = "MetricRecord";
pub(super) const CONFIG_RECORD: &str = "ConfigRecord";
pub(super) const ARRAY: &str = "Array";
pub(super) const CHUNK: &str = "ArrayChunk";

/// The id of an object.
pub(super) fn id(content: &[u8]) -> String {
    hex::encode(&Sha256::digest(content))
}

/// Joins the parts of an object.
pub(super) fn join<'a>(
    kind: &str,
    children: impl Iterator<Item = &'a str>,
    body: &[u8],
) -> Vec<u8> {
    let children = children.collect::<Vec<_>>().join(",");
    let head = format!("{kind} {children} {}\0", body.len());
    let mut content = Vec::with_capacity(head.len() + body.len());
    content.extend_from_slice(head.as_bytes());
    content.extend_from_slice(body);
    content
}

/// The parts of an object.
#[derive(Debug)]
pub(super) struct Parts<'a> {
    pub(super) kind: &'a str,
    /// The distinct ids.
    pub(super) children: Vec<&'a str>,
    pub(super) body: &'a [u8],
}

/// Splits the object `id` into its parts.
pub(super) fn split<'a>(id: &str, content: &'a [u8]) -> Result<Parts<'a>, ObjectError> {
    let malformed = |problem: &str| ObjectError::malformed(id, problem);
    let end = content.iter().position(|&byte| byte == 0);
    let end = end.ok_or_else(|| malformed("it has no head"))?;
    let head = std::str::from_utf8(&content[..end]);
    let head = head.map_err(|_| malformed("its head is not text"))?;
    let mut words = head.split(' ');
    let (Some(kind), Some(children), Some(length), None) =
        (words.next(), words.next(), words.next(), words.next())
    else {
        return Err(malformed("its head is not three words"));
    };
    let body = &content[end + 1..];
    if length.parse() != Ok(body.len()) {
        let problem = format!("its head says {length} bytes, and {} follow", body.len());
        return Err(ObjectError::malformed(id, problem));
    }
    let children: Vec<_> = match children {
        "" => Vec::new(),
        some => some.split(',').collect(),
    };
    let mut seen = HashSet::new();
    for child in &children {
        if !is_id(child) {
            return Err(malformed("its head names a child by something other than a SHA-256"));
        }
        if !seen.insert(child) {
            return Err(malformed("its head names a child twice"));
        }
    }
    Ok(Parts { kind, children, body })
}

/// Whether this is the lower-case hexadecimal form of a SHA-256.
fn is_id(text: &str) -> bool {
    text.len() == 64 && text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_joined_splits_again() {
        let (one, two) = ("0".repeat(64), "a".repeat(64));
        let children = [one.as_str(), two.as_str()];
        let content = join(ARRAY, children.into_iter(), b"a\0b");
        assert!(content.starts_with(format!("Array {one},{two} 3\0").as_bytes()));
        let parts = split("x", &content).unwrap();
        assert_eq!((parts.kind, parts.body), (ARRAY, b"a\0b".as_slice()));
        assert_eq!(parts.children, children);
        assert_eq!(join(CHUNK, std::iter::empty(), b""), b"ArrayChunk  0\0");
        assert!(split("x", b"ArrayChunk  0\0").unwrap().children.is_empty());
    }

    #[test]
    fn wrong_heads_are_errors_that_name_the_object() {
        let id = "0".repeat(64);
        for (content, word) in [
            (b"Array".to_vec(), "no head"),
            (b"Array  1\0".to_vec(), "says 1 bytes"),
            (b"Array  -1\0".to_vec(), "says -1"),
            (b"Array 0\0".to_vec(), "three words"),
            (b"Array   0\0".to_vec(), "three words"),
            (b"Arr\xff\xfe  0\0".to_vec(), "not text"),
            (b"Array ab 0\0".to_vec(), "other than a SHA-256"),
            (format!("Array {id},{id} 0\0").into_bytes(), "twice"),
            (format!("Array {id}, 0\0").into_bytes(), "other than a SHA-256"),
        ] {
            let error = split("the-id", &content).unwrap_err().to_string();
            assert!(error.contains(word) && error.contains("the-id"), "{word}: {error}");
        }
    }
}

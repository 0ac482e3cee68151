//! JSON with a checksum as its last field, so that a damaged byte is detected and never read as another value.

use serde::Serialize;
use sha2::{Digest, Sha256};

use crate::hex;

/// Text between an object's other fields and the checksum, and after the checksum.
const BEFORE: &str = ",\n  \"sha256\": \"";
const AFTER: &str = "\"\n}\n";

/// Serialises `value`, an object with at least one field, as indented JSON with a last field `sha256`: the SHA-256 of
/// the text before it.
///
/// # Errors
///
/// Values that JSON cannot represent.
///
/// # Panics
///
/// Panics if `value` is not an object or is empty.
pub fn to_string(value: &impl Serialize) -> serde_json::Result<String> {
    let mut text = serde_json::to_string_pretty(value)?;
    let end = text.strip_suffix("\n}").expect("an object with fields").len();
    text.truncate(end);
    let digest = digest(&text);
    Ok(text + BEFORE + &digest + AFTER)
}

/// Checks the text of [`to_string`]. Text without a checksum, written by other programs, passes.
///
/// # Errors
///
/// A message, if the checksum does not match the text.
pub fn check(text: &str) -> Result<(), String> {
    // Editors add and remove whitespace at the end.
    let Some(rest) = text.trim_end().strip_suffix(AFTER.trim_end()) else { return Ok(()) };
    let Some((before, told)) = rest.rsplit_once(BEFORE) else { return Ok(()) };
    match digest(before) == told {
        true => Ok(()),
        false => Err("it is damaged or was edited: it does not match its own \"sha256\"; restore it, or remove \
                      that field if it was edited on purpose"
            .to_owned()),
    }
}

fn digest(text: &str) -> String {
    hex::encode(&Sha256::digest(text.as_bytes()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeMap;

    #[test]
    fn every_flipped_bit_before_the_checksum_is_told() {
        let value = BTreeMap::from([("accuracy", "0.79"), ("name", "a \"quoted\" one")]);
        let text = to_string(&value).unwrap();
        check(&text).unwrap();
        check(text.trim_end()).unwrap();
        let read: BTreeMap<String, String> = serde_json::from_str(&text).unwrap();
        assert_eq!(read["accuracy"], "0.79");
        assert_eq!(read["sha256"].len(), 64);
        let end = text.rfind(BEFORE).unwrap();
        for bit in 0..8 * end {
            let mut bytes = text.clone().into_bytes();
            bytes[bit / 8] ^= 1 << (bit % 8);
            let Ok(other) = String::from_utf8(bytes) else { continue };
            check(&other).unwrap_err();
        }
        // A changed digit of the checksum is detected, too.
        let at = end + BEFORE.len();
        let other = if text.as_bytes()[at] == b'0' { "1" } else { "0" };
        check(&format!("{}{other}{}", &text[..at], &text[at + 1..])).unwrap_err();
    }

    #[test]
    fn text_of_others_passes() {
        check("{\n  \"clients\": []\n}").unwrap();
        check("").unwrap();
        check("{\"sha256\": \"\"}").unwrap();
    }
}

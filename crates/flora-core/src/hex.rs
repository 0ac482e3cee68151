//! Hexadecimal text of digests.

use std::fmt::Write;

/// Encodes bytes as lower-case hexadecimal.
pub fn encode(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        // Writing to a `String` cannot fail.
        let _ = write!(text, "{byte:02x}");
        text
    })
}

/// Decodes hexadecimal digits, two per byte; `None` for anything else.
pub fn decode(text: &str) -> Option<Vec<u8>> {
    if !text.len().is_multiple_of(2) || !text.bytes().all(|digit| digit.is_ascii_hexdigit()) {
        return None;
    }
    (0..text.len()).step_by(2).map(|at| u8::from_str_radix(&text[at..at + 2], 16).ok()).collect()
}

#[cfg(test)]
mod tests {
    #[test]
    fn every_byte_takes_two_digits() {
        assert_eq!(super::encode(&[0, 9, 255]), "0009ff");
        assert_eq!(super::decode("0009fF"), Some(vec![0, 9, 255]));
        for wrong in ["0", "0g", "+1", "é0"] {
            assert_eq!(super::decode(wrong), None, "{wrong}");
        }
    }
}

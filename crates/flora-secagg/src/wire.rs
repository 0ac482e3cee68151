//! Bytes of messages and states: little-endian numbers, LEB128 for mostly small numbers, and a length check before
//! every allocation.

use crate::{Result, SecaggError};

/// The version of the layout of all messages and states. Other versions are refused.
pub(crate) const VERSION: u8 = 2;

/// Appends to a byte string.
#[derive(Default)]
pub(crate) struct Writer(pub(crate) Vec<u8>);

impl Writer {
    pub(crate) fn u8(&mut self, value: u8) {
        self.0.push(value);
    }

    pub(crate) fn raw(&mut self, bytes: &[u8]) {
        self.0.extend_from_slice(bytes);
    }

    /// LEB128: seven bits a byte, the lowest first.
    pub(crate) fn number(&mut self, mut value: u64) {
        while value >= 0x80 {
            self.u8(value as u8 | 0x80);
            value >>= 7;
        }
        self.u8(value as u8);
    }

    pub(crate) fn bytes(&mut self, bytes: &[u8]) {
        self.number(bytes.len() as u64);
        self.raw(bytes);
    }

    pub(crate) fn text(&mut self, text: &str) {
        self.bytes(text.as_bytes());
    }

    pub(crate) fn words(&mut self, words: &[u32]) {
        self.number(words.len() as u64);
        self.0.reserve(4 * words.len());
        words.iter().for_each(|word| self.raw(&word.to_le_bytes()));
    }
}

/// Takes from a byte string.
pub(crate) struct Reader<'a> {
    bytes: &'a [u8],
    what: &'static str,
}

impl<'a> Reader<'a> {
    pub(crate) fn new(what: &'static str, bytes: &'a [u8]) -> Self {
        Self { bytes, what }
    }

    pub(crate) fn bad(&self, problem: impl Into<String>) -> SecaggError {
        SecaggError::Bytes { what: self.what, problem: problem.into() }
    }

    pub(crate) fn take(&mut self, count: usize) -> Result<&'a [u8]> {
        let Some((taken, rest)) = self.bytes.split_at_checked(count) else {
            return Err(self.bad(format!("it ends {} bytes too early", count - self.bytes.len())));
        };
        self.bytes = rest;
        Ok(taken)
    }

    pub(crate) fn array<const N: usize>(&mut self) -> Result<[u8; N]> {
        Ok(self.take(N)?.try_into().expect("as many as were taken"))
    }

    pub(crate) fn u8(&mut self) -> Result<u8> {
        Ok(self.take(1)?[0])
    }

    pub(crate) fn version(&mut self) -> Result<()> {
        match self.u8()? {
            VERSION => Ok(()),
            other => Err(self.bad(format!(
                "version {other} of the layout; this program knows version {VERSION}"
            ))),
        }
    }

    pub(crate) fn number(&mut self) -> Result<u64> {
        let mut value = 0_u64;
        for place in 0..10 {
            let byte = self.u8()?;
            // The tenth byte holds one bit, and no number ends in a byte that adds nothing: one number has one form.
            if place == 9 && byte > 1 || place > 0 && byte == 0 {
                break;
            }
            value |= u64::from(byte & 0x7f) << (7 * place);
            if byte < 0x80 {
                return Ok(value);
            }
        }
        Err(self.bad("a number is not in its shortest form"))
    }

    /// Reads a number of elements, and checks that the input has `size` bytes for each.
    pub(crate) fn count(&mut self, size: usize) -> Result<usize> {
        let count = self.number()?;
        match usize::try_from(count).ok().filter(|count| *count <= self.bytes.len() / size.max(1)) {
            Some(count) => Ok(count),
            None => Err(self.bad(format!("it counts {count} elements and ends before them"))),
        }
    }

    pub(crate) fn bytes(&mut self) -> Result<&'a [u8]> {
        let count = self.count(1)?;
        self.take(count)
    }

    pub(crate) fn text(&mut self) -> Result<String> {
        let bytes = self.bytes()?.to_vec();
        String::from_utf8(bytes).map_err(|_| self.bad("a text is not UTF-8"))
    }

    pub(crate) fn words(&mut self) -> Result<Vec<u32>> {
        let count = self.count(4)?;
        let (words, _) = self.take(4 * count)?.as_chunks::<4>();
        Ok(words.iter().map(|word| u32::from_le_bytes(*word)).collect())
    }

    pub(crate) fn end(self) -> Result<()> {
        match self.bytes.len() {
            0 => Ok(()),
            more => Err(self.bad(format!("{more} bytes follow its end"))),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_read_as_written_and_have_one_form() {
        for value in [0, 1, 127, 128, 300, 1 << 32, u64::MAX] {
            let mut writer = Writer::default();
            writer.number(value);
            let mut reader = Reader::new("it", &writer.0);
            assert_eq!(reader.number(), Ok(value));
            reader.end().unwrap();
        }
        let too_long = [0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x02];
        for bytes in [&[0x80, 0x00][..], &too_long[..], &[0x80][..]] {
            assert!(Reader::new("it", bytes).number().is_err());
        }
    }

    #[test]
    fn a_count_without_its_elements_allocates_nothing() {
        let mut writer = Writer::default();
        writer.number(u64::MAX / 8);
        assert!(Reader::new("it", &writer.0).words().is_err());
    }
}

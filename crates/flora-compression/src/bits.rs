//! Bit streams in bytes, the lowest bit of each byte first.

use crate::error::CodecError;

/// Appends bits to bytes.
#[derive(Debug, Default)]
pub(crate) struct BitWriter {
    bytes: Vec<u8>,
    /// Bits that do not fill a byte yet.
    pending: u64,
    count: u32,
}

impl BitWriter {
    /// Appends the `count` lowest bits of `value`, the lowest first; at most 32, and no others may be set.
    pub(crate) fn write(&mut self, value: u32, count: u32) {
        debug_assert!(count <= 32 && u64::from(value) < 1 << count);
        self.pending |= u64::from(value) << self.count;
        self.count += count;
        while self.count >= 8 {
            self.bytes.push(self.pending as u8);
            self.pending >>= 8;
            self.count -= 8;
        }
    }

    /// Appends `count` ones and a zero.
    pub(crate) fn write_unary(&mut self, mut count: usize) {
        while count >= 31 {
            self.write((1 << 31) - 1, 31);
            count -= 31;
        }
        self.write((1 << count) - 1, count as u32 + 1);
    }

    /// The bytes; the last is padded with zeros.
    pub(crate) fn finish(mut self) -> Vec<u8> {
        if self.count > 0 {
            self.bytes.push(self.pending as u8);
        }
        self.bytes
    }
}

/// Reads the output of [`BitWriter`].
#[derive(Debug)]
pub(crate) struct BitReader<'a> {
    bytes: &'a [u8],
    /// In bits.
    position: usize,
}

impl<'a> BitReader<'a> {
    pub(crate) fn new(bytes: &'a [u8]) -> Self {
        Self { bytes, position: 0 }
    }

    fn bit(&mut self) -> Result<u32, CodecError> {
        let byte = self.bytes.get(self.position / 8).ok_or(CodecError::Damaged("it ends early"))?;
        let bit = byte >> (self.position % 8) & 1;
        self.position += 1;
        Ok(bit.into())
    }

    /// Reads `count` bits, at most 32.
    pub(crate) fn read(&mut self, count: u32) -> Result<u32, CodecError> {
        let mut value = 0;
        let mut filled = 0;
        while filled < count {
            let byte = self.bytes.get(self.position / 8);
            let byte = byte.ok_or(CodecError::Damaged("it ends early"))?;
            let offset = (self.position % 8) as u32;
            let taken = (8 - offset).min(count - filled);
            let bits = u32::from(byte >> offset) & ((1 << taken) - 1);
            value |= bits << filled;
            filled += taken;
            self.position += taken as usize;
        }
        Ok(value)
    }

    /// Counts ones up to the next zero; more than `most` are an error.
    pub(crate) fn read_unary(&mut self, most: usize) -> Result<usize, CodecError> {
        let mut count = 0;
        while self.bit()? == 1 {
            count += 1;
            if count > most {
                return Err(CodecError::Damaged("a position lies beyond the end of its tensor"));
            }
        }
        Ok(count)
    }

    /// Checks that only the zero padding of the last byte is left.
    ///
    /// # Errors
    /// [`CodecError::Damaged`].
    pub(crate) fn finish(mut self) -> Result<(), CodecError> {
        let rest = (8 - self.position % 8) % 8;
        if self.read(rest as u32)? != 0 || self.position != self.bytes.len() * 8 {
            return Err(CodecError::Damaged("there are bits after the last position"));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bits_come_back() {
        let numbers = [(5, 3), (0, 1), (u32::MAX, 32), (1, 1), (300, 11), (0, 0)];
        let counts = [0, 1, 7, 30, 31, 32, 100];
        let mut writer = BitWriter::default();
        for (value, count) in numbers {
            writer.write(value, count);
        }
        for count in counts {
            writer.write_unary(count);
        }
        let bytes = writer.finish();
        let mut reader = BitReader::new(&bytes);
        for (value, count) in numbers {
            assert_eq!(reader.read(count).unwrap(), value);
        }
        for count in counts {
            assert_eq!(reader.read_unary(count).unwrap(), count);
        }
        reader.finish().unwrap();
        assert!(BitReader::new(&bytes).finish().is_err());
        assert!(BitReader::new(&bytes[..3]).read(32).is_err());
        assert!(BitReader::new(&[255; 9]).read_unary(70).is_err());
    }
}

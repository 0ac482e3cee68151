//! Data elements of MAT-files.

/// The type of an element that contains a compressed one.
pub(super) const COMPRESSED: u32 = 15;

/// Bytes that are still to be read.
#[derive(Debug)]
pub(super) struct Bytes<'a>(pub(super) &'a [u8]);

impl<'a> Bytes<'a> {
    /// The type and the data of the next element.
    pub(super) fn element(&mut self) -> Result<(u32, &'a [u8]), String> {
        let head = self.word()?;
        // Up to four bytes of data may share the eight bytes of the tag.
        if head >> 16 != 0 {
            let size = (head >> 16) as usize;
            let data = self.take(4)?;
            let data = data.get(..size).ok_or("a small element has more than four bytes")?;
            return Ok((head & 0xffff, data));
        }
        let size = self.word()? as usize;
        let data = self.take(size)?;
        // Compressed elements are not padded, and after the last one there may be no padding.
        if head != COMPRESSED {
            let fill = size.next_multiple_of(8) - size;
            self.0 = &self.0[fill.min(self.0.len())..];
        }
        Ok((head, data))
    }

    fn word(&mut self) -> Result<u32, String> {
        let bytes = self.take(4)?;
        Ok(u32::from_le_bytes(bytes.try_into().expect("four bytes were taken")))
    }

    fn take(&mut self, count: usize) -> Result<&'a [u8], String> {
        let (taken, rest) = self.0.split_at_checked(count).ok_or("it is cut short")?;
        self.0 = rest;
        Ok(taken)
    }
}

/// The numbers of an element. Numbers are stored in the smallest sufficient type, whatever the class of the array.
pub(super) fn numbers(kind: u32, data: &[u8]) -> Result<Vec<f64>, String> {
    macro_rules! read {
        ($kind:ty) => {{
            let (numbers, rest) = data.as_chunks();
            if !rest.is_empty() {
                return Err("an element is cut within a number".to_owned());
            }
            Ok(numbers.iter().map(|bytes| <$kind>::from_le_bytes(*bytes) as f64).collect())
        }};
    }
    match kind {
        1 => read!(i8),
        2 => read!(u8),
        3 => read!(i16),
        4 => read!(u16),
        5 => read!(i32),
        6 => read!(u32),
        7 => read!(f32),
        9 => read!(f64),
        12 => read!(i64),
        13 => read!(u64),
        kind => Err(format!("an element of type {kind} holds no numbers")),
    }
}

/// The text of an element of characters.
pub(super) fn text(kind: u32, data: &[u8]) -> Result<String, String> {
    let wrong = || "a text is not Unicode".to_owned();
    match kind {
        // UTF-8, also labelled as bytes.
        1 | 2 | 16 => String::from_utf8(data.to_vec()).map_err(|_| wrong()),
        // UTF-16, also labelled as 16-bit numbers.
        4 | 17 => {
            let (units, rest) = data.as_chunks();
            let units: Vec<_> = units.iter().map(|unit| u16::from_le_bytes(*unit)).collect();
            if rest.is_empty() {
                String::from_utf16(&units).map_err(|_| wrong())
            } else {
                Err(wrong())
            }
        }
        kind => Err(format!("an element of type {kind} holds no text")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn elements_are_small_or_filled_up() {
        let mut bytes = vec![2, 0, 3, 0, 7, 8, 9, 0];
        bytes.extend([2, 0, 0, 0, 5, 0, 0, 0, 1, 2, 3, 4, 5, 0, 0, 0]);
        bytes.extend([2, 0, 0, 0, 1, 0, 0, 0, 6]);
        let mut rest = Bytes(&bytes);
        assert_eq!(rest.element().unwrap(), (2, &[7, 8, 9][..]));
        assert_eq!(rest.element().unwrap(), (2, &[1, 2, 3, 4, 5][..]));
        assert_eq!(rest.element().unwrap(), (2, &[6][..]));
        assert!(rest.element().unwrap_err().contains("cut short"));
        assert!(Bytes(&[2, 0, 5, 0, 1, 2, 3, 4]).element().is_err());
        assert!(Bytes(&[2, 0, 0, 0, 255, 255, 255, 255, 0]).element().is_err());
    }

    #[test]
    fn numbers_and_texts_have_several_types() {
        assert_eq!(numbers(4, &[1, 0, 0, 1]).unwrap(), [1.0, 256.0]);
        assert_eq!(numbers(5, &[255; 4]).unwrap(), [-1.0]);
        assert_eq!(numbers(9, &1.5_f64.to_le_bytes()).unwrap(), [1.5]);
        assert!(numbers(4, &[1, 0, 0]).is_err());
        assert!(numbers(14, &[]).is_err());
        assert_eq!(text(4, &[b'a', 0, 0xe9, 0]).unwrap(), "a\u{e9}");
        assert_eq!(text(16, "\u{e9}".as_bytes()).unwrap(), "\u{e9}");
        assert!(text(16, &[0xff]).is_err());
        assert!(text(17, &[0, 0xd8]).is_err());
        assert!(text(9, &[]).is_err());
    }
}

//! NumPy's file of one array (NEP 1), `.npy`, as far as flora needs it: version 1.0, little endian, row-major. The crate
//! `npyz` brings eleven others; tests read with it.

use thiserror::Error;

const MAGIC: &[u8] = b"\x93NUMPY";
const VERSION: [u8; 2] = [1, 0];
/// Bytes of the magic, the version and the length of the description.
const START: usize = 10;
/// Values begin at a multiple of this many bytes.
const ALIGN: usize = 64;
/// NumPy leaves room for the first extent to grow to this many digits.
const GROWTH: usize = 21;

/// The description of an array.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Header {
    /// Byte order, kind and size of an element, such as `<f4`.
    pub descr: String,
    /// Whether the array is column-major.
    pub fortran_order: bool,
    /// The extents.
    pub shape: Vec<usize>,
}

/// Why the beginning of a `.npy` file cannot be read. The messages complete a sentence about the file's owner.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum NpyError {
    /// Another kind of file.
    #[error("its data is not a .npy file")]
    Magic,
    /// The file ends before its values begin.
    #[error("its .npy file is cut off")]
    CutOff,
    /// A version for descriptions that are long or not ASCII.
    #[error("its .npy file has version {}.{}, and 1.0 is read", version[0], version[1])]
    Version {
        /// The file's version.
        version: [u8; 2],
    },
    /// A damaged description, or one of records.
    #[error("the description in its .npy file is not one of a plain array")]
    Description,
}

/// The beginning of a file, byte for byte as `numpy.save` writes it. The values follow, row-major and little-endian,
/// from a multiple of 64 bytes on.
///
/// # Panics
///
/// With so many axes that the description is longer than 65,535 bytes: thousands, where NumPy has 64 at most.
pub fn head(descr: &str, shape: &[usize]) -> Vec<u8> {
    let extents = match shape {
        [one] => format!("({one},)"),
        more => format!("({})", more.iter().map(usize::to_string).collect::<Vec<_>>().join(", ")),
    };
    let mut text = format!("{{'descr': '{descr}', 'fortran_order': False, 'shape': {extents}, }}");
    if let Some(first) = shape.first() {
        text.extend(std::iter::repeat_n(' ', GROWTH.saturating_sub(first.to_string().len())));
    }
    // A whole block of spaces where none would be needed, as NumPy does.
    let length = text.len() + 1;
    text.extend(std::iter::repeat_n(' ', ALIGN - (START + length) % ALIGN));
    text.push('\n');

    let mut head = Vec::from(MAGIC);
    head.extend(VERSION);
    let length = u16::try_from(text.len()).expect("an array has few axes");
    head.extend(length.to_le_bytes());
    head.extend(text.as_bytes());
    head
}

/// Reads the description, and returns it with the bytes of the values, whose number is not checked.
///
/// # Errors
///
/// [`NpyError`] for anything but version 1.0 of a plain array.
pub fn read(file: &[u8]) -> Result<(Header, &[u8]), NpyError> {
    let rest = file.strip_prefix(MAGIC).ok_or(NpyError::Magic)?;
    let (&version, rest) = rest.split_first_chunk::<2>().ok_or(NpyError::CutOff)?;
    if version != VERSION {
        return Err(NpyError::Version { version });
    }
    let (length, rest) = rest.split_first_chunk().ok_or(NpyError::CutOff)?;
    let length = usize::from(u16::from_le_bytes(*length));
    let (text, values) = rest.split_at_checked(length).ok_or(NpyError::CutOff)?;
    let header = std::str::from_utf8(text).ok().and_then(header);
    Ok((header.ok_or(NpyError::Description)?, values))
}

/// Parses the description, a Python dictionary with the three keys in any order.
fn header(text: &str) -> Option<Header> {
    let mut rest = Rest(text);
    let (mut descr, mut fortran_order, mut shape) = (None, None, None);
    rest.expect("{")?;
    while rest.expect("}").is_none() {
        let key = rest.quoted()?;
        rest.expect(":")?;
        match key {
            "descr" if descr.is_none() => descr = Some(rest.quoted()?.to_owned()),
            "fortran_order" if fortran_order.is_none() => {
                fortran_order = Some(match rest.expect("True") {
                    Some(()) => true,
                    None => rest.expect("False").map(|()| false)?,
                });
            }
            "shape" if shape.is_none() => shape = Some(rest.extents()?),
            _ => return None,
        }
        if rest.expect(",").is_none() {
            rest.expect("}")?;
            break;
        }
    }
    rest.0.trim().is_empty().then_some(())?;
    Some(Header { descr: descr?, fortran_order: fortran_order?, shape: shape? })
}

/// The text that is not parsed yet.
struct Rest<'a>(&'a str);

impl<'a> Rest<'a> {
    fn expect(&mut self, word: &str) -> Option<()> {
        self.0 = self.0.trim_start().strip_prefix(word)?;
        Some(())
    }

    fn quoted(&mut self) -> Option<&'a str> {
        let text = self.0.trim_start();
        let quote = text.chars().next().filter(|it| matches!(it, '\'' | '"'))?;
        let (word, rest) = text[1..].split_once(quote)?;
        self.0 = rest;
        (!word.contains('\\')).then_some(word)
    }

    /// `()`, `(3,)`, `(3, 4)` or `(3, 4,)`.
    fn extents(&mut self) -> Option<Vec<usize>> {
        self.expect("(")?;
        let mut extents = Vec::new();
        while self.expect(")").is_none() {
            let text = self.0.trim_start();
            let digits = text.bytes().take_while(u8::is_ascii_digit).count();
            extents.push(text[..digits].parse().ok()?);
            self.0 = &text[digits..];
            if self.expect(",").is_none() {
                self.expect(")")?;
                // `(3)` is a number, not a tuple.
                return (extents.len() > 1).then_some(extents);
            }
        }
        Some(extents)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn descriptions_in_other_spellings_are_read() {
        let expected = Header { descr: "<f4".to_owned(), fortran_order: true, shape: vec![2, 3] };
        for text in [
            "{'descr': '<f4', 'fortran_order': True, 'shape': (2, 3), }   \n",
            "{\"shape\":(2,3,),'fortran_order':True,'descr':'<f4'}",
        ] {
            assert_eq!(header(text).as_ref(), Some(&expected), "{text}");
        }
        let scalar = header("{'descr':'<f2','fortran_order':False,'shape':()}").unwrap();
        assert!(scalar.shape.is_empty());
    }

    #[test]
    fn other_descriptions_are_refused() {
        for text in [
            "",
            "{",
            "{}",
            "{'descr': '<f4', 'fortran_order': True, }",
            "{'descr': '<f4', 'descr': '<f4', 'fortran_order': True, 'shape': (2,)}",
            "{'descr': [('a', '<f4')], 'fortran_order': False, 'shape': (2,)}",
            "{'descr': '<f4', 'fortran_order': 1, 'shape': (2,)}",
            "{'descr': '<f4', 'fortran_order': False, 'shape': (2)}",
            "{'descr': '<f4', 'fortran_order': False, 'shape': (-2,)}",
            "{'descr': '<f4', 'fortran_order': False, 'shape': (99999999999999999999,)}",
            "{'descr': '<f4', 'fortran_order': False, 'shape': (2,), 'more': 1}",
            "{'descr': '<f4', 'fortran_order': False, 'shape': (2,)} ()",
            "{'descr' '<f4', 'fortran_order': False, 'shape': (2,)}",
        ] {
            assert_eq!(header(text), None, "{text}");
        }
    }

    #[test]
    fn every_truncation_of_the_head_is_an_error() {
        let mut file = head("<f4", &[3]);
        file.extend([0; 12]);
        assert_eq!(read(&file).unwrap().1, [0; 12]);
        for end in 0..file.len() - 12 {
            assert!(read(&file[..end]).is_err(), "{end}");
        }
        let mut other = file.clone();
        other[6] = 2;
        let error = read(&other).unwrap_err();
        assert_eq!(error.to_string(), "its .npy file has version 2.0, and 1.0 is read");
        assert_eq!(read(b"PK"), Err(NpyError::Magic));
    }

    /// The bytes of `numpy.save` (NumPy 2.4) before the values, whose descriptions differ in their padding.
    #[test]
    fn heads_are_those_of_numpy() {
        for (descr, shape, text, length) in [
            ("<f4", &[][..], "{'descr': '<f4', 'fortran_order': False, 'shape': (), }", 128),
            ("<f2", &[3], "{'descr': '<f2', 'fortran_order': False, 'shape': (3,), }", 128),
            (
                "<f4",
                &[1_000_000, 1024],
                "{'descr': '<f4', 'fortran_order': False, 'shape': (1000000, 1024), }",
                128,
            ),
        ] {
            let head = head(descr, shape);
            assert_eq!(head.len(), length);
            assert_eq!(
                head[..10],
                [0x93, b'N', b'U', b'M', b'P', b'Y', 1, 0, length as u8 - 10, 0]
            );
            let rest = head[10..].strip_suffix(b"\n").unwrap();
            assert_eq!(std::str::from_utf8(rest).unwrap().trim_end_matches(' '), text);
        }
        // The room for the first extent counts.
        assert_eq!([14, 15].map(|axes| head("<f4", &vec![1; axes]).len()), [128, 192]);
    }
}

//! numpy's file of one array (NEP 1), as far as messages need it: version 1.0, little endian, row-major.

const MAGIC: &[u8] = b"\x93NUMPY";
const VERSION: [u8; 2] = [1, 0];
/// Bytes of the magic, the version and the length of the description.
const START: usize = 10;
/// Values begin at a multiple of this many bytes.
const ALIGN: usize = 64;
/// numpy leaves room for the first extent to grow to this many digits.
const GROWTH: usize = 21;

/// The header of a file: a description of its array.
#[derive(Debug, PartialEq)]
pub(super) struct Header {
    /// Byte order, kind and size of an element, such as `<f4`.
    pub(super) descr: String,
    /// Whether the array is column-major.
    pub(super) fortran_order: bool,
    pub(super) shape: Vec<usize>,
}

/// Writes a file, byte for byte as `numpy.save` does.
pub(crate) fn write(descr: &str, shape: &[usize], values: impl FnOnce(&mut Vec<u8>)) -> Vec<u8> {
    let extents = match shape {
        [one] => format!("({one},)"),
        more => format!("({})", more.iter().map(usize::to_string).collect::<Vec<_>>().join(", ")),
    };
    let mut head = format!("{{'descr': '{descr}', 'fortran_order': False, 'shape': {extents}, }}");
    if let Some(first) = shape.first() {
        head.extend(std::iter::repeat_n(' ', GROWTH.saturating_sub(first.to_string().len())));
    }
    // A whole block of spaces where none would be needed, as numpy does.
    let length = head.len() + 1;
    head.extend(std::iter::repeat_n(' ', ALIGN - (START + length) % ALIGN));
    head.push('\n');

    let mut file = Vec::from(MAGIC);
    file.extend(VERSION);
    let length = u16::try_from(head.len()).expect("a tensor has few axes");
    file.extend(length.to_le_bytes());
    file.extend(head.as_bytes());
    values(&mut file);
    file
}

/// Reads the description and the bytes of the values.
pub(super) fn read(file: &[u8]) -> Result<(Header, &[u8]), String> {
    let rest = file.strip_prefix(MAGIC).ok_or("its data is not a .npy file")?;
    let (version, rest) = rest.split_first_chunk::<2>().ok_or("its .npy file is cut off")?;
    if *version != VERSION {
        let [major, minor] = version;
        return Err(format!("its .npy file has version {major}.{minor}, and 1.0 is read"));
    }
    let (length, rest) = rest.split_first_chunk().ok_or("its .npy file is cut off")?;
    let length = usize::from(u16::from_le_bytes(*length));
    let (head, values) = rest.split_at_checked(length).ok_or("its .npy file is cut off")?;
    let head = std::str::from_utf8(head).ok().and_then(header);
    Ok((head.ok_or("the description in its .npy file is not one of a plain array")?, values))
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
        let file = write("<f4", &[3], |bytes| bytes.extend([0; 12]));
        assert_eq!(read(&file).unwrap().1, [0; 12]);
        for end in 0..file.len() - 12 {
            assert!(read(&file[..end]).is_err(), "{end}");
        }
        let mut other = file.clone();
        other[6] = 2;
        assert!(read(&other).unwrap_err().contains("version 2.0"));
    }
}

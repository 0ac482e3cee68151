//! MATLAB's level 5 MAT-files, as far as lists of images need them: arrays of numbers, and arrays of structs with
//! numbers and texts.
//!
//! The format is in "MAT-File Format" (MathWorks): a header of 128 bytes, then data elements, each with a type, a size
//! and that many bytes, padded to a multiple of 8. A variable is an element that contains elements, and may be
//! compressed as a whole. Irrelevant elements are skipped by their size.

use std::fs::File;
use std::io::Read;
use std::path::Path;

use flate2::read::ZlibDecoder;

use super::mat_bytes::{Bytes, COMPRESSED, numbers, text};
use crate::Error;

/// The largest list of the data sets in this format has 3 MB, unpacked.
const MOST_BYTES: u64 = 64 << 20;
const HEADER: usize = 128;
const MATRIX: u32 = 14;
const STRUCT: u8 = 2;
const CHAR: u8 = 4;
/// `double` to `uint64`.
const NUMERIC: std::ops::RangeInclusive<u8> = 6..=15;

/// An array that a variable holds.
#[derive(Debug, PartialEq)]
pub(super) enum Array {
    /// Numbers, column by column.
    Numbers(Vec<f64>),
    /// The fields' names, and the fields of one struct after the other.
    Structs { fields: Vec<String>, values: Vec<Value> },
}

/// The value of a struct field.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Value {
    Number(f64),
    Text(String),
    /// Anything else.
    Other,
}

/// The variables of a file, unpacked.
#[derive(Debug)]
pub(super) struct MatFile(Vec<Variable>);

#[derive(Debug)]
struct Variable {
    name: String,
    bytes: Vec<u8>,
}

impl MatFile {
    /// Reads a file.
    pub(super) fn read(path: &Path) -> Result<Self, Error> {
        let mut bytes = Vec::new();
        let file = File::open(path).map_err(Error::io("read", path))?;
        file.take(MOST_BYTES + 1).read_to_end(&mut bytes).map_err(Error::io("read", path))?;
        Self::parse(&bytes).map_err(|problem| damaged(path, problem))
    }

    fn parse(bytes: &[u8]) -> Result<Self, String> {
        if bytes.len() as u64 > MOST_BYTES {
            return Err("it is too large for a list of labels".to_owned());
        }
        let (header, body) = bytes.split_at_checked(HEADER).ok_or("it is cut short")?;
        if header.ends_with(&[0, 2, b'I', b'M']) || bytes.starts_with(b"\x89HDF") {
            return Err(
                "it is of version 7.3, which is not supported: save it with `-v7`".to_owned()
            );
        }
        if !header.ends_with(&[0, 1, b'I', b'M']) {
            return Err("it is not a little-endian MAT-file of level 5".to_owned());
        }
        let mut elements = Bytes(body);
        let mut variables = Vec::new();
        let mut budget = MOST_BYTES;
        while !elements.0.is_empty() {
            let (kind, data) = elements.element()?;
            let unpacked;
            let matrix = match kind {
                MATRIX => data,
                COMPRESSED => {
                    unpacked = inflate(data, &mut budget)?;
                    match Bytes(&unpacked).element()? {
                        (MATRIX, data) => data,
                        (kind, _) => return Err(format!("it packs an element of type {kind}")),
                    }
                }
                kind => return Err(format!("it has an element of type {kind}")),
            };
            let name = Matrix::parse(matrix)?.name;
            variables.push(Variable { name, bytes: matrix.to_vec() });
        }
        Ok(Self(variables))
    }

    /// The names of the variables.
    pub(super) fn names(&self) -> Vec<&str> {
        self.0.iter().map(|variable| variable.name.as_str()).collect()
    }

    /// The array of a variable; `None` if there is no such variable. `path` is for errors.
    pub(super) fn array(&self, path: &Path, name: &str) -> Result<Option<Array>, Error> {
        let Some(variable) = self.0.iter().find(|variable| variable.name == name) else {
            return Ok(None);
        };
        let array = Matrix::parse(&variable.bytes).and_then(Matrix::array);
        array.map(Some).map_err(|problem| damaged(path, format!("`{name}`: {problem}")))
    }
}

fn damaged(path: &Path, problem: String) -> Error {
    let remedy = "fetch the file again".to_owned();
    Error::Damaged { file: path.to_owned(), problem, remedy }
}

/// Unpacks a variable; `budget` is the remaining size for all variables.
fn inflate(data: &[u8], budget: &mut u64) -> Result<Vec<u8>, String> {
    let mut bytes = Vec::new();
    ZlibDecoder::new(data)
        .take(*budget + 1)
        .read_to_end(&mut bytes)
        .map_err(|error| format!("it is damaged or cut short ({error})"))?;
    *budget = budget
        .checked_sub(bytes.len() as u64)
        .ok_or("its variables are too large for a list of labels")?;
    Ok(bytes)
}

/// A matrix element up to its name.
struct Matrix<'a> {
    class: u8,
    complex: bool,
    /// The number of elements of the array.
    count: usize,
    name: String,
    rest: Bytes<'a>,
}

impl<'a> Matrix<'a> {
    fn parse(data: &'a [u8]) -> Result<Self, String> {
        let mut rest = Bytes(data);
        let (_, flags) = rest.element()?;
        let [class, bits, ..] = *flags else { return Err("its flags are cut short".to_owned()) };
        let (kind, dims) = rest.element()?;
        let count = numbers(kind, dims)?.into_iter().try_fold(1_usize, |count, dim| {
            let dim = if dim >= 0.0 { dim as usize } else { return None };
            count.checked_mul(dim)
        });
        let (_, name) = rest.element()?;
        Ok(Self {
            class,
            complex: bits & 0x08 != 0,
            count: count.ok_or("its dimensions cannot be right")?,
            name: String::from_utf8_lossy(name).into_owned(),
            rest,
        })
    }

    fn array(mut self) -> Result<Array, String> {
        match self.class {
            class if NUMERIC.contains(&class) && !self.complex => {
                self.numbers().map(Array::Numbers)
            }
            STRUCT => self.structs(),
            class => Err(format!(
                "it is an array of class {class}{}, not of numbers or structs",
                if self.complex { " of complex numbers" } else { "" }
            )),
        }
    }

    fn numbers(&mut self) -> Result<Vec<f64>, String> {
        let (kind, data) = self.rest.element()?;
        let numbers = numbers(kind, data)?;
        match numbers.len() == self.count {
            true => Ok(numbers),
            false => Err(format!("it has {} numbers, not {}", numbers.len(), self.count)),
        }
    }

    fn structs(mut self) -> Result<Array, String> {
        let (kind, length) = self.rest.element()?;
        let length = match numbers(kind, length)?[..] {
            [length] if (1.0..=1024.0).contains(&length) => length as usize,
            _ => return Err("the length of its fields' names cannot be right".to_owned()),
        };
        let (_, names) = self.rest.element()?;
        let name = |name: &[u8]| {
            let end = name.iter().position(|&byte| byte == 0).unwrap_or(name.len());
            String::from_utf8_lossy(&name[..end]).into_owned()
        };
        let fields: Vec<_> = names.chunks(length).map(name).collect();
        if fields.is_empty() {
            return Err("its structs have no field".to_owned());
        }
        let mut values = Vec::new();
        // The count is not trusted: each value takes bytes, which are limited.
        for _ in 0..self.count {
            for _ in &fields {
                let (MATRIX, data) = self.rest.element()? else {
                    return Err("a field of its structs is not an array".to_owned());
                };
                values.push(value(data)?);
            }
        }
        Ok(Array::Structs { fields, values })
    }
}

/// A field of a struct. An empty array may be an element without bytes.
fn value(data: &[u8]) -> Result<Value, String> {
    if data.is_empty() {
        return Ok(Value::Other);
    }
    let mut matrix = Matrix::parse(data)?;
    match matrix.class {
        CHAR => {
            let (kind, data) = matrix.rest.element()?;
            text(kind, data).map(Value::Text)
        }
        class if NUMERIC.contains(&class) && !matrix.complex && matrix.count == 1 => {
            Ok(Value::Number(matrix.numbers()?[0]))
        }
        _ => Ok(Value::Other),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fixture(name: &str) -> std::path::PathBuf {
        Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/layouts").join(name)
    }

    fn numbers_of(array: Array) -> Vec<f64> {
        match array {
            Array::Numbers(numbers) => numbers,
            structs => panic!("{structs:?}"),
        }
    }

    #[test]
    fn arrays_of_every_type_are_read_packed_or_not() {
        for name in ["odd.mat", "odd-packed.mat"] {
            let path = fixture(name);
            let file = MatFile::read(&path).unwrap();
            assert_eq!(file.names().len(), 10);
            let get = |name| file.array(&path, name).unwrap().unwrap();
            // Column by column.
            assert_eq!(numbers_of(get("doubles")), [1.0, -3.0, 2.5, 1e9]);
            assert_eq!(numbers_of(get("floats")), [1.5]);
            assert_eq!(numbers_of(get("longs")), [-7.0, 1_099_511_627_776.0]);
            assert_eq!(numbers_of(get("shorts")), [-300.0, 300.0]);
            assert_eq!(numbers_of(get("logical")), [1.0, 0.0]);
            assert!(numbers_of(get("empty")).is_empty());
            let Array::Structs { fields, values } = get("structs") else { panic!("no structs") };
            assert_eq!(fields, ["number", "text", "other"]);
            let text = |text: &str| Value::Text(text.to_owned());
            assert_eq!(values[..3], [Value::Number(1.0), text("caf\u{e9}"), Value::Other]);
            assert_eq!(values[3], Value::Number(2.5));
            assert_eq!(values[5], text("x"));
            assert!(file.array(&path, "nothing").unwrap().is_none());
            for name in ["complex", "word", "cells"] {
                let message = file.array(&path, name).unwrap_err().to_string();
                assert!(message.contains(name) && message.contains("not of numbers"), "{message}");
            }
        }
    }

    #[test]
    fn other_versions_are_named() {
        for (end, part) in [(&[0, 2, b'I', b'M'], "7.3"), (&[1, 0, b'M', b'I'], "little-endian")] {
            let mut bytes = vec![b' '; HEADER - 4];
            bytes.extend(end);
            let message = MatFile::parse(&bytes).unwrap_err();
            assert!(message.contains(part), "{message}");
        }
        assert!(MatFile::parse(b"MATLAB").unwrap_err().contains("cut short"));
    }

    #[test]
    fn damaged_files_are_refused_or_read_but_never_panic() {
        let read = |bytes: &[u8]| {
            let Ok(file) = MatFile::parse(bytes) else { return };
            for name in file.names() {
                let _ = file.array(Path::new("damaged.mat"), name);
            }
        };
        for name in ["odd.mat", "odd-packed.mat", "setid.mat"] {
            let whole = std::fs::read(fixture(name)).unwrap();
            let mut refused = 0;
            for end in HEADER + 1..whole.len() {
                refused += usize::from(MatFile::parse(&whole[..end]).is_err());
                read(&whole[..end]);
            }
            assert!(refused > (whole.len() - HEADER) / 2, "{name}: {refused}");
            for at in HEADER..whole.len() {
                let mut bytes = whole.clone();
                for value in [0, 1, 14, 15, 0x7f, 0x80, 0xff, whole[at] ^ 1, whole[at] ^ 0x80] {
                    bytes[at] = value;
                    read(&bytes);
                }
            }
        }
    }

    #[test]
    fn what_unpacks_to_far_more_is_refused() {
        use flate2::{Compression, write::ZlibEncoder};
        use std::io::Write;
        let mut packer = ZlibEncoder::new(Vec::new(), Compression::fast());
        packer.write_all(&vec![0; MOST_BYTES as usize + 1]).unwrap();
        let packed = packer.finish().unwrap();
        let mut bytes = vec![b' '; HEADER - 4];
        bytes.extend([0, 1, b'I', b'M']);
        bytes.extend(COMPRESSED.to_le_bytes());
        bytes.extend((packed.len() as u32).to_le_bytes());
        bytes.extend(packed);
        let message = MatFile::parse(&bytes).unwrap_err();
        assert!(message.contains("too large"), "{message}");
    }
}

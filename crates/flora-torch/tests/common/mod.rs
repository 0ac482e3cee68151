//! Hand-made files, malformed in any desired way.
#![allow(dead_code, reason = "each test file uses its own part")]

use std::io::Cursor;
use std::path::{Path, PathBuf};

use flora_torch::{TorchError, TorchFile};

pub(crate) fn fixture(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures").join(name)
}

pub(crate) fn open(bytes: &[u8]) -> Result<TorchFile, TorchError> {
    TorchFile::from_reader(Cursor::new(bytes.to_vec()), "test.pt")
}

/// Opens the file, and reads everything in it: nothing may panic.
pub(crate) fn exhaust(bytes: &[u8]) -> bool {
    let Ok(file) = open(bytes) else { return false };
    for (name, tensor) in file.tensors() {
        let read = file.read_f32(name);
        assert!(read.is_err() || read.unwrap().len() == tensor.num_elements());
        if let Some(&rows) = tensor.shape().first() {
            let _ = file.read_rows_f32(name, rows / 2..rows);
        }
    }
    true
}

// Pickles, piece by piece.

pub(crate) fn text(text: &str) -> Vec<u8> {
    [b"X", &(text.len() as u32).to_le_bytes()[..], text.as_bytes()].concat()
}

pub(crate) fn int(value: i64) -> Vec<u8> {
    [b"\x8a\x08", &value.to_le_bytes()[..]].concat()
}

pub(crate) fn tuple(items: &[Vec<u8>]) -> Vec<u8> {
    [b"(", &items.concat()[..], b"t"].concat()
}

pub(crate) fn ints(items: &[i64]) -> Vec<u8> {
    tuple(&items.iter().copied().map(int).collect::<Vec<_>>())
}

pub(crate) fn global(module: &str, name: &str) -> Vec<u8> {
    format!("c{module}\n{name}\n").into_bytes()
}

pub(crate) fn call(module: &str, name: &str, args: &[Vec<u8>]) -> Vec<u8> {
    [global(module, name), tuple(args), b"R".to_vec()].concat()
}

pub(crate) fn dict(items: &[(&str, Vec<u8>)]) -> Vec<u8> {
    let items: Vec<u8> =
        items.iter().flat_map(|(key, value)| [text(key), value.clone()].concat()).collect();
    [b"}(", &items[..], b"u"].concat()
}

pub(crate) fn module(attributes: &[(&str, Vec<u8>)]) -> Vec<u8> {
    [&global("__torch__", "M")[..], b")\x81", &dict(attributes), b"b"].concat()
}

pub(crate) fn storage(class: &str, key: &str, num_elements: i64) -> Vec<u8> {
    let fields =
        [text("storage"), global("torch", class), text(key), text("cpu"), int(num_elements)];
    [tuple(&fields), b"Q".to_vec()].concat()
}

/// A tensor of float32 in the storage "0" of six elements.
pub(crate) fn tensor(offset: i64, shape: &[i64], strides: &[i64]) -> Vec<u8> {
    tensor_in(storage("FloatStorage", "0", 6), offset, shape, strides)
}

pub(crate) fn tensor_in(storage: Vec<u8>, offset: i64, shape: &[i64], strides: &[i64]) -> Vec<u8> {
    let hooks = call("collections", "OrderedDict", &[]);
    let args = [storage, int(offset), ints(shape), ints(strides), b"\x89".to_vec(), hooks];
    call("torch._utils", "_rebuild_tensor_v2", &args)
}

pub(crate) fn vector() -> Vec<u8> {
    tensor(0, &[6], &[1])
}

pub(crate) fn pickle(value: &[u8]) -> Vec<u8> {
    [b"\x80\x02", value, b"."].concat()
}

/// An archive of this pickle with the storage "0": six float32, 0 to 5.
pub(crate) fn archive(value: &[u8]) -> Vec<u8> {
    zip(&[Entry::new("x/data.pkl", &pickle(value)), Entry::new("x/data/0", &six())])
}

pub(crate) fn six() -> Vec<u8> {
    (0..6).flat_map(|value| (value as f32).to_le_bytes()).collect()
}

/// The same in the old format.
pub(crate) fn legacy(value: &[u8], keys: &[&str], data: &[u8]) -> Vec<u8> {
    let keys: Vec<u8> = keys.iter().flat_map(|key| text(key)).collect();
    [
        pickle(b"\x8a\x0a\x6c\xfc\x9c\x46\xf9\x20\x6a\xa8\x50\x19"),
        pickle(b"M\xe9\x03"),
        pickle(&dict(&[("little_endian", b"\x88".to_vec())])),
        pickle(value),
        pickle(&[b"](", &keys[..], b"e"].concat()),
        data.to_vec(),
    ]
    .concat()
}

/// An entry of a zip archive, with all fields that can be falsified.
pub(crate) struct Entry {
    pub(crate) name: String,
    pub(crate) data: Vec<u8>,
    pub(crate) method: u16,
    pub(crate) flags: u16,
    /// The content of the central directory.
    pub(crate) compressed: u32,
    pub(crate) uncompressed: u32,
    pub(crate) header: Option<u32>,
}

impl Entry {
    pub(crate) fn new(name: &str, data: &[u8]) -> Self {
        let len = data.len() as u32;
        Self {
            name: name.into(),
            data: data.to_vec(),
            method: 0,
            flags: 0,
            compressed: len,
            uncompressed: len,
            header: None,
        }
    }
}

pub(crate) fn zip(entries: &[Entry]) -> Vec<u8> {
    let mut file = vec![];
    let mut directory = vec![];
    for entry in entries {
        let header = entry.header.unwrap_or(file.len() as u32);
        let name = entry.name.as_bytes();
        let len = (entry.data.len() as u32).to_le_bytes();
        let common = |sizes: [[u8; 4]; 2]| {
            [
                &20u16.to_le_bytes()[..],
                &entry.flags.to_le_bytes(),
                &entry.method.to_le_bytes(),
                &[0; 8],
                &sizes.concat(),
                &(name.len() as u16).to_le_bytes(),
                &[0; 2],
            ]
            .concat()
        };
        let sizes = [entry.compressed.to_le_bytes(), entry.uncompressed.to_le_bytes()];
        directory.extend([b"PK\x01\x02\x14\x00", &common(sizes)[..], &[0; 10]].concat());
        directory.extend([&header.to_le_bytes(), name].concat());
        file.extend([b"PK\x03\x04", &common([len, len])[..], name, &entry.data].concat());
    }
    let count = (entries.len() as u16).to_le_bytes();
    let (start, len) = (file.len() as u32, directory.len() as u32);
    let end = [&count[..], &count, &len.to_le_bytes(), &start.to_le_bytes(), &[0; 2]].concat();
    [&file, &directory, &b"PK\x05\x06\0\0\0\0"[..], &end].concat()
}

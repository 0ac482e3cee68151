//! Whatever the objects of a message, they are put together or refused.
//!
//! The input is a list of objects: each its length in three bytes, little endian, then its bytes, in which each `@` and
//! the byte behind it stand for the id of the object of that number before it. The last one is the message. So the
//! fuzzer need not find SHA-256 sums.
#![no_main]

use std::collections::HashMap;

use flora_core::hex;
use flora_flower::codec::{from_records, to_records};
use flora_flower::objects::{Content, Limits, Objects, ObjectError, deflate, inflate};
use libfuzzer_sys::fuzz_target;
use sha2::{Digest, Sha256};

/// More than any input here comes to, but for what is repeated.
const LIMITS: Limits = Limits { bytes: 1 << 20, objects: 1 << 10 };

fuzz_target!(|input: &[u8]| {
    let mut objects = HashMap::new();
    let mut ids: Vec<String> = Vec::new();
    let mut rest = input;
    while let Some(([a, b, c], after)) = rest.split_first_chunk() {
        let length = usize::from(*a) | usize::from(*b) << 8 | usize::from(*c) << 16;
        let (written, after) = after.split_at(length.min(after.len()));
        let object = with_ids(written, &ids);
        let id = hex::encode(&Sha256::digest(&object));
        objects.insert(id.clone(), object);
        ids.push(id);
        rest = after;
    }
    let Some(root) = ids.last() else { return };
    let fetch = |id: &str| {
        let object = objects.get(id).cloned();
        object.ok_or(Refused)
    };
    let Ok(inflated) = inflate(root, LIMITS, &mut { fetch }) else { return };

    // Written again, it reads the same.
    let mut metadata = inflated.metadata.clone();
    metadata.message_id.clear();
    let Objects { root, contents, .. } = deflate(&metadata, &inflated.content);
    let contents: HashMap<_, _> = contents.into_iter().collect();
    let mut fetch = |id: &str| Ok::<_, ObjectError>(contents[id].clone());
    let again = inflate(&root, Limits::default(), &mut fetch).expect("it was written here");
    assert_eq!(format!("{:?}", again.content), format!("{:?}", inflated.content));

    let Content::Records(records) = &inflated.content else { return };
    let Ok((message, form)) = from_records(records) else { return };
    if let Ok(records) = to_records(&message, form) {
        let (again, _) = from_records(&records).expect("it was written here");
        assert_eq!(format!("{again:?}"), format!("{message:?}"));
    }
});

/// An object that is not there, or a message that is none.
struct Refused;

impl From<ObjectError> for Refused {
    fn from(_: ObjectError) -> Self {
        Self
    }
}

fn with_ids(written: &[u8], ids: &[String]) -> Vec<u8> {
    let mut object = Vec::new();
    let mut bytes = written.iter();
    while let Some(&byte) = bytes.next() {
        match (byte, bytes.as_slice().first().and_then(|&number| ids.get(usize::from(number)))) {
            (b'@', Some(id)) => {
                object.extend(id.bytes());
                bytes.next();
            }
            _ => object.push(byte),
        }
    }
    object
}

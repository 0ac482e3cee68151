//! The objects of which Flower's messages are made.
//!
//! A message is a tree: `Message` -> `RecordDict` -> records -> `Array`s -> `ArrayChunk`s. Each object is a
//! head (`TYPE CHILD,CHILD LENGTH` and a zero byte) and a body, and its id is the SHA-256 of both. A server
//! stores an object once, however many messages it is part of.
//!
//! [`deflate`] makes the objects of a message, [`inflate`] reads them back. The depth is that of the types: an
//! object that is not of the type that its place asks for is refused.

mod deflate;
mod error;
mod head;
mod inflate;

use crate::wire::message::{Error, Metadata, ObjectTree};
use crate::wire::records::{ConfigRecord, MetricRecord};

pub use deflate::deflate;
pub use error::ObjectError;
pub use inflate::{Limits, inflate};

/// The largest piece of an array that Flower puts into one object.
pub const CHUNK: usize = 5 << 20;

/// The `stype` of arrays whose data is a `.npy` file, the only one that Flower's `Array.numpy()` reads.
pub const NUMPY: &str = "numpy.ndarray";

/// What a message is about: records, or why there are none.
#[derive(Debug, Clone, PartialEq)]
pub enum Content {
    /// Named records.
    Records(RecordDict),
    /// The reason for which there are none.
    Error(Error),
}

/// Named records, in the order of the sender. Names must differ.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct RecordDict(pub Vec<(String, Record)>);

/// One of the three kinds of records.
#[derive(Debug, Clone, PartialEq)]
pub enum Record {
    /// Named arrays.
    Arrays(ArrayRecord),
    /// Named numbers.
    Metrics(MetricRecord),
    /// Named settings.
    Config(ConfigRecord),
}

/// Named arrays, in the order of the sender. Names must differ.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct ArrayRecord(pub Vec<(String, Array)>);

/// An array as Flower knows it: bytes, and a description that Flower itself does not read.
#[derive(Debug, Clone, PartialEq)]
pub struct Array {
    /// numpy's name of the element type, such as `float32`.
    pub dtype: String,
    /// The extent of each axis.
    pub shape: Vec<usize>,
    /// What `data` is: [`NUMPY`] for a `.npy` file.
    pub stype: String,
    /// The bytes.
    pub data: Vec<u8>,
}

/// The objects of a message.
#[derive(Debug, Clone, PartialEq)]
pub struct Objects {
    /// The id of the message.
    pub root: String,
    /// All ids, as they depend on each other.
    pub tree: ObjectTree,
    /// Id and bytes of each object, once; children come before their parents.
    pub contents: Vec<(String, Vec<u8>)>,
}

/// A message that was read from its objects.
#[derive(Debug, Clone, PartialEq)]
pub struct Inflated {
    /// From whom, for whom, about what. `message_id` is the id of the message's object.
    pub metadata: Metadata,
    /// Records, or an error.
    pub content: Content,
}

impl RecordDict {
    /// The record of a name.
    pub fn get(&self, name: &str) -> Option<&Record> {
        self.0.iter().find(|(it, _)| it == name).map(|(_, record)| record)
    }
}

impl ArrayRecord {
    /// The array of a name.
    pub fn get(&self, name: &str) -> Option<&Array> {
        self.0.iter().find(|(it, _)| it == name).map(|(_, array)| array)
    }
}

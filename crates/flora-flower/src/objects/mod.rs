//! The objects that make up Flower's messages.
//!
//! A message is a tree: `Message` -> `RecordDict` -> records -> `Array`s -> `ArrayChunk`s. Each object has a head
//! (`TYPE CHILD,CHILD LENGTH` and a zero byte) and a body. Its id is the SHA-256 of both. A server stores an object
//! once, however many messages contain it.
//!
//! [`deflate`] builds the objects of a message, [`inflate`] reads them back. The types limit the depth: an object of
//! the wrong type for its place is refused.

mod deflate;
mod error;
mod head;
mod inflate;

use crate::wire::message::{Error, Metadata, ObjectTree};
use crate::wire::records::{ConfigRecord, MetricRecord};

pub use deflate::deflate;
pub use error::ObjectError;
pub use inflate::{Limits, inflate};

/// The largest chunk of an array that Flower puts into one object.
pub const CHUNK: usize = 5 << 20;

/// The `stype` of arrays whose data is a `.npy` file, the only one that Flower's `Array.numpy()` reads.
pub const NUMPY: &str = "numpy.ndarray";

/// The content of a message: records, or an error.
#[derive(Debug, Clone, PartialEq)]
pub enum Content {
    /// Named records.
    Records(RecordDict),
    /// The reason why there are no records.
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

/// An array in Flower's terms: bytes, and a description that Flower itself does not read.
#[derive(Debug, Clone, PartialEq)]
pub struct Array {
    /// numpy's name of the element type, such as `float32`.
    pub dtype: String,
    /// The extent of each axis.
    pub shape: Vec<usize>,
    /// The format of `data`: [`NUMPY`] for a `.npy` file.
    pub stype: String,
    /// The bytes.
    pub data: Vec<u8>,
}

/// The objects of a message.
#[derive(Debug, Clone, PartialEq)]
pub struct Objects {
    /// The id of the message.
    pub root: String,
    /// All ids, as a tree of dependencies.
    pub tree: ObjectTree,
    /// The id and bytes of each distinct object; children come before their parents.
    pub contents: Vec<(String, Vec<u8>)>,
}

/// A message that was read from its objects.
#[derive(Debug, Clone, PartialEq)]
pub struct Inflated {
    /// Sender, receiver and subject. `message_id` is the id of the message's object.
    pub metadata: Metadata,
    /// Records, or an error.
    pub content: Content,
}

impl RecordDict {
    /// The record with this name.
    pub fn get(&self, name: &str) -> Option<&Record> {
        self.0.iter().find(|(it, _)| it == name).map(|(_, record)| record)
    }
}

impl ArrayRecord {
    /// The array with this name.
    pub fn get(&self, name: &str) -> Option<&Array> {
        self.0.iter().find(|(it, _)| it == name).map(|(_, array)| array)
    }
}

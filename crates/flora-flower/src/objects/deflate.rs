use std::collections::HashSet;

use prost::Message as _;
use serde::Serialize;

use super::{Array, ArrayRecord, Content, Objects, Record, RecordDict, head};
use crate::pairs::Pairs;
use crate::wire::message::{Message, Metadata, ObjectTree};

/// Converts a message to objects. `metadata.message_id` is ignored: the id is [`Objects::root`].
///
/// Equal records give equal objects, whatever the sender and receiver. A server that already has them receives only the
/// `Message` object.
pub fn deflate(metadata: &Metadata, content: &Content) -> Objects {
    let mut store = Store::default();
    let mut message = Message {
        metadata: Some(Metadata { message_id: String::new(), ..metadata.clone() }),
        ..Message::default()
    };
    let children = match content {
        Content::Records(records) => vec![store.records(records)],
        Content::Error(error) => {
            message.error = Some(error.clone());
            Vec::new()
        }
    };
    let tree = store.add(head::MESSAGE, children, &message.encode_to_vec());
    Objects { root: tree.object_id.clone(), tree, contents: store.contents }
}

/// The objects so far, children before parents.
#[derive(Default)]
struct Store {
    contents: Vec<(String, Vec<u8>)>,
    ids: HashSet<String>,
}

/// The body of an array.
#[derive(Serialize)]
struct ArrayBody<'a> {
    dtype: &'a str,
    shape: &'a [usize],
    stype: &'a str,
    arraychunk_ids: Vec<usize>,
}

impl Store {
    /// Adds an object, unless it is present.
    fn add(&mut self, kind: &str, children: Vec<ObjectTree>, body: &[u8]) -> ObjectTree {
        let content = head::join(kind, children.iter().map(|it| it.object_id.as_str()), body);
        let object_id = head::id(&content);
        if self.ids.insert(object_id.clone()) {
            self.contents.push((object_id.clone(), content));
        }
        ObjectTree { object_id, children }
    }

    fn records(&mut self, records: &RecordDict) -> ObjectTree {
        let named = records.0.iter().map(|(name, record)| {
            let tree = match record {
                Record::Arrays(arrays) => self.arrays(arrays),
                Record::Metrics(metrics) => {
                    self.add(head::METRIC_RECORD, Vec::new(), &metrics.encode_to_vec())
                }
                Record::Config(config) => {
                    self.add(head::CONFIG_RECORD, Vec::new(), &config.encode_to_vec())
                }
            };
            (name.clone(), tree)
        });
        let named = named.collect();
        self.references(head::RECORD_DICT, named)
    }

    fn arrays(&mut self, arrays: &ArrayRecord) -> ObjectTree {
        let named = arrays.0.iter().map(|(name, array)| (name.clone(), self.array(array)));
        let named = named.collect();
        self.references(head::ARRAY_RECORD, named)
    }

    /// An object that refers to others.
    fn references(&mut self, kind: &str, named: Vec<(String, ObjectTree)>) -> ObjectTree {
        let ids = named.iter().map(|(name, tree)| (name.clone(), tree.object_id.clone()));
        let body = json(&Pairs(ids.collect()));
        let (children, _) = unique(named.into_iter().map(|(_, tree)| tree));
        self.add(kind, children, &body)
    }

    fn array(&mut self, array: &Array) -> ObjectTree {
        let chunks = array.data.chunks(super::CHUNK);
        let chunks: Vec<_> = chunks.map(|it| self.add(head::CHUNK, Vec::new(), it)).collect();
        let (children, arraychunk_ids) = unique(chunks.into_iter());
        let Array { dtype, shape, stype, .. } = array;
        let body = json(&ArrayBody { dtype, shape, stype, arraychunk_ids });
        self.add(head::ARRAY, children, &body)
    }
}

/// Each distinct tree once, and the index of each given tree among them.
fn unique(trees: impl Iterator<Item = ObjectTree>) -> (Vec<ObjectTree>, Vec<usize>) {
    let mut places = std::collections::HashMap::new();
    let mut once: Vec<ObjectTree> = Vec::new();
    let indices = trees.map(|tree| {
        *places.entry(tree.object_id.clone()).or_insert_with(|| {
            once.push(tree);
            once.len() - 1
        })
    });
    let indices = indices.collect();
    (once, indices)
}

fn json(value: &impl Serialize) -> Vec<u8> {
    serde_json::to_vec(value).expect("names, numbers and texts are JSON")
}

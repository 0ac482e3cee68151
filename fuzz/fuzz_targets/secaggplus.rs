//! Whatever a server of Flower's SecAgg+ sends, and whatever a state holds, a node answers or refuses.
//!
//! The first byte chooses: 0 for a state, 1 for a message to a node in no round, 2 for one to a node that has sent its
//! keys. A message is the protobuf of its config record.
#![no_main]

use std::sync::LazyLock;

use flora_flower::objects::{Record, RecordDict};
use flora_flower::secaggplus::{CONFIGS, SecAggNode};
use flora_flower::wire::records::{ConfigRecord, ConfigValue};
use libfuzzer_sys::fuzz_target;
use prost::Message;
use sha2::{Digest, Sha256};

const MAGIC: &[u8] = b"flora-secaggplus-1\n";

/// The state of a node that has sent its keys.
static SET_UP: LazyLock<Vec<u8>> = LazyLock::new(|| {
    let mut record = ConfigRecord::default();
    record.push("stage", ConfigValue::Text("setup".to_owned()));
    let whole = [
        ("sample_num", 3),
        ("share_num", 3),
        ("threshold", 2),
        ("target_range", 1 << 22),
        ("mod_range", 1 << 32),
    ];
    whole.into_iter().for_each(|(key, value)| record.push(key, ConfigValue::Sint64(value)));
    record.push("clipping_range", ConfigValue::Double(8.0));
    record.push("max_weight", ConfigValue::Double(1000.0));
    let mut node = SecAggNode::new(3);
    node.receive(&records(record), &mut ones).expect("it is a good message");
    node.to_bytes().to_vec()
});

fuzz_target!(|input: &[u8]| {
    let Some((&which, bytes)) = input.split_first() else { return };
    let mut node = match which {
        0 => {
            let state = [MAGIC, Sha256::digest(bytes).as_slice(), bytes].concat();
            let Ok(node) = SecAggNode::from_bytes(&state) else { return };
            let again = node.to_bytes();
            let read = SecAggNode::from_bytes(&again).expect("it was written here");
            assert!(*read.to_bytes() == *again);
            return;
        }
        1 => SecAggNode::new(3),
        2 => SecAggNode::from_bytes(&SET_UP).expect("it was written here"),
        _ => return,
    };
    let Ok(record) = ConfigRecord::decode(bytes) else { return };
    let before = node.to_bytes();
    if node.receive(&records(record), &mut ones).is_err() {
        assert!(*node.to_bytes() == *before);
    }
});

fn records(record: ConfigRecord) -> RecordDict {
    RecordDict(vec![(CONFIGS.to_owned(), Record::Config(record))])
}

/// The same bytes every time, which are a key.
fn ones<E>(bytes: &mut [u8]) -> Result<(), E> {
    bytes.fill(1);
    Ok(())
}

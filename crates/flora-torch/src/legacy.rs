use std::collections::{HashMap, HashSet};

use crate::TorchError;
use crate::pickle::{Graph, Id, Pickle, Value, parse};
use crate::source::{Extent, Source};
use crate::storage::{StorageRef, Storages};

/// `torch.serialization.MAGIC_NUMBER`, little-endian.
const MAGIC: [u8; 10] = [0x6c, 0xfc, 0x9c, 0x46, 0xf9, 0x20, 0x6a, 0xa8, 0x50, 0x19];

/// `torch.serialization.PROTOCOL_VERSION`.
const PROTOCOL: i64 = 1001;

/// The layout of `torch.save` before PyTorch 1.6: the magic number, the protocol, the system, the object and the list
/// of its storages, each a pickle; then the storages in the order of the list, each a count of elements (i64) and the
/// elements.
///
/// `bytes` is the beginning of the file, with all of the pickles.
pub(crate) fn read<'a>(
    source: &Source,
    bytes: &'a [u8],
    path: &str,
) -> Result<(Pickle<'a>, Storages), TorchError> {
    let next = |start| parse(bytes, start).map_err(|error| TorchError::pickle(path, error));
    let file = |problem: &str| TorchError::file(path, problem);

    let magic = next(0)?;
    if !matches!(magic.graph.value(magic.root), Value::Long(span) if magic.graph.bytes(span) == MAGIC)
    {
        return Err(file("a pickle, but not one of torch.save; only tensors saved by it are read"));
    }
    let protocol = next(magic.end)?;
    if !matches!(protocol.graph.value(protocol.root), Value::Int(PROTOCOL)) {
        return Err(file("a version of torch.save's format that is not known"));
    }
    let system = next(protocol.end)?;
    let mut facts = system.graph.dict(system.root).into_iter().flatten();
    let little = facts.find(|&(key, _)| system.graph.text(key) == Some("little_endian"));
    if !matches!(little.map(|(_, value)| system.graph.value(value)), Some(Value::Bool(true))) {
        return Err(file(
            "its numbers are not little-endian; load and save it with PyTorch on a little-endian \
             machine",
        ));
    }
    let object = next(system.end)?;
    let keys = next(object.end)?;
    let storages = locate(source, path, &object.graph, &keys)?;
    Ok((object, storages))
}

fn locate(
    source: &Source,
    path: &str,
    graph: &Graph<'_>,
    keys: &Pickle<'_>,
) -> Result<Storages, TorchError> {
    let damaged = |problem: &str| {
        TorchError::file(path, format!("{problem}; copy or download the file again"))
    };
    let described = described(graph).map_err(|problem| TorchError::file(path, problem))?;
    let list: Vec<Id> =
        keys.graph.list(keys.root).ok_or_else(|| damaged("has no list of storages"))?.collect();
    let mut seen = HashSet::new();
    let mut storages = Storages::new();
    let mut position = keys.end as u64;
    for id in list {
        let key = keys.graph.text(id).filter(|&key| seen.insert(key));
        let storage = key.and_then(|key| described.get(key));
        let storage = storage.ok_or_else(|| damaged("its list of storages does not fit"))?;
        let mut count = [0; 8];
        source
            .read_exact_at(position, &mut count)
            .map_err(|_| damaged("ends before its last tensor"))?;
        if u64::from_le_bytes(count) != storage.num_elements {
            return Err(damaged("a storage has another size than its tensors say"));
        }
        let start = position + 8;
        let extent = storage
            .num_elements
            .checked_mul(storage.element_size())
            .filter(|&len| len <= source.len().saturating_sub(start))
            .map(|len| Extent { start, len })
            .ok_or_else(|| damaged("ends before its last tensor"))?;
        position = start + extent.len;
        storages.insert(storage.key.to_owned(), Ok(extent));
    }
    Ok(storages)
}

/// Every storage that the pickle mentions, including those outside the state dict: their sizes determine where the next
/// one begins.
fn described<'a>(graph: &Graph<'a>) -> Result<HashMap<&'a str, StorageRef<'a>>, String> {
    let mut described: HashMap<&str, StorageRef<'_>> = HashMap::new();
    for id in graph.ids().filter(|&id| matches!(graph.value(id), Value::Persistent(_))) {
        let storage = StorageRef::new(graph, id)?;
        let known = described.entry(storage.key).or_insert(storage);
        if (known.element, known.num_elements) != (storage.element, storage.num_elements) {
            return Err("a storage is described in two ways; the file is damaged".into());
        }
    }
    Ok(described)
}

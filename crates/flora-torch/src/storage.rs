use std::collections::HashMap;

use crate::ElementType;
use crate::error::shorten;
use crate::pickle::{Graph, Id, Value};
use crate::source::Extent;

/// The positions of the storages in a file, by key; or why one cannot be read.
pub(crate) type Storages = HashMap<String, Result<Extent, String>>;

/// The description of a storage in a pickle: `("storage", type, key, location, number of elements, …)`.
#[derive(Clone, Copy)]
pub(crate) struct StorageRef<'a> {
    pub(crate) key: &'a str,
    /// `None`: bytes, whose type the tensor determines.
    pub(crate) element: Option<ElementType>,
    pub(crate) num_elements: u64,
}

impl<'a> StorageRef<'a> {
    /// The storage that `id` refers to.
    pub(crate) fn new(graph: &Graph<'a>, id: Id) -> Result<Self, String> {
        let Value::Persistent(id) = graph.value(id) else {
            return Err("its data are not a storage of this file".into());
        };
        let (&[kind, class, key, _location, count], rest) = graph
            .tuple(id)
            .and_then(|fields| fields.split_first_chunk())
            .ok_or("its storage is not described as torch.save does")?;
        if graph.text(kind) != Some("storage") {
            return Err("its data are not a storage of this file".into());
        }
        let views = rest.iter().any(|&view| !matches!(graph.value(view), Value::None));
        if views {
            return Err("its storage is a part of another one, as PyTorch before 0.4 saved them; \
                        load the file with PyTorch and save it again"
                .into());
        }
        let key = graph.text(key).ok_or("its storage has no name")?;
        let num_elements = match graph.value(count) {
            Value::Int(count) => u64::try_from(count).ok(),
            _ => None,
        };
        let num_elements = num_elements.ok_or("its storage has no size")?;
        Ok(Self { key, element: element(graph, class)?, num_elements })
    }

    /// Size of one element in bytes.
    pub(crate) fn element_size(&self) -> u64 {
        self.element.map_or(1, |element| element.size() as u64)
    }
}

/// The element type of a storage class; `None` for the untyped one.
fn element(graph: &Graph<'_>, class: Id) -> Result<Option<ElementType>, String> {
    let (module, name) = graph.global(class).ok_or("its storage has no type")?;
    match (module, name) {
        ("torch.storage" | "torch", "UntypedStorage") => Ok(None),
        ("torch" | "torch.cuda", _) if ElementType::of_storage(name).is_some() => {
            Ok(ElementType::of_storage(name))
        }
        _ => Err(format!(
            "its storage is a {}.{}, which is not read; dequantise or convert the tensor to float \
             and save it again",
            shorten(module),
            shorten(name)
        )),
    }
}

use crate::ElementType;
use crate::pickle::{Graph, Id, Object, Value};
use crate::storage::StorageRef;

/// More dimensions than the parameter of any layer.
const MAX_DIMENSIONS: usize = 16;

/// A tensor as described by a pickle, not yet checked against the file.
pub(crate) struct TensorRef<'a> {
    pub(crate) storage: StorageRef<'a>,
    pub(crate) element: ElementType,
    /// In elements, like the strides.
    pub(crate) offset: u64,
    pub(crate) shape: Vec<u64>,
    pub(crate) strides: Vec<u64>,
}

impl<'a> TensorRef<'a> {
    /// The tensor that `id` refers to; `None` if it is not a tensor.
    ///
    /// These are the functions of `torch/_utils.py` that a tensor's `__reduce_ex__` names; the pickles of TorchScript
    /// use the same names.
    pub(crate) fn new(graph: &Graph<'a>, id: Id) -> Result<Option<Self>, String> {
        let Some((module, name, object)) = graph.call(id) else { return Ok(None) };
        let args = arguments(graph, object);
        match (module, name) {
            // Parameter(data, requires_grad, …): the data are a tensor.
            ("torch._utils", "_rebuild_parameter" | "_rebuild_parameter_with_state")
            | ("torch.nn.parameter", "Parameter") => {
                let data = *args.first().ok_or("a Parameter without data")?;
                match graph.call(data) {
                    Some((module, name, object)) if is_plain(module, name) => {
                        Self::plain(graph, name, arguments(graph, object)).map(Some)
                    }
                    Some((module, name, _)) => Err(unsupported(module, name)),
                    None => Err("a Parameter without data".into()),
                }
            }
            // (function, type, its arguments, state): a tensor with additional attributes.
            ("torch._tensor", "_rebuild_from_type_v2") => {
                let function = args.first().and_then(|&id| graph.global(id));
                let inner = args.get(2).and_then(|&id| graph.tuple(id));
                match (function, inner) {
                    (Some((module, name)), Some(inner)) if is_plain(module, name) => {
                        Self::plain(graph, name, inner).map(Some)
                    }
                    (Some((module, name)), _) => Err(unsupported(module, name)),
                    (None, _) => Err("not described as torch.save does".into()),
                }
            }
            _ if is_plain(module, name) => Self::plain(graph, name, args).map(Some),
            ("torch._utils", name) if name.starts_with("_rebuild_") => {
                Err(unsupported(module, name))
            }
            _ => Ok(None),
        }
    }

    /// `(storage, offset, size, stride, …)`; version 3 adds `requires_grad, hooks, dtype`.
    fn plain(graph: &Graph<'a>, function: &str, args: &[Id]) -> Result<Self, String> {
        let (&[storage, offset, size, stride], rest) =
            args.split_first_chunk().ok_or("not described as torch.save does")?;
        let storage = StorageRef::new(graph, storage)?;
        let element = match (function, storage.element) {
            ("_rebuild_tensor_v3", _) => {
                let dtype = rest.get(2).and_then(|&id| graph.global(id));
                let (_, name) = dtype.ok_or("has no dtype")?;
                ElementType::of_dtype(name).ok_or_else(|| {
                    format!(
                        "torch.{} is not read; convert it to float and save it again",
                        crate::error::shorten(name)
                    )
                })?
            }
            (_, Some(element)) => element,
            (_, None) => return Err("an untyped storage, and no dtype".into()),
        };
        let offset = integer(graph, offset, "offset")?;
        let shape = integers(graph, size, "size")?;
        let strides = integers(graph, stride, "stride")?;
        if shape.len() != strides.len() {
            return Err(format!("{} dimensions, but {} strides", shape.len(), strides.len()));
        }
        Ok(Self { storage, element, offset, shape, strides })
    }
}

fn is_plain(module: &str, name: &str) -> bool {
    module == "torch._utils"
        && matches!(name, "_rebuild_tensor" | "_rebuild_tensor_v2" | "_rebuild_tensor_v3")
}

fn unsupported(module: &str, name: &str) -> String {
    let kind = match name {
        "_rebuild_qtensor" => "quantised",
        "_rebuild_sparse_tensor" | "_rebuild_sparse_csr_tensor" => "sparse",
        "_rebuild_nested_tensor" => "nested",
        "_rebuild_meta_tensor_no_storage" => "without data (device \"meta\")",
        _ => "of an unknown kind",
    };
    let (module, name) = (crate::error::shorten(module), crate::error::shorten(name));
    format!(
        "{kind} ({module}.{name}); only dense tensors are read: convert it with PyTorch and save \
         it again"
    )
}

fn arguments<'g>(graph: &'g Graph<'_>, object: Object) -> &'g [Id] {
    graph.tuple(object.args).unwrap_or_default()
}

fn integer(graph: &Graph<'_>, id: Id, what: &str) -> Result<u64, String> {
    match graph.value(id) {
        Value::Int(value) => {
            u64::try_from(value).map_err(|_| format!("a negative {what} ({value})"))
        }
        _ => Err(format!("a {what} that is not an integer")),
    }
}

/// A tuple of integers, or a `torch.Size` of one.
fn integers(graph: &Graph<'_>, id: Id, what: &str) -> Result<Vec<u64>, String> {
    let id = match graph.call(id) {
        Some(("torch", "Size", object)) => *arguments(graph, object).first().unwrap_or(&id),
        _ => id,
    };
    let items = graph.tuple(id).ok_or_else(|| format!("a {what} that is not a tuple"))?;
    if items.len() > MAX_DIMENSIONS {
        return Err(format!("{} dimensions; at most {MAX_DIMENSIONS} are read", items.len()));
    }
    items.iter().map(|&id| integer(graph, id, what)).collect()
}

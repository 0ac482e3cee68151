use crate::error::shorten;
use crate::pickle::{Graph, Id, Value};

/// Longest name of a tensor, in bytes. This also bounds the depth of modules.
const MAX_NAME: usize = 1024;

/// Limit on visited attributes. Modules may be shared, so that a small file could name very many.
const MAX_VISITED: usize = 1 << 18;

/// The state dict in `root`: itself, or the value of `state_dict` in a training checkpoint.
pub(crate) fn state_dict(graph: &Graph<'_>, root: Id) -> Result<Id, String> {
    let is_dict = |id| {
        matches!(graph.value(id), Value::Dict(_))
            || matches!(graph.call(id), Some(("collections", "OrderedDict", _)))
            || graph.dict(id).is_some_and(|mut items| items.next().is_some())
    };
    if !is_dict(root) {
        return Err(match graph.call(root) {
            Some(("torch._utils", ..)) => "holds a single tensor, not a state dict".into(),
            Some((module, name, _)) => format!(
                "holds a whole object ({}.{}), not a state dict; load it with PyTorch where its \
                 code is known and save model.state_dict()",
                shorten(module),
                shorten(name)
            ),
            None => "holds no state dict".into(),
        });
    }
    let nested = pairs(graph, root).find(|&(key, _)| graph.text(key) == Some("state_dict"));
    Ok(nested.map(|(_, value)| value).filter(|&value| is_dict(value)).unwrap_or(root))
}

/// Calls `found` with every named value of a state dict.
pub(crate) fn visit_state_dict<E>(
    graph: &Graph<'_>,
    dict: Id,
    mut found: impl FnMut(&str, Id) -> Result<(), E>,
) -> Result<(), E> {
    pairs(graph, dict)
        .filter_map(|(key, value)| Some((graph.text(key)?, value)))
        .try_for_each(|(name, value)| found(name, value))
}

/// Keys and values of a dict, including Python 2's `OrderedDict([[key, value], …])`.
fn pairs(graph: &Graph<'_>, id: Id) -> impl Iterator<Item = (Id, Id)> {
    let list = graph.call(id).and_then(|(module, name, object)| {
        let first = graph.tuple(object.args)?.first()?;
        if (module, name) == ("collections", "OrderedDict") { graph.list(*first) } else { None }
    });
    let listed = list.into_iter().flatten().filter_map(|pair| match graph.list(pair) {
        Some(mut pair) => Some((pair.next()?, pair.next()?)),
        None => graph.tuple(pair)?.first_chunk().map(|&[key, value]| (key, value)),
    });
    listed.chain(graph.dict(id).into_iter().flatten())
}

/// The attributes of a TorchScript module; `None` if `id` is not a module.
pub(crate) fn module_state(graph: &Graph<'_>, id: Id) -> Option<Id> {
    let (module, _, object) = graph.call(id)?;
    let inside = module == "__torch__" || module.starts_with("__torch__.");
    object.state.filter(|&state| inside && matches!(graph.value(state), Value::Dict(_)))
}

/// Calls `found` with every attribute of a TorchScript module and of its submodules, under the names of `state_dict()`.
pub(crate) fn visit_module<E>(
    graph: &Graph<'_>,
    state: Id,
    mut found: impl FnMut(&str, Id) -> Result<(), E>,
) -> Result<Result<(), String>, E> {
    // An explicit stack instead of recursion: the file determines the depth of nesting.
    let mut stack = vec![(graph.dict(state).into_iter().flatten(), 0)];
    let mut path = String::new();
    let mut visited = 0;
    while let Some((attributes, prefix)) = stack.last_mut() {
        path.truncate(*prefix);
        let Some((key, value)) = attributes.next() else {
            stack.pop();
            continue;
        };
        visited += 1;
        if visited > MAX_VISITED {
            return Ok(Err(format!("more than {MAX_VISITED} attributes of modules")));
        }
        let Some(key) = graph.text(key) else { continue };
        path.push_str(key);
        if path.len() > MAX_NAME {
            return Ok(Err(format!(
                "an attribute's name has {} bytes, beginning with {:?}; at most {MAX_NAME} are read",
                path.len(),
                shorten(&path)
            )));
        }
        match module_state(graph, value) {
            Some(state) => {
                path.push('.');
                stack.push((graph.dict(state).into_iter().flatten(), path.len()));
            }
            None => found(&path, value)?,
        }
    }
    Ok(Ok(()))
}

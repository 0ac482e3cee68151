use std::collections::BTreeMap;
use std::fs::File;
use std::io::{Read, Seek};
use std::ops::Range;
use std::path::Path;

use crate::archive::Archive;
use crate::error::shorten;
use crate::pickle::{Graph, Id, MAX_BYTES, parse};
use crate::source::{Extent, Source};
use crate::storage::Storages;
use crate::tensor::TensorRef;
use crate::{TensorInfo, TorchError, legacy, names, read};

const MAX_TENSORS: usize = 1 << 16;

/// The limit on the bytes of all names together. Modules may be shared, so that a small file could require many.
const MAX_NAMES: usize = 8 << 20;

/// How a file was saved.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Kind {
    /// `torch.save` of a state dict, or of a training checkpoint that has one.
    StateDict,
    /// `torch.jit.save` of a module.
    TorchScript,
}

/// The tensors of a PyTorch file, by name. Their data stay in the file until they are read.
pub struct TorchFile {
    path: String,
    kind: Kind,
    tensors: BTreeMap<String, TensorInfo>,
    source: Source,
}

impl std::fmt::Debug for TorchFile {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("TorchFile")
            .field("path", &self.path)
            .field("kind", &self.kind)
            .field("tensors", &self.tensors.len())
            .finish_non_exhaustive()
    }
}

impl TorchFile {
    /// Reads and checks the index of the file at `path`. The file must not change while the value is in use: later
    /// reads would return other bytes, or an error.
    ///
    /// - The keys of a state dict are the names; values other than tensors are left out. If the file holds a dict with
    ///   a dict named `state_dict` in it, as training checkpoints do, that one is used. A prefix `module.` common to
    ///   all names is removed.
    /// - Tensors of TorchScript are named by their path, as in `torch.jit.load(path).state_dict()`. Tensors that are
    ///   plain attributes, neither parameters nor buffers, are listed as well: only the code, which is not read,
    ///   distinguishes them.
    ///
    /// # Errors
    ///
    /// [`TorchError`] if the file cannot be read, has none of these formats, is damaged, or has a tensor that is
    /// quantised, sparse or a view of overlapping elements.
    pub fn open(path: &Path) -> Result<Self, TorchError> {
        let name = path.display().to_string();
        let file = File::open(path).map_err(|error| TorchError::read(&name, error))?;
        Self::from_reader(file, &name)
    }

    /// Like [`open`](Self::open), from any seekable reader; messages call it `name`.
    ///
    /// # Errors
    ///
    /// Those of [`open`](Self::open).
    pub fn from_reader(
        reader: impl Read + Seek + Send + 'static,
        name: &str,
    ) -> Result<Self, TorchError> {
        let source =
            Source::new(Box::new(reader)).map_err(|error| TorchError::read(name, error))?;
        let start = Extent { start: 0, len: source.len().min(16) };
        let start = source.read(start).map_err(|error| TorchError::read(name, error))?;
        let index = match start.as_slice() {
            [b'P', b'K', 3, 4, ..] => {
                let archive = Archive::read(&source, name)?;
                if archive.pickle.len > MAX_BYTES {
                    let problem = format!(
                        "its data.pkl has {} bytes; at most {MAX_BYTES} are read",
                        archive.pickle.len
                    );
                    return Err(TorchError::file(name, problem));
                }
                let bytes = source.read(archive.pickle);
                let bytes = bytes.map_err(|error| TorchError::read(name, error))?;
                let pickle = parse(&bytes, 0).map_err(|error| TorchError::pickle(name, error))?;
                Index::new(&pickle.graph, pickle.root, &archive.storages, name)?
            }
            [0x80, ..] => {
                let bytes = source.read(Extent { start: 0, len: source.len().min(MAX_BYTES) });
                let bytes = bytes.map_err(|error| TorchError::read(name, error))?;
                let (pickle, storages) = legacy::read(&source, &bytes, name)?;
                Index::new(&pickle.graph, pickle.root, &storages, name)?
            }
            other => return Err(TorchError::file(name, foreign(other))),
        };
        Ok(Self { path: name.to_owned(), kind: index.kind, tensors: index.tensors, source })
    }

    /// How the file was saved.
    pub fn kind(&self) -> Kind {
        self.kind
    }

    /// The tensors, sorted by name.
    pub fn tensors(&self) -> impl ExactSizeIterator<Item = (&str, &TensorInfo)> {
        self.tensors.iter().map(|(name, tensor)| (name.as_str(), tensor))
    }

    /// The tensor with this name.
    pub fn get(&self, name: &str) -> Option<&TensorInfo> {
        self.tensors.get(name)
    }

    /// The values of `name`, row-major whatever the strides in the file. Supported types: float32, float16, bfloat16.
    /// Values that are not finite are returned unchanged.
    ///
    /// # Errors
    ///
    /// [`TorchError`] if there is no such tensor, it has another type, or the file cannot be read.
    pub fn read_f32(&self, name: &str) -> Result<Vec<f32>, TorchError> {
        self.read(name, self.find(name)?)
    }

    /// The values of some rows of `name`, i.e. of a range of its first axis, without reading the others. Otherwise like
    /// [`read_f32`](Self::read_f32).
    ///
    /// # Errors
    ///
    /// Those of [`read_f32`](Self::read_f32), and an invalid range of rows.
    pub fn read_rows_f32(&self, name: &str, rows: Range<usize>) -> Result<Vec<f32>, TorchError> {
        let tensor = self.find(name)?;
        let available = tensor.shape().first().copied();
        if rows.start > rows.end || available.is_none_or(|available| rows.end > available) {
            let problem = format!("no rows {rows:?} in its shape {:?}", tensor.shape());
            return Err(TorchError::tensor(&self.path, name, problem));
        }
        self.read(name, &tensor.rows(rows.start, rows.len()))
    }

    fn find(&self, name: &str) -> Result<&TensorInfo, TorchError> {
        self.get(name).ok_or_else(|| TorchError::tensor(&self.path, name, "not in this file"))
    }

    fn read(&self, name: &str, tensor: &TensorInfo) -> Result<Vec<f32>, TorchError> {
        let float = tensor.dtype().float().ok_or_else(|| {
            let problem = format!(
                "is {}; torch.float32, torch.float16 and torch.bfloat16 are read",
                tensor.dtype()
            );
            TorchError::tensor(&self.path, name, problem)
        })?;
        read::read(&self.source, tensor, float).map_err(|error| TorchError::read(&self.path, error))
    }
}

/// The tensors collected so far.
struct Index {
    kind: Kind,
    tensors: BTreeMap<String, TensorInfo>,
    name_bytes: usize,
}

impl Index {
    fn new(
        graph: &Graph<'_>,
        root: Id,
        storages: &Storages,
        path: &str,
    ) -> Result<Self, TorchError> {
        let file = |problem: String| TorchError::file(path, problem);
        let mut index = Self { kind: Kind::StateDict, tensors: BTreeMap::new(), name_bytes: 0 };
        let mut add = |name: &str, id| index.add(graph, storages, path, name, id);
        if let Some(state) = names::module_state(graph, root) {
            names::visit_module(graph, state, &mut add)?.map_err(file)?;
            index.kind = Kind::TorchScript;
        } else {
            let dict = names::state_dict(graph, root).map_err(file)?;
            names::visit_state_dict(graph, dict, &mut add)?;
            index.strip("module.");
            if index.tensors.is_empty() {
                return Err(file(no_tensors(graph, dict)));
            }
        }
        if index.tensors.is_empty() {
            return Err(file("holds a module without tensors".into()));
        }
        Ok(index)
    }

    /// Adds `id` if it is a tensor.
    fn add(
        &mut self,
        graph: &Graph<'_>,
        storages: &Storages,
        path: &str,
        name: &str,
        id: Id,
    ) -> Result<(), TorchError> {
        let tensor = |problem: String| TorchError::tensor(path, name, problem);
        let Some(described) = TensorRef::new(graph, id).map_err(tensor)? else { return Ok(()) };
        let key = described.storage.key;
        let extent = storages
            .get(key)
            .cloned()
            .unwrap_or_else(|| Err(format!("its data ({:?}) are not in the file", shorten(key))));
        let info = extent.and_then(|extent| TensorInfo::new(&described, extent)).map_err(tensor)?;
        self.name_bytes += name.len();
        if self.tensors.len() == MAX_TENSORS || self.name_bytes > MAX_NAMES {
            let problem = format!("more than {MAX_TENSORS} tensors, or {MAX_NAMES} bytes of names");
            return Err(TorchError::file(path, problem));
        }
        match self.tensors.insert(name.to_owned(), info) {
            None => Ok(()),
            Some(_) => Err(tensor("occurs twice".into())),
        }
    }

    /// Removes `prefix`, which `DistributedDataParallel` puts before every name.
    fn strip(&mut self, prefix: &str) {
        if self.tensors.keys().all(|name| name.starts_with(prefix)) {
            let tensors = std::mem::take(&mut self.tensors).into_iter();
            self.tensors =
                tensors.map(|(name, tensor)| (name[prefix.len()..].to_owned(), tensor)).collect();
        }
    }
}

/// The error for a dict without tensors: usually they are one level deeper.
fn no_tensors(graph: &Graph<'_>, dict: Id) -> String {
    let mut keys = vec![];
    let _ = names::visit_state_dict(graph, dict, |name, _| {
        keys.push(format!("{:?}", shorten(name)));
        if keys.len() < 10 { Ok(()) } else { Err(()) }
    });
    format!(
        "holds a dict without tensors (its keys: {}); save the state dict by itself, or under \
         \"state_dict\"",
        if keys.is_empty() { "none".to_owned() } else { keys.join(", ") }
    )
}

/// The probable kind of a file that is not PyTorch's, from its first bytes.
fn foreign(start: &[u8]) -> String {
    let what = match start {
        [] => return "is empty; copy or download it again".into(),
        [_, _, _, _, _, _, _, _, b'{', ..] => "it looks like safetensors",
        _ if start.starts_with(b"version https:/") => {
            "it is a Git LFS pointer, not the file; fetch it with `git lfs pull`"
        }
        [b'P', b'K', ..] => "it is a zip archive without entries, or a part of one",
        [b'<', ..] => "it looks like a web page; download the file again",
        _ => "its first bytes are neither those of a zip archive nor of a pickle",
    };
    format!("not a file of torch.save or torch.jit.save: {what}")
}

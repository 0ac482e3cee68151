//! The tensors of a checkpoint's files, in any format.

use std::collections::{BTreeMap, BTreeSet};
use std::io::Read;
use std::path::{Path, PathBuf};

use flora_core::{RecordError, TensorFile, transpose};
use flora_torch::TorchFile;

use super::names::{Naming, Source};
use crate::ClipError;

/// Named tensors, read one by one. Only the files' headers are read in advance.
pub(super) struct Weights {
    files: Vec<File>,
    /// The index of the file of each tensor.
    place: BTreeMap<String, usize>,
    unused: BTreeSet<String>,
    naming: Naming,
}

enum File {
    Safetensors(TensorFile),
    Torch(PathBuf, TorchFile),
}

impl Weights {
    /// Reads the headers of `paths`, which together hold one model.
    pub(super) fn open(paths: &[PathBuf]) -> Result<Self, ClipError> {
        let files = paths.iter().map(|path| File::open(path)).collect::<Result<Vec<_>, _>>()?;
        let mut place = BTreeMap::new();
        for (index, file) in files.iter().enumerate() {
            for name in file.names() {
                if let Some(first) = place.insert(name.clone(), index) {
                    let other = files[first].path().display();
                    return Err(tensor_error(file.path(), &name, format!("also in {other}")));
                }
            }
        }
        let path = paths.first().map_or(Path::new("weights"), PathBuf::as_path);
        let naming = Naming::detect(place.keys().map(String::as_str))
            .map_err(|problem| ClipError::file(path, problem))?;
        let unused = place.keys().cloned().collect();
        Ok(Self { files, place, unused, naming })
    }

    pub(super) fn naming(&self) -> Naming {
        self.naming
    }

    /// Whether this is a TorchScript archive with the three numbers of OpenAI's archives. Other TorchScript archives
    /// may have another activation and other heads.
    pub(super) fn is_open_ai_s(&self) -> bool {
        let script = |file: &File| matches!(file, File::Torch(_, file) if file.kind() == flora_torch::Kind::TorchScript);
        let numbers = ["input_resolution", "context_length", "vocab_size"];
        self.files.iter().all(script) && numbers.iter().all(|name| self.place.contains_key(*name))
    }

    /// The names in the files.
    pub(super) fn names(&self) -> impl Iterator<Item = &str> {
        self.place.keys().map(String::as_str)
    }

    /// The shape of the tensor of this name in the files.
    pub(super) fn shape(&self, name: &str) -> Option<&[usize]> {
        self.files[*self.place.get(name)?].shape(name)
    }

    /// Checks that the parameter with this Hugging Face name and shape exists.
    pub(super) fn check(&mut self, name: &str, shape: &[usize]) -> Result<(), ClipError> {
        let source = self.naming.source(name);
        let Some(found) = self.shape(&source.name) else {
            let problem = "missing; do the configuration and the weights belong together?";
            return Err(tensor_error(self.files[0].path(), &source.name, problem.into()));
        };
        let mut wanted = shape.to_vec();
        if source.transposed {
            wanted.reverse();
        }
        if source.third.is_some() {
            wanted[0] *= 3;
        }
        // A scalar in the files corresponds to a vector of one element here.
        let scalar = found.is_empty() && wanted == [1];
        if found != wanted && !scalar {
            let problem = format!("shape {found:?}, but the configuration asks for {wanted:?}");
            return Err(self.error(&source.name, problem));
        }
        self.unused.remove(&source.name);
        Ok(())
    }

    /// Returns an error for a tensor that no parameter used.
    pub(super) fn finish(&self) -> Result<(), ClipError> {
        let mut unused = self.unused.iter().filter(|name| !self.naming.is_constant(name));
        match unused.next() {
            None => Ok(()),
            Some(name) => {
                let problem = format!(
                    "not a part of this model ({} such tensors); do the configuration and the \
                     weights belong together?",
                    1 + unused.count()
                );
                Err(self.error(name, problem))
            }
        }
    }

    /// The values of a checked parameter, in Hugging Face's layout, as f32.
    pub(super) fn read(&self, name: &str, shape: &[usize]) -> Result<Vec<f32>, ClipError> {
        let Source { name, third, transposed } = self.naming.source(name);
        let rows = third.map(|third| third * shape[0]..(third + 1) * shape[0]);
        let values = match &self.files[self.place[&name]] {
            File::Safetensors(file) => {
                let tensor = match rows {
                    Some(rows) => file.read_rows(&name, rows),
                    None => file.read(&name),
                };
                tensor
                    .map_err(|error| tensor_error(file.path(), &name, error.to_string()))?
                    .into_f32()
            }
            File::Torch(_, file) => match rows {
                Some(rows) => file.read_rows_f32(&name, rows)?,
                None => file.read_f32(&name)?,
            },
        };
        if let Some(value) = values.iter().find(|value| !value.is_finite()) {
            return Err(self.error(&name, format!("holds {value}; the weights are damaged")));
        }
        // The file stores the transpose, [columns, rows].
        Ok(if transposed { transpose(&values, [shape[1], shape[0]]) } else { values })
    }

    fn error(&self, name: &str, problem: String) -> ClipError {
        tensor_error(self.files[self.place[name]].path(), name, problem)
    }
}

impl File {
    /// The first bytes determine the format; names such as `weights.pt` do not.
    fn open(path: &Path) -> Result<Self, ClipError> {
        let mut head = Vec::new();
        std::fs::File::open(path)
            .and_then(|file| file.take(64).read_to_end(&mut head))
            .map_err(|error| ClipError::read(path, error))?;
        if head.starts_with(b"version https://git-lfs") {
            let problem = "a pointer of Git LFS instead of the weights; run `git lfs pull`";
            return Err(ClipError::file(path, problem));
        }
        if head.trim_ascii_start().starts_with(b"<") {
            let problem = "a web page instead of the weights; download the file itself";
            return Err(ClipError::file(path, problem));
        }
        let zip = head.starts_with(b"PK");
        // A pickle of protocol 2 or later; a safetensors header starts with its length, then `{`.
        let pickle = head.starts_with(&[0x80]) && head.get(8) != Some(&b'{');
        if zip || pickle {
            return Ok(Self::Torch(path.to_owned(), TorchFile::open(path)?));
        }
        TensorFile::open(path).map(Self::Safetensors).map_err(|error| match error {
            RecordError::Read { source, .. } => ClipError::read(path, source),
            RecordError::File { source, .. } => ClipError::file(path, source.to_string()),
            other => ClipError::file(path, other.to_string()),
        })
    }

    fn path(&self) -> &Path {
        match self {
            Self::Safetensors(file) => file.path(),
            Self::Torch(path, _) => path,
        }
    }

    fn names(&self) -> Vec<String> {
        match self {
            Self::Safetensors(file) => file.names().map(str::to_owned).collect(),
            Self::Torch(_, file) => file.tensors().map(|(name, _)| name.to_owned()).collect(),
        }
    }

    fn shape(&self, name: &str) -> Option<&[usize]> {
        match self {
            Self::Safetensors(file) => file.shape(name),
            Self::Torch(_, file) => file.get(name).map(|info| info.shape()),
        }
    }
}

fn tensor_error(path: &Path, tensor: &str, problem: String) -> ClipError {
    let path = path.display().to_string();
    ClipError::Tensor { path, tensor: tensor.to_owned(), problem }
}

use std::collections::BTreeSet;
use std::path::Path;

use safetensors::{Dtype, SafeTensors};

use crate::ClipError;

/// Named tensors of a safetensors file, taken out one by one.
pub(super) struct Weights<'a> {
    tensors: SafeTensors<'a>,
    unused: BTreeSet<String>,
    path: &'a Path,
}

impl<'a> Weights<'a> {
    pub(super) fn parse(bytes: &'a [u8], path: &'a Path) -> Result<Self, ClipError> {
        let tensors = SafeTensors::deserialize(bytes).map_err(|error| {
            let problem = format!(
                "not a whole safetensors file ({error}); copy or download it again ({} bytes here)",
                bytes.len()
            );
            ClipError::file(path, problem)
        })?;
        let unused = tensors.names().into_iter().map(str::to_owned).collect();
        Ok(Self { tensors, unused, path })
    }

    /// The values of `name`, which must have `shape`, as f32.
    pub(super) fn take(&mut self, name: &str, shape: &[usize]) -> Result<Vec<f32>, ClipError> {
        let view = self.tensors.tensor(name).map_err(|_| {
            let problem = "missing; do config.json and the weights belong together?";
            self.error(name, problem.into())
        })?;
        self.unused.remove(name);
        // A scalar of the files is a vector of one element here.
        let scalar = view.shape().is_empty() && shape == [1];
        if view.shape() != shape && !scalar {
            let problem = format!("shape {:?}, but config.json asks for {shape:?}", view.shape());
            return Err(self.error(name, problem));
        }
        let bytes = view.data();
        let values: Vec<f32> = match view.dtype() {
            Dtype::F32 => chunks(bytes).map(f32::from_le_bytes).collect(),
            Dtype::F16 => chunks(bytes).map(|b| half::f16::from_le_bytes(b).to_f32()).collect(),
            Dtype::BF16 => chunks(bytes).map(|b| half::bf16::from_le_bytes(b).to_f32()).collect(),
            other => {
                return Err(self.error(name, format!("type {other:?}; expected F32, F16 or BF16")));
            }
        };
        if let Some(value) = values.iter().find(|value| !value.is_finite()) {
            return Err(self.error(name, format!("holds {value}; the weights are damaged")));
        }
        Ok(values)
    }

    /// Complain about a tensor that no parameter asked for.
    pub(super) fn finish(mut self) -> Result<(), ClipError> {
        // Constants 0, 1, 2, … that transformers before 4.31 saved among the weights.
        self.unused.retain(|name| !name.ends_with(".embeddings.position_ids"));
        match self.unused.first() {
            None => Ok(()),
            Some(name) => {
                let problem = format!(
                    "not a part of this model ({} such tensors); do config.json and the weights \
                     belong together?",
                    self.unused.len()
                );
                Err(self.error(name, problem))
            }
        }
    }

    fn error(&self, tensor: &str, problem: String) -> ClipError {
        let path = self.path.display().to_string();
        ClipError::Tensor { path, tensor: tensor.to_owned(), problem }
    }
}

fn chunks<const N: usize>(bytes: &[u8]) -> impl Iterator<Item = [u8; N]> + '_ {
    bytes.as_chunks::<N>().0.iter().copied()
}

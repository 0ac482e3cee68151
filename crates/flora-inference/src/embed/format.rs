use std::io::{self, Write};
use std::path::Path;

use flora_core::npy;

use crate::InferenceError;

/// The tensor's name in a safetensors file.
pub const TENSOR: &str = "embeddings";

/// The file formats of embeddings, by extension.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// NumPy's `.npy`, f32.
    Npy,
    /// `.safetensors` with one f32 tensor, [`TENSOR`].
    Safetensors,
}

impl Format {
    /// The format for the extension of `path`.
    ///
    /// # Errors
    ///
    /// Another extension than `.npy` and `.safetensors`.
    pub fn of(path: &Path) -> Result<Self, InferenceError> {
        let extension = path.extension().and_then(|extension| extension.to_str());
        match extension.map(str::to_ascii_lowercase).as_deref() {
            Some("npy") => Ok(Self::Npy),
            Some("safetensors") => Ok(Self::Safetensors),
            _ => {
                let problem = "ends neither in .npy nor in .safetensors; one must";
                Err(InferenceError::file(path, problem))
            }
        }
    }

    /// Writes the header of a matrix of this shape; its values follow, row-major and little-endian.
    pub(super) fn write_head(self, out: &mut dyn Write, [rows, dim]: [usize; 2]) -> io::Result<()> {
        match self {
            Self::Npy => out.write_all(&npy::head("<f4", &[rows, dim])),
            Self::Safetensors => {
                let header = serde_json::json!({ TENSOR: {
                    "dtype": "F32", "shape": [rows, dim], "data_offsets": [0, 4 * rows * dim],
                }});
                let mut header = header.to_string();
                // The values must be aligned.
                header.extend(std::iter::repeat_n(
                    ' ',
                    header.len().next_multiple_of(8) - header.len(),
                ));
                out.write_all(&(header.len() as u64).to_le_bytes())?;
                out.write_all(header.as_bytes())
            }
        }
    }
}

use std::io::{self, Write};
use std::path::Path;

use crate::InferenceError;

/// The tensor's name in a safetensors file.
pub const TENSOR: &str = "embeddings";

/// The first bytes of a `.npy` file of version 1.0.
const NPY_MAGIC: &[u8] = b"\x93NUMPY\x01\x00";

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
            Self::Npy => {
                // Version 1.0 of NumPy's format. The crate `npyz` brings eleven others; the tests read with it.
                let shape = format!("'shape': ({rows}, {dim}), ");
                let header = format!("{{'descr': '<f4', 'fortran_order': False, {shape}}}");
                // The values must be aligned to 64 bytes, and the header ends with a line break.
                let length = (NPY_MAGIC.len() + 2 + header.len() + 1).next_multiple_of(64);
                let length = length - NPY_MAGIC.len() - 2;
                out.write_all(NPY_MAGIC)?;
                out.write_all(&(length as u16).to_le_bytes())?;
                writeln!(out, "{header:<width$}", width = length - 1)
            }
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

//! The tensors of PyTorch files, read without executing anything.
//!
//! A PyTorch file is a pickle – a program for a stack machine that may call any Python function –
//! with raw tensor data beside it. This crate runs that program on a machine of its own, which has
//! no functions: a call is kept as a note of what would have been called with what, and of these
//! notes only the few that describe a tensor are understood.
//!
//! Three kinds of files are read:
//!
//! - archives of `torch.save` (PyTorch 1.6 and later): a state dict, or a training checkpoint with
//!   one under `state_dict`;
//! - the files that `torch.save` wrote before, and still writes with
//!   `_use_new_zipfile_serialization=False`;
//! - archives of `torch.jit.save` (TorchScript), such as those in which OpenAI published CLIP.
//!
//! Opening a file builds an index only; the data of a tensor are read when they are asked for.
//!
//! ```no_run
//! use flora_torch::TorchFile;
//!
//! let file = TorchFile::open("ViT-B-32.pt".as_ref())?;
//! for (name, tensor) in file.tensors() {
//!     println!("{name}: {} {:?}", tensor.dtype(), tensor.shape());
//! }
//! let weight: Vec<f32> = file.read_f32("visual.conv1.weight")?;
//! # Ok::<(), flora_torch::TorchError>(())
//! ```
//!
//! # Limits
//!
//! What a file may cost is bounded before it is spent: 64 MiB of pickle with 2^18 values, 65,536
//! tensors of at most 16 dimensions, names of 1,024 bytes in TorchScript. Tensor data always lie in
//! the file and no two elements are the same, so that reading a tensor takes no more memory than
//! four bytes for each of its elements; opening takes some 40 MB at worst, beside the pickle itself
//! and the archive's table of contents. The archives' checksums are not verified: `torch.save` may
//! leave them out.

mod archive;
mod element;
mod error;
mod file;
mod layout;
mod legacy;
mod names;
mod pickle;
mod read;
mod source;
mod storage;
mod tensor;

pub use element::ElementType;
pub use error::TorchError;
pub use file::{Kind, TorchFile};
pub use layout::TensorInfo;

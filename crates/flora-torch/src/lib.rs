//! Reading the tensors of PyTorch files without executing any code.
//!
//! A PyTorch file is a pickle – a program for a stack machine that may call any Python function – with raw tensor data
//! beside it. This crate runs that program on its own machine, which has no functions: a call is recorded with its name
//! and arguments, and only the few recorded calls that describe a tensor are interpreted.
//!
//! Three kinds of files are supported:
//!
//! - archives of `torch.save` (PyTorch 1.6 and later): a state dict, or a training checkpoint with
//!   one under `state_dict`;
//! - the files of `torch.save` before 1.6, or with `_use_new_zipfile_serialization=False`;
//! - archives of `torch.jit.save` (TorchScript), such as those in which OpenAI published CLIP.
//!
//! Opening a file only builds an index; the data of a tensor are read on request.
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
//! The cost of a file is bounded in advance: 64 MiB of pickle with 2^18 values, 65,536 tensors of at most 16
//! dimensions, names of 1,024 bytes in TorchScript. Tensor data always lie in the file and elements never overlap, so
//! that reading a tensor takes at most four bytes of memory for each of its elements. Opening takes about 40 MB at
//! worst, besides the pickle itself and the archive's table of contents. The archives' checksums are not verified:
//! `torch.save` may leave them out.

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

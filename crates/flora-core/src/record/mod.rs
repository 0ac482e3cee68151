//! Named parameter records: the only data that server and clients exchange.
//!
//! A [`ParameterRecord`] is an ordered map from a name (`text_model.encoder.layers.0.self_attn.out_proj.lora_A`) to a
//! [`HostTensor`] (shape, element type, values in ordinary memory). Server and clients match tensors **by name, never
//! by position**. A record from another version, in another order or from another device either fits exactly, or is
//! refused with the name of the tensor that does not fit.
//!
//! Records are stored as [safetensors], which other machine-learning tools can read.
//!
//! [safetensors]: https://huggingface.co/docs/safetensors
//!
//! ```
//! use flora_core::record::{HostTensor, ParameterRecord};
//!
//! let mut record = ParameterRecord::new();
//! record.insert("lora_A", HostTensor::from_f32([2, 3], vec![0.5; 6])?)?;
//! let bytes = record.to_safetensors();
//! assert_eq!(ParameterRecord::from_safetensors(&bytes)?, record);
//! # Ok::<(), flora_core::record::RecordError>(())
//! ```

pub mod correction;
mod dtype;
mod error;
mod file;
mod header;
mod parameters;
mod safetensors_format;
mod tensor;
mod transpose;

pub use correction::is_correction;
pub use dtype::{Dtype, Element};
pub use error::RecordError;
pub use file::TensorFile;
pub use parameters::ParameterRecord;
pub use safetensors_format::{head, read_metadata};
pub use tensor::HostTensor;
pub use transpose::transpose;

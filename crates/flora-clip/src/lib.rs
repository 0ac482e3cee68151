//! CLIP for burn, as Hugging Face lays it out.
//!
//! ```no_run
//! use burn::tensor::Device;
//! use flora_clip::{Checkpoint, ZeroShot};
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let checkpoint = Checkpoint::open("models/clip-nano".as_ref())?;
//! let device = Device::flex();
//! let model = checkpoint.load(&device)?;
//! let zero_shot = ZeroShot::new(
//!     &model,
//!     &checkpoint.tokenizer,
//!     &checkpoint.config.text_config,
//!     &["an emoji of a cat", "an emoji of a dog"],
//! )?;
//! let image = image::open("cat.png")?;
//! let pixels = checkpoint.preprocessor.batch(&[image], &device)?;
//! let probabilities = zero_shot.probabilities(model.image_features(pixels));
//! # Ok(())
//! # }
//! ```

mod activation;
mod checkpoint;
mod config;
mod encoder;
mod error;
mod init;
pub mod loss;
mod model;
mod preprocess;
mod text;
mod tokenizer;
mod tokens;
mod vision;
mod zero_shot;

pub use activation::Activation;
pub use checkpoint::Checkpoint;
pub use config::{ClipConfig, PRESETS, TextConfig, VisionConfig};
pub use encoder::{Attention, Encoder, EncoderLayer, Mlp};
pub use error::ClipError;
pub use model::{Clip, ClipText, ClipVision, normalize};
pub use preprocess::Preprocessor;
pub use text::{TextEmbeddings, TextModel};
pub use tokenizer::ClipTokenizer;
pub use tokens::{Padding, Tokens};
pub use vision::{PatchEmbedding, VisionEmbeddings, VisionModel};
pub use zero_shot::ZeroShot;

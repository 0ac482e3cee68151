//! CLIP for burn: both towers, the tokenizer, the preprocessing, and loading of common checkpoint formats.
//!
//! [`Embedder`] leads directly from a checkpoint of Hugging Face, OpenCLIP or OpenAI to embeddings and a zero-shot
//! classifier:
//!
//! ```
//! # std::env::set_current_dir("../..")?;
//! use burn::tensor::Device;
//! use flora_clip::{Embedder, read_image};
//!
//! let embedder = Embedder::open("models/clip-nano".as_ref(), &Device::flex())?;
//! let sentences = [["an emoji of a face"], ["an emoji of a car"]].map(|s| s.map(String::from).to_vec());
//! let classifier = embedder.classifier(&sentences)?;
//!
//! let image = "datasets/emoji-vendors/images/fxemoji/test/face-smiling/1F642.png";
//! let image = embedder.images(&[read_image(image.as_ref())?])?;
//! let probabilities = classifier.probabilities(image).into_data().try_into_vec::<f32>()?;
//! assert!(probabilities[0] > 0.9, "a face: {probabilities:?}");
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! The parts can also be used separately. [`Checkpoint`] opens files and describes them. [`ClipTokenizer`] and
//! [`Preprocessor`] prepare the towers' inputs. [`Clip`] is the burn module, [`loss`] has the losses for training.
//! Parameters have Hugging Face's names. The projections are [`flora_lora::LoraLinear`], plain linear layers until an
//! adapter is attached.
//!
//! ```
//! use burn::tensor::Device;
//! use flora_clip::{Clip, ClipConfig, Padding, Tokens};
//!
//! let config = ClipConfig::clip_nano();
//! let clip = Clip::random(&config, 0, &Device::flex());
//! let tokens = Tokens::new(&[vec![8190, 17, 8191]], Padding::Longest, &config.text_config)?;
//! assert_eq!(clip.text_features(&tokens).dims(), [1, 192]);
//! # Ok::<(), flora_clip::ClipError>(())
//! ```
//!
//! The features of `burn` choose the backend: this crate enables none.

mod activation;
mod checkpoint;
mod config;
mod distinct;
mod embedder;
mod encoder;
mod error;
mod files;
mod init;
pub mod loss;
mod model;
mod norm;
mod precision;
mod preprocess;
mod presets;
mod text;
mod tokenizer;
mod tokens;
mod vision;
mod zero_shot;

pub use activation::Activation;
pub use checkpoint::{Checkpoint, CheckpointLayout, SaveOptions};
pub use config::{ClipConfig, TextConfig, VisionConfig};
pub use distinct::check_distinct;
pub use embedder::Embedder;
pub use encoder::{Attention, Encoder, EncoderLayer, Mlp};
pub use error::ClipError;
pub use flora_core::images::read as read_image;
pub use model::{Clip, ClipText, ClipVision, normalize};
pub use norm::LayerNorm;
pub use precision::Precision;
pub use preprocess::{Centering, Filter, Preprocessor, Resize, Transparency};
pub use presets::{PRESETS, SHORT_NAMES, preset_names};
pub use text::{TextEmbeddings, TextModel, TextPrefix};
pub use tokenizer::ClipTokenizer;
pub use tokens::{Padding, Tokens};
pub use vision::{PatchEmbedding, Readout, VisionCut, VisionEmbeddings, VisionModel};
pub use zero_shot::ZeroShot;

//! Compression of updates: [`Codec`] encodes a list of tensors as bytes and decodes them.
//!
//! | codec | size of a number | error |
//! |---|---|---|
//! | `f32` | 32 bits | none |
//! | `f16`, `bf16` | 16 bits | that of half precision |
//! | `int8`, `int4` | 8 or 4 bits | unbiased: stochastic rounding |
//! | `eden` | 1 to 4 bits | unbiased: random rotation |
//! | `top-k` | about 1.3 bits at a density of 0.1 and int8 | biased: the smaller numbers become zero |
//! | `ternary` | about 0.4 bits at a density of 0.05 | biased: as above, with one magnitude for all |
//!
//! The result is then compressed losslessly if that saves bytes. Both sides must know the codec, its settings, and the
//! lengths of the tensors in order, since a message contains none of them. The formats are documented in the modules
//! (`numbers`, `eden`, `sparse`, `lossless`; `cargo doc --document-private-items`).
//!
//! In a federation, [`Compressed`] compresses a client's updates, with error feedback, and [`Coded`] the model that
//! clients receive.
//!
//! ```
//! use flora_compression::Codec;
//! use rand_chacha::{ChaCha8Rng, rand_core::SeedableRng};
//!
//! let tensors: [&[f32]; 2] = [&[0.5, -1.0, 0.25], &[0.0; 1_000]];
//! let (codec, shared) = (Codec::Int8, 7);
//! let bytes = codec.encode(&tensors, shared, &mut ChaCha8Rng::seed_from_u64(1))?;
//! assert!(bytes.len() < 40);
//! let decoded = codec.decode(&bytes, &[3, 1_000], shared)?;
//! assert_eq!(decoded[0][1], -1.0);
//! assert!((decoded[0][0] - 0.5).abs() <= 1.0 / 127.0);
//! # Ok::<(), flora_compression::CodecError>(())
//! ```

mod bits;
mod bytes;
mod codec;
mod config;
mod download;
mod eden;
mod error;
mod lossless;
mod numbers;
mod sparse;
mod transform;

pub use codec::{Codec, Values};
pub use download::Coded;
pub use error::CodecError;
pub use transform::{Compressed, UPDATE};

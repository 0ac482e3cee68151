//! Finding and downloading models by name.
//!
//! A model is named by a folder, a file, one of the [`KNOWN`] names, or `hf:owner/name[@revision]`; [`resolve()`] turns
//! any of them into a path on this machine, and [`resolve_adapter`] does so for a PEFT adapter. See [`ModelSource`] for
//! the syntax of names, and [`find()`] for the search of relative paths.
//!
//! ```
//! use flora_hub::{ModelSource, resolve};
//!
//! let folder = resolve("clip-nano", &mut |_| {})?;
//! assert!(folder.join("config.json").is_file());
//!
//! let source: ModelSource = "hf:openai/clip-vit-base-patch32@main".parse()?;
//! let ModelSource::Hub(model) = source else { unreachable!() };
//! assert_eq!((model.owner(), model.name()), ("openai", "clip-vit-base-patch32"));
//!
//! let error = resolve("clip-nanno", &mut |_| {}).unwrap_err();
//! assert!(error.to_string().contains("vit-base-patch32"), "known names are listed: {error}");
//! # Ok::<(), flora_hub::HubError>(())
//! ```
//!
//! # The hub
//!
//! Models from a hub are stored in the cache folder of Python's `huggingface_hub`, in its layout, so that each finds
//! the other's downloads. Without the cargo feature `hub` that cache is only read. With it, missing files are
//! downloaded: the configuration, the tokenizer, the preprocessing, and one copy of the weights, preferably
//! `model.safetensors` (a repository often has the same weights three times). Files that the hub stores in LFS, as all
//! weights are, are checked against their SHA-256. An interrupted download resumes where it stopped, in the same or in
//! the next run. Two programs that need the same file wait for each other.
//!
//! [`HubConfig::from_env`] lists the environment variables, [`HubError`] the possible errors.

mod cache;
mod config;
mod error;
mod find;
#[cfg(feature = "hub")]
mod hub;
#[cfg(not(feature = "hub"))]
#[path = "no_hub.rs"]
mod hub;
mod known;
mod plan;
mod resolve;
mod source;

pub use config::HubConfig;
pub use error::HubError;
pub use find::{Shipped, find, set_shipped};
pub use known::{KNOWN, KnownModel};
pub use resolve::{DownloadProgress, resolve, resolve_adapter, resolve_adapter_with, resolve_with};
pub use source::{HubModel, ModelSource};

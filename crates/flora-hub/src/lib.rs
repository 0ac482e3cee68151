//! Where a model is, whatever it is called.
//!
//! A model is named by a folder, a file, one of the [`KNOWN`] names, or `hf:owner/name[@revision]`;
//! [`resolve()`] turns any of them into a path on this machine, and [`resolve_adapter`] does so for a
//! PEFT adapter. See [`ModelSource`] for how a name is read, and [`find()`] for where a relative path
//! is looked for.
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
//! Models of a hub are kept in the cache folder that Python's `huggingface_hub` uses, in its layout,
//! so that either finds what the other downloaded. Without the cargo feature `hub` that cache is only
//! read. With it, what is missing is downloaded: the configuration, the tokenizer, the preprocessing,
//! and one copy of the weights, `model.safetensors` before anything else (a repository often has the
//! same weights three times). Files that the hub keeps in LFS, as all weights are, are checked against
//! their SHA-256; a broken download goes on where it stopped, now or in the next run; two programs that
//! want the same file wait for each other.
//!
//! [`HubConfig::from_env`] lists the environment variables, [`HubError`] what can go wrong.

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
pub use resolve::{Progress, resolve, resolve_adapter, resolve_adapter_with, resolve_with};
pub use source::{HubModel, ModelSource};

//! Federated fine-tuning of CLIP with LoRA, in pure Rust on burn.
//!
//! This crate re-exports flora's parts under one name and chooses the backends: enable `flex`
//! (default), `vulkan`, `wgpu`, `metal`, `cuda` or `ndarray`, and ask [`device::parse`] for one.
//!
//! The other features add parts that most programs do without:
//!
//! | feature | adds |
//! |---|---|
//! | `bench` | `bench`: timing CLIP workloads on a machine |
//! | `flower` | `flower`: federations across machines, on Flower's SuperLink |
//! | `formats` (default) | GIF, TIFF and WebP images |
//! | `hub` | downloads from Hugging Face's hub in [`hub`] |
//! | `pretrain` | `pretrain`: training a small CLIP from scratch |
//! | `report` | `report`: run folders, tables, plots, TensorBoard's event files |

#![cfg_attr(docsrs, feature(doc_cfg))]

pub mod device;

/// The version of burn that this was built with.
pub const BURN_VERSION: &str = "0.22.1";

pub use burn::tensor::Device;
#[cfg(feature = "bench")]
#[cfg_attr(docsrs, doc(cfg(feature = "bench")))]
pub use flora_bench as bench;
pub use flora_clip as clip;
pub use flora_compression as compression;
pub use flora_core as core;
pub use flora_data as data;
pub use flora_federation as federation;
#[cfg(feature = "flower")]
#[cfg_attr(docsrs, doc(cfg(feature = "flower")))]
pub use flora_flower as flower;
pub use flora_hub as hub;
pub use flora_inference as inference;
pub use flora_kernels as kernels;
pub use flora_lora as lora;
#[cfg(feature = "pretrain")]
#[cfg_attr(docsrs, doc(cfg(feature = "pretrain")))]
pub use flora_pretrain as pretrain;
pub use flora_privacy as privacy;
#[cfg(feature = "report")]
#[cfg_attr(docsrs, doc(cfg(feature = "report")))]
pub use flora_report as report;
pub use flora_secagg as secagg;
pub use flora_strategies as strategies;
pub use flora_tuning as tuning;

#[cfg(test)]
mod tests {
    /// `--model` and `--shape` know the same names.
    #[test]
    fn a_model_that_is_known_has_a_known_shape() {
        let models: Vec<_> =
            crate::hub::KNOWN.iter().map(|known| (known.name, known.short)).collect();
        let short = |name: &str| {
            let names = crate::clip::SHORT_NAMES.iter();
            names.clone().find(|(_, long)| *long == name).map(|(short, _)| *short)
        };
        let shapes: Vec<_> = crate::clip::PRESETS.iter().map(|name| (*name, short(name))).collect();
        assert_eq!(models, shapes);
    }

    #[test]
    fn the_version_of_burn_is_the_locked_one() {
        let lock = concat!(env!("CARGO_MANIFEST_DIR"), "/../../Cargo.lock");
        let lock = std::fs::read_to_string(lock).unwrap();
        let entry = format!("name = \"burn\"\nversion = \"{}\"", super::BURN_VERSION);
        assert!(lock.contains(&entry));
    }
}

/// The README's programs compile.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct ReadMe;

//! How a record names what is added to the weights below its LoRA adapters.
//!
//! Beside `LAYER.lora_A.weight` and `LAYER.lora_B.weight`, a record may hold a correction of the layer's weight `W0`: the
//! product of `LAYER.base_B.weight`, `[out, n]`, and `LAYER.base_A.weight`, `[n, in]`, or, as one matrix,
//! `LAYER.base_delta.weight`, `[out, in]`. With the scale `s` of the adapter, the model's weight is then
//! `W0 + s (correction + B A)`. Corrections are not trained.

/// The end of the name of the left factor, `[out, n]`.
pub const LEFT: &str = ".base_B.weight";
/// The end of the name of the right factor, `[n, in]`.
pub const RIGHT: &str = ".base_A.weight";
/// The end of the name of a correction in one matrix, `[out, in]`.
pub const DENSE: &str = ".base_delta.weight";

/// Whether a tensor of this name is a part of a correction.
pub fn is_correction(name: &str) -> bool {
    [LEFT, RIGHT, DENSE].iter().any(|end| name.ends_with(end))
}

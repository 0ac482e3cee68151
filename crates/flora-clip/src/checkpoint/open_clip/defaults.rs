//! Defaults of OpenCLIP's and OpenAI's models for values that their files omit.

use crate::TextConfig;

/// The default width of an attention head in OpenCLIP and in OpenAI's models.
pub(super) const HEAD_WIDTH: usize = 64;

/// The epsilon of PyTorch's layer norm.
pub(super) fn eps() -> f64 {
    1e-5
}

/// Start and end token: the last two ids, as in CLIP's vocabulary and in those cut from it.
pub(super) fn ends(vocab_size: usize) -> TextConfig {
    let end = u32::try_from(vocab_size.saturating_sub(1)).unwrap_or(u32::MAX);
    TextConfig { bos_token_id: end.saturating_sub(1), eos_token_id: end, ..TextConfig::default() }
}

use std::fmt;
use std::str::FromStr;

use burn::tensor::{Device, Tensor};
use flora_kernels::{Half, HalfWeight};
use serde::{Deserialize, Serialize};

use crate::{Clip, ClipError, VisionModel};

/// The precision of products with frozen layers.
///
/// Only products with frozen weights are ever rounded. Attention, softmax, norms, activations, residual states,
/// features and all trained parameters stay in `f32`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
#[non_exhaustive]
pub enum Precision {
    /// No rounding.
    #[default]
    F32,
    /// Weights and the inputs of products are rounded to bf16: see [`HalfWeight`].
    Bf16,
    /// Weights and the inputs of products are rounded to f16.
    F16,
}

impl Precision {
    /// The name of the precision.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::F32 => "f32",
            Self::Bf16 => "bf16",
            Self::F16 => "f16",
        }
    }

    /// The type that products are rounded to.
    fn half(self) -> Option<Half> {
        match self {
            Self::F32 => None,
            Self::Bf16 => Some(Half::Bf16),
            Self::F16 => Some(Half::F16),
        }
    }

    /// Whether nothing is rounded.
    pub fn is_f32(&self) -> bool {
        *self == Self::F32
    }

    /// Checks that `device` supports this precision.
    ///
    /// # Errors
    ///
    /// [`ClipError::Precision`] on a device without this type.
    pub fn check(self, device: &Device) -> Result<(), ClipError> {
        let Some(half) = self.half() else { return Ok(()) };
        match HalfWeight::new(&Tensor::ones([1, 1], device), half) {
            Some(_) => Ok(()),
            None => Err(ClipError::Precision { precision: self }),
        }
    }

    /// A warning if this precision saves no time on `device`.
    pub fn warning(self, device: &Device) -> Option<String> {
        let half = self.half()?;
        if !HalfWeight::new(&Tensor::ones([1, 1], device), half)?.is_emulated() {
            return None;
        }
        let lacks = match half {
            Half::Bf16 => "no AVX512-BF16",
            Half::F16 => "no products of f16 that flora uses",
        };
        Some(format!(
            "this processor has {lacks}: {self} is computed from rounded numbers in f32, which saves no time"
        ))
    }
}

impl fmt::Display for Precision {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

impl FromStr for Precision {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "f32" => Ok(Self::F32),
            "bf16" => Ok(Self::Bf16),
            "f16" => Ok(Self::F16),
            _ => Err("unknown precision; choose f32, bf16 or f16".to_owned()),
        }
    }
}

impl TryFrom<String> for Precision {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        text.parse().map_err(|problem| format!("{text:?}: {problem}"))
    }
}

impl From<Precision> for String {
    fn from(precision: Precision) -> Self {
        precision.as_str().to_owned()
    }
}

impl VisionModel {
    /// The same tower with products in `precision` below its [cut](VisionModel::cut): in all layers, or in those below
    /// its current first adapter. Inputs from a device with autodiff are still multiplied in `f32`. These weights must
    /// not change afterwards.
    ///
    /// # Errors
    ///
    /// Those of [`Precision::check`].
    pub fn in_precision(mut self, precision: Precision) -> Result<Self, ClipError> {
        precision.check(&self.embeddings.class_embedding.lazy_device())?;
        let half = precision.half();
        self.embeddings.patch_embedding.set_half(half);
        for (_, layer) in self.adaptable_layers() {
            layer.set_half(None);
        }
        for layer in self.encoder.frozen() {
            layer.set_half(half);
        }
        Ok(self)
    }
}

impl Clip {
    /// The same model with its vision tower in `precision`: see [`VisionModel::in_precision`]. The text tower, the
    /// projections and therefore all features stay in `f32`.
    ///
    /// # Errors
    ///
    /// Those of [`VisionModel::in_precision`].
    pub fn in_precision(self, precision: Precision) -> Result<Self, ClipError> {
        Ok(Self { vision_model: self.vision_model.in_precision(precision)?, ..self })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_come_back_and_others_are_refused() {
        for precision in [Precision::F32, Precision::Bf16, Precision::F16] {
            assert_eq!(precision.to_string().parse(), Ok(precision));
            let json = serde_json::to_string(&precision).unwrap();
            assert_eq!(json, format!("\"{precision}\""));
            assert_eq!(serde_json::from_str::<Precision>(&json).unwrap(), precision);
        }
        let message = serde_json::from_str::<Precision>("\"f64\"").unwrap_err().to_string();
        assert!(message.contains("f32, bf16 or f16"), "{message}");
    }
}

use std::fmt;
use std::str::FromStr;

use burn::tensor::{Device, Tensor};
use flora_kernels::Bf16Weight;
use serde::{Deserialize, Serialize};

use crate::{Clip, ClipError, VisionModel};

/// In what the products of frozen layers are computed.
///
/// Only products with frozen weights are ever rounded: attention, softmax, norms, activations, residual states and
/// features stay in `f32`, and so does everything that is trained.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
#[non_exhaustive]
pub enum Precision {
    /// Nothing is rounded.
    #[default]
    F32,
    /// Weights and the inputs of products are rounded to bf16, and added in `f32`: see [`Bf16Weight`].
    Bf16,
}

impl Precision {
    /// What it is called.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::F32 => "f32",
            Self::Bf16 => "bf16",
        }
    }

    /// Whether nothing is rounded.
    pub fn is_f32(&self) -> bool {
        *self == Self::F32
    }

    /// Whether `device` has it.
    ///
    /// # Errors
    ///
    /// [`ClipError::Precision`] on other devices than burn's CPU backend, which have `f32` only.
    pub fn check(self, device: &Device) -> Result<(), ClipError> {
        let one = || Tensor::<2>::ones([1, 1], device);
        match self.is_f32() || Bf16Weight::new(&one()).is_some() {
            true => Ok(()),
            false => Err(ClipError::Precision { precision: self }),
        }
    }

    /// What is to be known of this precision on this processor, as a message: that it saves no time.
    pub fn warning(self) -> Option<String> {
        let slow = self == Self::Bf16 && !flora_kernels::bf16_is_native();
        slow.then(|| {
            "this processor has no AVX512-BF16: bf16 is computed from rounded numbers in f32, which saves no time"
                .to_owned()
        })
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
            "f16" => Err("flora has no products in f16; choose f32 or bf16".to_owned()),
            _ => Err("no such precision; choose f32 or bf16".to_owned()),
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
    /// The same tower, which multiplies in `precision` below its [cut](VisionModel::cut): in all layers, or in those
    /// below the first adapter that it has now. Inputs that come from a device with autodiff are multiplied in `f32`
    /// all the same. These weights must not change after this.
    ///
    /// # Errors
    ///
    /// As [`Precision::check`].
    pub fn in_precision(mut self, precision: Precision) -> Result<Self, ClipError> {
        precision.check(&self.embeddings.class_embedding.lazy_device())?;
        let rounded = precision == Precision::Bf16;
        self.embeddings.patch_embedding.set_bf16(rounded);
        for (_, layer) in self.adaptable_layers() {
            layer.set_bf16(false);
        }
        for layer in self.encoder.frozen() {
            layer.set_bf16(rounded);
        }
        Ok(self)
    }
}

impl Clip {
    /// The same model with its vision tower in `precision`: see [`VisionModel::in_precision`]. The text tower, the
    /// projections and so all features stay in `f32`.
    ///
    /// # Errors
    ///
    /// As [`VisionModel::in_precision`].
    pub fn in_precision(self, precision: Precision) -> Result<Self, ClipError> {
        Ok(Self { vision_model: self.vision_model.in_precision(precision)?, ..self })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_come_back_and_others_are_refused() {
        for precision in [Precision::F32, Precision::Bf16] {
            assert_eq!(precision.to_string().parse(), Ok(precision));
            let json = serde_json::to_string(&precision).unwrap();
            assert_eq!(json, format!("\"{precision}\""));
            assert_eq!(serde_json::from_str::<Precision>(&json).unwrap(), precision);
        }
        let message = serde_json::from_str::<Precision>("\"f16\"").unwrap_err().to_string();
        assert!(message.contains("no products in f16"), "{message}");
        assert!("f64".parse::<Precision>().unwrap_err().contains("f32 or bf16"));
    }
}

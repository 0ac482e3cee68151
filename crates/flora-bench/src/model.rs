use std::path::Path;

use burn::module::Module;
use burn::tensor::Device;
use flora_clip::{Checkpoint, Clip, ClipConfig};

use crate::{BenchError, ModelFacts};

/// The model of the workloads.
#[derive(Debug, Clone)]
pub struct BenchModel {
    /// Its name in the report.
    pub name: String,
    /// Its shape.
    pub config: ClipConfig,
    /// Frozen, on `device` with autodiff.
    pub(crate) clip: Clip,
    /// Without autodiff.
    pub(crate) device: Device,
}

impl BenchModel {
    /// Loads a checkpoint (see [`Checkpoint::open`]).
    ///
    /// # Errors
    ///
    /// Files that are missing, damaged or unsupported.
    pub fn open(name: &str, path: &Path, device: &Device) -> Result<Self, BenchError> {
        let checkpoint = Checkpoint::open(path)?;
        let clip = checkpoint.load(&device.clone().autodiff())?;
        Ok(Self::new(name, checkpoint.config, clip, device))
    }

    /// A model of a known shape with random weights, by a name that [`ClipConfig::preset`] knows. It takes as long as a
    /// trained one.
    ///
    /// # Errors
    ///
    /// An unknown name.
    pub fn random(shape: &str, device: &Device) -> Result<Self, BenchError> {
        let config = ClipConfig::preset(shape).ok_or_else(|| {
            let names = flora_clip::preset_names();
            BenchError::setting("shape", format!("{shape}: unknown shape; choose one of {names}"))
        })?;
        let clip = Clip::random(&config, 0, &device.clone().autodiff());
        Ok(Self::new(shape, config, clip, device))
    }

    fn new(name: &str, config: ClipConfig, clip: Clip, device: &Device) -> Self {
        let device = device.clone().inner();
        Self { name: name.to_owned(), config, clip: clip.no_grad(), device }
    }

    /// The facts for the report.
    pub fn facts(&self) -> ModelFacts {
        ModelFacts {
            name: self.name.clone(),
            image_size: self.config.vision_config.image_size,
            context: self.config.text_config.max_position_embeddings,
            parameters: self.clip.num_params(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_unknown_shape_is_refused_by_name() {
        let error = BenchModel::random("vit-z-9", &Device::flex()).unwrap_err().to_string();
        assert!(error.starts_with("shape: vit-z-9") && error.contains("vit-b-32"), "{error}");
    }
}

//! Hugging Face's `preprocessor_config.json`.

use std::path::Path;

use serde::Deserialize;

use super::{Filter, Preprocessor, Resize};
use crate::files::{read_small, write};
use crate::{ClipError, VisionConfig};

/// The file, with sizes in all of their spellings.
#[derive(Deserialize)]
struct PreprocessorFile {
    size: Option<Size>,
    crop_size: Option<Size>,
    image_mean: Option<[f32; 3]>,
    image_std: Option<[f32; 3]>,
    resample: Option<u64>,
    rescale_factor: Option<f64>,
    do_resize: Option<bool>,
    do_center_crop: Option<bool>,
    do_rescale: Option<bool>,
    do_normalize: Option<bool>,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Size {
    Side(u32),
    ShortestEdge { shortest_edge: u32 },
    Box { height: u32, width: u32 },
}

impl Preprocessor {
    /// What a checkpoint's `preprocessor_config.json` says, else the `image_processor` of its
    /// `processor_config.json` (all that transformers 5's `CLIPProcessor` writes), or
    /// [`Preprocessor::new`] if the folder has neither.
    ///
    /// # Errors
    ///
    /// A file that cannot be read, or asks for what this cannot do, by field.
    pub fn from_folder(folder: &Path, config: &VisionConfig) -> Result<Self, ClipError> {
        #[derive(Deserialize)]
        struct ProcessorFile {
            image_processor: Option<PreprocessorFile>,
        }
        let (image, both) =
            (folder.join("preprocessor_config.json"), folder.join("processor_config.json"));
        let path = if image.exists() { image } else { both };
        if !path.exists() {
            return Ok(Self::new(config));
        }
        let text = read_small(&path)?;
        let file = if path.ends_with("preprocessor_config.json") {
            serde_json::from_str(&text).map(Some)
        } else {
            serde_json::from_str(&text).map(|file: ProcessorFile| file.image_processor)
        };
        let wrong = |problem: String| ClipError::file(&path, problem);
        let file: Option<PreprocessorFile> =
            file.map_err(|error| wrong(format!("not understood: {error}")))?;
        let Some(file) = file else { return Ok(Self::new(config)) };
        let found = file.convert(config).map_err(wrong)?;
        found.check(config).map_err(wrong)?;
        Ok(found)
    }

    /// Write `preprocessor_config.json` as Hugging Face's `CLIPImageProcessor` reads it. It has no
    /// word for [`Centering::Round`](super::Centering::Round) and
    /// [`Transparency::Ignored`](super::Transparency::Ignored): there, odd margins may be cut a pixel
    /// further to the left or up, and what is transparent is white.
    ///
    /// # Errors
    ///
    /// What the file system reports, with the file's name.
    pub fn save(&self, folder: &Path) -> Result<(), ClipError> {
        let document = serde_json::json!({
            "image_processor_type": "CLIPImageProcessor",
            "do_convert_rgb": true,
            "do_resize": true,
            "size": match self.resize {
                Resize::ShortestEdge(side) => serde_json::json!({ "shortest_edge": side }),
                Resize::Exact { width, height } => {
                    serde_json::json!({ "height": height, "width": width })
                }
            },
            "resample": self.resample.to_pillow(),
            "do_center_crop": true,
            "crop_size": { "height": self.crop_size, "width": self.crop_size },
            "do_rescale": true,
            "rescale_factor": self.rescale_factor,
            "do_normalize": true,
            "image_mean": self.image_mean,
            "image_std": self.image_std,
        });
        let text = serde_json::to_string_pretty(&document).expect("plain JSON") + "\n";
        write(&folder.join("preprocessor_config.json"), &text)
    }
}

impl PreprocessorFile {
    fn convert(self, config: &VisionConfig) -> Result<Preprocessor, String> {
        let mut found = Preprocessor::new(config);
        if self.do_resize == Some(false) {
            return Err("do_resize is false; images of any size must come to the model's".into());
        }
        if let Some(size) = self.size {
            found.resize = match size {
                Size::Side(side) | Size::ShortestEdge { shortest_edge: side } => {
                    Resize::ShortestEdge(side)
                }
                Size::Box { height, width } => Resize::Exact { width, height },
            };
        }
        found.crop_size = match self.crop_size {
            None => found.crop_size,
            Some(Size::Side(side) | Size::ShortestEdge { shortest_edge: side }) => side,
            Some(Size::Box { height, width }) if height == width => height,
            Some(Size::Box { height, width }) => {
                return Err(format!("crop_size is {height} x {width}; only squares are supported"));
            }
        };
        if self.do_center_crop == Some(false) {
            found.crop_size = config.image_size as u32;
            let side = found.crop_size;
            if found.resize != (Resize::Exact { width: side, height: side }) {
                return Err(format!(
                    "do_center_crop is false, but size is not the model's {side} x {side}"
                ));
            }
        }
        if let Some(number) = self.resample {
            found.resample = Filter::from_pillow(number).ok_or_else(|| {
                format!("resample is {number}; Pillow's filters have the numbers 0 to 5")
            })?;
        }
        found.rescale_factor = match self.do_rescale {
            Some(false) => 1.0,
            _ => self.rescale_factor.unwrap_or(found.rescale_factor),
        };
        if self.do_normalize == Some(false) {
            (found.image_mean, found.image_std) = ([0.0; 3], [1.0; 3]);
        } else {
            found.image_mean = self.image_mean.unwrap_or(found.image_mean);
            found.image_std = self.image_std.unwrap_or(found.image_std);
        }
        Ok(found)
    }
}

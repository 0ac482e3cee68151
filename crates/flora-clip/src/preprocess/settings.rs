//! The fields of Hugging Face's image processor, interpreted as by transformers' `CLIPImageProcessor`.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::Value;

use super::{Filter, Preprocessor, Resize};
use crate::VisionConfig;

/// The fields that change the result. `do_convert_rgb` does not: if it is off, transformers fails on pictures of other
/// kinds. Fields unknown to `CLIPImageProcessor` are ignored, as there.
#[derive(Deserialize)]
pub(super) struct Settings {
    image_processor_type: Option<String>,
    feature_extractor_type: Option<String>,
    do_resize: Option<bool>,
    size: Option<Size>,
    default_to_square: Option<bool>,
    use_square_size: Option<bool>,
    resample: Option<u64>,
    do_center_crop: Option<bool>,
    crop_size: Option<Size>,
    do_rescale: Option<bool>,
    rescale_factor: Option<f64>,
    do_normalize: Option<bool>,
    image_mean: Option<Channels>,
    image_std: Option<Channels>,
    do_pad: Option<bool>,
    pad_size: Option<Value>,
}

/// A size in any of its spellings.
#[derive(Deserialize)]
#[serde(
    untagged,
    expecting = "expected a number of pixels, [height, width], {\"height\", \"width\"} or {\"shortest_edge\"}"
)]
enum Size {
    Side(u32),
    List([u32; 2]),
    Named(BTreeMap<String, u32>),
}

/// The meaning of the spellings.
#[derive(Clone, Copy)]
enum Sides {
    Side(u32),
    ShortestEdge(u32),
    Rectangle { height: u32, width: u32 },
}

impl Size {
    fn sides(self, field: &str) -> Result<Sides, String> {
        let named = match self {
            Self::Side(side) => return Ok(Sides::Side(side)),
            Self::List([height, width]) => return Ok(Sides::Rectangle { height, width }),
            Self::Named(named) => named,
        };
        let keys: Vec<(&str, u32)> =
            named.iter().map(|(key, side)| (key.as_str(), *side)).collect();
        match keys[..] {
            [("shortest_edge", side)] => Ok(Sides::ShortestEdge(side)),
            [("height", height), ("width", width)] => Ok(Sides::Rectangle { height, width }),
            _ => {
                let keys: Vec<&str> = keys.into_iter().map(|(key, _)| key).collect();
                Err(format!(
                    "{field} has {keys:?}; only \"shortest_edge\", or \"height\" and \"width\", can \
                     be followed"
                ))
            }
        }
    }
}

/// A number for each channel, or one for all.
#[derive(Deserialize)]
#[serde(untagged, expecting = "expected a number, or one for each of the 3 channels")]
enum Channels {
    All(f32),
    Each([f32; 3]),
}

impl Channels {
    fn values(self) -> [f32; 3] {
        match self {
            Self::All(value) => [value; 3],
            Self::Each(values) => values,
        }
    }
}

impl Settings {
    /// Parses the fields; the error names the field.
    pub(super) fn parse(mut value: Value) -> Result<Self, String> {
        // In transformers, null is not a default: it switches steps off, or fails where a value is used.
        for (field, value) in value.as_object_mut().into_iter().flatten() {
            let null = value.is_null();
            match field.as_str() {
                "do_resize" | "do_center_crop" | "do_rescale" | "do_normalize" if null => {
                    *value = false.into();
                }
                "size" | "crop_size" | "resample" | "rescale_factor" | "image_mean"
                | "image_std"
                    if null =>
                {
                    return Err(format!("{field} is null; write its value, or leave it out"));
                }
                _ => {}
            }
        }
        serde_path_to_error::deserialize(value).map_err(|error| error.to_string())
    }

    /// The steps; the error names the field.
    pub(super) fn convert(self) -> Result<Preprocessor, String> {
        self.refuse_others()?;
        // transformers' defaults for omitted fields.
        let clip = VisionConfig { image_size: 224, ..VisionConfig::default() };
        let mut found = Preprocessor::new(&clip);
        if let Some(size) = self.size {
            found.resize = match size.sides("size")? {
                Sides::Side(side) if self.default_to_square == Some(true) => exact(side, side),
                Sides::Side(side) | Sides::ShortestEdge(side) => Resize::ShortestEdge(side),
                Sides::Rectangle { height, width } => exact(height, width),
            };
        }
        if self.use_square_size == Some(true) {
            found.resize = exact(224, 224);
        }
        let crop_size = self.crop_size.map(|size| size.sides("crop_size")).transpose()?;
        found.crop_size = match (self.do_center_crop, found.resize, crop_size) {
            (Some(false), Resize::Exact { height, width }, _) if height == width => height,
            (Some(false), ..) => {
                return Err("do_center_crop is false, but size is not the model's square".into());
            }
            (_, _, None) => found.crop_size,
            (_, _, Some(Sides::Side(side))) => side,
            (_, _, Some(Sides::Rectangle { height, width })) if height == width => height,
            (_, _, Some(Sides::Rectangle { height, width })) => {
                return Err(format!("crop_size is {height} x {width}; only squares are supported"));
            }
            (_, _, Some(Sides::ShortestEdge(_))) => {
                return Err("crop_size has a shortest_edge; what is cut out has \"height\" and \
                            \"width\""
                    .into());
            }
        };
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
            found.image_mean = self.image_mean.map_or(found.image_mean, Channels::values);
            found.image_std = self.image_std.map_or(found.image_std, Channels::values);
        }
        Ok(found)
    }

    /// Refuses fields that change the steps in an unsupported way.
    fn refuse_others(&self) -> Result<(), String> {
        for (field, kind) in [
            ("image_processor_type", &self.image_processor_type),
            ("feature_extractor_type", &self.feature_extractor_type),
        ] {
            // The first of them counts.
            let Some(kind) = kind else { continue };
            let clip = ["CLIPImageProcessor", "CLIPFeatureExtractor"]
                .iter()
                .any(|name| matches!(kind.strip_prefix(name), Some("" | "Fast" | "Pil")));
            if !clip {
                return Err(format!(
                    "{field} is {kind:?}, whose steps may be others; only \"CLIPImageProcessor\" \
                     can be followed: write that if all of its fields are given"
                ));
            }
            break;
        }
        if self.do_resize == Some(false) {
            return Err("do_resize is false; images of any size must come to the model's".into());
        }
        if self.do_pad == Some(true) && self.pad_size.as_ref().is_some_and(|size| !size.is_null()) {
            return Err("do_pad is true; pictures cannot be padded to pad_size: remove both if \
                        crop_size is what the model takes"
                .into());
        }
        Ok(())
    }
}

fn exact(height: u32, width: u32) -> Resize {
    Resize::Exact { width, height }
}

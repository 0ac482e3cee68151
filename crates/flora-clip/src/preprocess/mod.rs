//! Conversion of a picture to the vision tower's input, as in Pillow and `transformers`.

mod colour;
mod file;
mod resize;
mod settings;

use burn::tensor::{Device, Tensor, TensorData};
use image::{DynamicImage, RgbImage};
use serde::{Deserialize, Serialize};

use crate::{ClipError, VisionConfig};
pub use resize::Filter;
use resize::scale;

/// The longest side of an image after resizing. Without a limit, an image of 1 x 65535 pixels, a file of a few bytes,
/// would need 10 GB at CLIP's size.
const LONGEST: u32 = 1 << 16;

/// The largest accepted ratio of the resized image to the square that is cut from it. Usual ratios are 1 and 256 / 224.
/// With only the limit above, a file of 50 bytes could need 50 GB.
const MOST_TIMES: u32 = 16;

/// Preprocessing: converts to RGB, resizes (Pillow's antialiased filters), cuts the centre, scales to `[0, 1]`, and
/// normalises by channel.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Preprocessor {
    /// The size to resize to.
    pub resize: Resize,
    /// The filter to resize with.
    pub resample: Filter,
    /// Side of the square cut from the centre, in pixels.
    pub crop_size: u32,
    /// How an odd margin is centred.
    pub centering: Centering,
    /// How transparent parts are converted.
    pub transparency: Transparency,
    /// The factor on the pixels' values, 0 to 255.
    pub rescale_factor: f64,
    /// Mean of each channel, subtracted.
    pub image_mean: [f32; 3],
    /// Standard deviation of each channel, divided by.
    pub image_std: [f32; 3],
}

/// The size after resizing, in pixels.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Resize {
    /// The shorter side to this length, the longer in proportion (cut to whole pixels).
    ShortestEdge(u32),
    /// To this size, whatever the proportions.
    Exact {
        /// Pixels in a row.
        width: u32,
        /// Rows.
        height: u32,
    },
}

/// The side that the extra pixel goes to when a margin is odd.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Centering {
    /// To the left and up, as in `transformers`.
    Floor,
    /// Rounded half to even, as in torchvision, and so in OpenAI's code and OpenCLIP.
    Round,
}

/// How the transparent parts of a picture are converted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Transparency {
    /// On a white background, as in `transformers` 5.
    White,
    /// With their underlying colour, as in OpenAI's code and OpenCLIP, which drop the alpha channel.
    Ignored,
}

impl Preprocessor {
    /// CLIP's steps at the input size of the vision tower.
    pub fn new(config: &VisionConfig) -> Self {
        Self {
            resize: Resize::ShortestEdge(config.image_size as u32),
            resample: Filter::Bicubic,
            crop_size: config.image_size as u32,
            centering: Centering::Floor,
            transparency: Transparency::White,
            rescale_factor: 1.0 / 255.0,
            image_mean: [0.48145466, 0.4578275, 0.40821073],
            image_std: [0.26862954, 0.261_302_6, 0.275_777_1],
        }
    }

    /// [`Preprocessor::new`] with the conventions of OpenAI's code and OpenCLIP, which use Pillow and torchvision.
    pub fn torchvision(config: &VisionConfig) -> Self {
        Self {
            centering: Centering::Round,
            transparency: Transparency::Ignored,
            ..Self::new(config)
        }
    }

    /// Checks that these steps are possible, and that they fit a tower of this configuration.
    ///
    /// # Errors
    ///
    /// The first problem found, as a sentence that names the field.
    pub fn check(&self, config: &VisionConfig) -> Result<(), String> {
        if self.crop_size as usize != config.image_size {
            return Err(format!(
                "crop_size is {}, but the model takes images of {}",
                self.crop_size, config.image_size
            ));
        }
        let (shorter, longer) = match self.resize {
            Resize::ShortestEdge(side) => (side, side),
            Resize::Exact { width, height } => (width.min(height), width.max(height)),
        };
        if shorter < self.crop_size {
            return Err(format!("size {shorter} is less than crop_size {}", self.crop_size));
        }
        let most = self.crop_size.saturating_mul(MOST_TIMES).min(LONGEST);
        if longer > most {
            return Err(format!(
                "size is {longer}; at most {most} is supported with crop_size {}",
                self.crop_size
            ));
        }
        if !self.rescale_factor.is_finite() {
            return Err("rescale_factor must be finite".into());
        }
        if !self.image_mean.iter().all(|mean| mean.is_finite()) {
            return Err("image_mean must be finite".into());
        }
        if !self.image_std.iter().all(|&std| std.is_finite() && std > 0.0) {
            return Err("image_std must be positive and finite".into());
        }
        Ok(())
    }

    /// The `crop_size` x `crop_size` pixels that the model sees. Of 16-bit values, the upper 8 bits count.
    ///
    /// # Errors
    ///
    /// An image without pixels, or one so narrow that its longer side would exceed 65,536 pixels.
    pub fn crop(&self, image: &DynamicImage) -> Result<RgbImage, ClipError> {
        let rgb = colour::rgb(image, self.transparency);
        let (width, height) = rgb.dimensions();
        self.check_size(width, height)?;
        let (new_width, new_height) = self.target(width, height)?;
        let resized = scale(rgb, new_width, new_height, self.resample)?;
        let offset = |side: u32| match self.centering {
            Centering::Floor => (side - self.crop_size) / 2,
            Centering::Round => (f64::from(side - self.crop_size) / 2.0).round_ties_even() as u32,
        };
        let (left, top) = (offset(new_width), offset(new_height));
        let view = image::imageops::crop_imm(&resized, left, top, self.crop_size, self.crop_size);
        Ok(view.to_image())
    }

    /// Whether an image of this size can be preprocessed.
    ///
    /// # Errors
    ///
    /// Those of [`Preprocessor::crop`].
    pub fn check_size(&self, width: u32, height: u32) -> Result<(), ClipError> {
        if width == 0 || height == 0 {
            return Err(ClipError::Image(format!("{width} x {height} pixels; the image is empty")));
        }
        self.target(width, height).map(drop)
    }

    /// The size after resizing.
    fn target(&self, width: u32, height: u32) -> Result<(u32, u32), ClipError> {
        let edge = match self.resize {
            Resize::Exact { width, height } => return Ok((width, height)),
            Resize::ShortestEdge(edge) => edge,
        };
        let (short, long) = (width.min(height), width.max(height));
        // Truncated, as in `transformers.image_transforms.get_resize_output_image_size`.
        let long = u64::from(edge) * u64::from(long) / u64::from(short);
        let long = u32::try_from(long).ok().filter(|&long| long <= LONGEST).ok_or_else(|| {
            ClipError::Image(format!(
                "{width} x {height} pixels is too narrow: with its shorter side at {edge} the longer \
                 one would exceed {LONGEST}; cut it first"
            ))
        })?;
        Ok(if width <= height { (edge, long) } else { (long, edge) })
    }

    /// The number of values per image: `3 * crop_size * crop_size`.
    pub fn numbers(&self) -> usize {
        3 * self.crop_size as usize * self.crop_size as usize
    }

    /// The normalised pixels of one image, channel by channel: `3 * crop_size * crop_size` numbers.
    ///
    /// # Errors
    ///
    /// Those of [`Preprocessor::crop`].
    pub fn pixel_values(&self, image: &DynamicImage) -> Result<Vec<f32>, ClipError> {
        let crop = self.crop(image)?;
        let plane = (self.crop_size * self.crop_size) as usize;
        let mut values = Vec::with_capacity(3 * plane);
        for channel in 0..3 {
            let (mean, std) = (self.image_mean[channel], self.image_std[channel]);
            let level = |level: u8| (f64::from(level) * self.rescale_factor) as f32;
            let levels: [f32; 256] = std::array::from_fn(|at| (level(at as u8) - mean) / std);
            values.extend(crop.pixels().map(|pixel| levels[usize::from(pixel.0[channel])]));
        }
        Ok(values)
    }

    /// A batch on a device: `[images, 3, crop_size, crop_size]`.
    ///
    /// # Errors
    ///
    /// No images, or an error of [`Preprocessor::crop`] for the first image that has any.
    pub fn batch(&self, images: &[DynamicImage], device: &Device) -> Result<Tensor<4>, ClipError> {
        if images.is_empty() {
            return Err(ClipError::Image("a batch needs at least one".into()));
        }
        let mut values = Vec::new();
        for image in images {
            values.extend(self.pixel_values(image)?);
        }
        Ok(self.stack(values, device))
    }

    /// [`Preprocessor::pixel_values`] of several images, concatenated, as a batch on a device: `[images, 3, crop_size,
    /// crop_size]`.
    pub fn stack(&self, values: Vec<f32>, device: &Device) -> Tensor<4> {
        let side = self.crop_size as usize;
        let images = values.len() / (3 * side * side);
        Tensor::from_data(TensorData::new(values, [images, 3, side, side]), device)
    }
}

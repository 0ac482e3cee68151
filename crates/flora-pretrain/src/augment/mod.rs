//! Augmentation: from a transparent picture to a training example.

mod look;
mod view;

use rand::RngExt;
use rand_chacha::ChaCha8Rng;
use serde::{Deserialize, Serialize};

use crate::PretrainError;
use look::{Shade, Tint};
use view::{Colors, View, compose};

/// The strength of each augmentation. A probability or share of 0 switches it off.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Augmentation {
    /// Largest rotation to either side, in degrees.
    #[serde(deserialize_with = "flora_core::settings::single")]
    pub rotation: f32,
    /// Smallest and largest factor on the size.
    #[serde(deserialize_with = "flora_core::settings::two_singles")]
    pub scale: [f32; 2],
    /// Largest shift along each axis, as a share of the side.
    #[serde(deserialize_with = "flora_core::settings::single")]
    pub shift: f32,
    /// Probability of a mirror image.
    pub flip: f64,
    /// Largest change of brightness and contrast, as a share.
    #[serde(deserialize_with = "flora_core::settings::single")]
    pub color: f32,
    /// Largest rotation of the hues to either side, in degrees, and at the same time largest change of the saturation
    /// in per cent.
    #[serde(deserialize_with = "flora_core::settings::single")]
    pub hue: f32,
    /// Probability of a picture without colours.
    pub grey: f64,
    /// Probability of dark lines along the edges, over the colours or, half of the time, instead of them: some people
    /// draw outlines where others draw areas.
    pub outline: f64,
    /// Probability of light from one side.
    pub light: f64,
    /// Probability of a background of any colour; it is white otherwise.
    pub background: f64,
}

impl Default for Augmentation {
    fn default() -> Self {
        Self {
            rotation: 12.0,
            scale: [0.75, 1.1],
            shift: 0.08,
            flip: 0.3,
            color: 0.25,
            hue: 20.0,
            grey: 0.05,
            outline: 0.15,
            light: 0.2,
            background: 0.4,
        }
    }
}

impl Augmentation {
    pub(crate) fn check(&self) -> Result<(), PretrainError> {
        let wrong = |field, problem: String| Err(PretrainError::Config { field, problem });
        for (field, angle) in
            [("augmentation.rotation", self.rotation), ("augmentation.hue", self.hue)]
        {
            if !(0.0..=180.0).contains(&angle) {
                return wrong(field, format!("{angle} is not in [0, 180]"));
            }
        }
        let [least, most] = self.scale;
        if !(least > 0.0 && least <= most && most <= 10.0) {
            let problem = format!("[{least}, {most}] is not an interval in (0, 10]");
            return wrong("augmentation.scale", problem);
        }
        for (field, share) in
            [("augmentation.shift", self.shift), ("augmentation.color", self.color)]
        {
            if !(0.0..1.0).contains(&share) {
                return wrong(field, format!("{share} is not in [0, 1)"));
            }
        }
        for (field, probability) in [
            ("augmentation.flip", self.flip),
            ("augmentation.grey", self.grey),
            ("augmentation.outline", self.outline),
            ("augmentation.light", self.light),
            ("augmentation.background", self.background),
        ] {
            if !(0.0..=1.0).contains(&probability) {
                return wrong(field, format!("{probability} is not in [0, 1]"));
            }
        }
        Ok(())
    }

    /// A varied copy of `pixels` (`side * side` RGBA): RGB channel by channel, in `[0, 1]`.
    pub(crate) fn apply(
        &self,
        pixels: &[u8],
        side: usize,
        mono: bool,
        random: &mut ChaCha8Rng,
    ) -> Vec<f32> {
        let mut any_color = || [(); 3].map(|()| random.random::<f32>());
        let (background_color, ink) = (any_color(), any_color());
        let background =
            if random.random_bool(self.background) { background_color } else { [1.0; 3] };
        let ink = mono.then(|| readable_ink(ink, background));

        let angle = within(random, self.rotation).to_radians();
        let scale = random.random_range(self.scale[0]..=self.scale[1]);
        let shift = [(); 2].map(|()| within(random, self.shift) * side as f32);
        let mirrored = random.random_bool(self.flip);
        let view = View::new(side, angle, scale, shift, mirrored);
        let mut image = compose(pixels, side, &view, &Colors { background, ink });

        // Ink has a random colour already, and lines have no outlines.
        if !mono {
            let grey = random.random_bool(self.grey);
            let saturation = if grey { 0.0 } else { 1.0 + within(random, self.hue) / 100.0 };
            Tint::new(within(random, self.hue).to_radians(), saturation).apply(&mut image);
            if random.random_bool(self.outline) {
                let strength = random.random_range(0.5..=2.0);
                let keep =
                    if random.random_bool(0.5) { 1.0 } else { random.random_range(0.0..0.4) };
                look::outline(&mut image, side, strength, keep);
            }
        }
        if random.random_bool(self.light) {
            let direction = random.random_range(0.0..std::f32::consts::TAU);
            Shade { direction, strength: random.random_range(0.1..0.4) }.apply(&mut image, side);
        }
        let (brightness, contrast) =
            (1.0 + within(random, self.color), 1.0 + within(random, self.color));
        for value in &mut image {
            *value = ((*value - 0.5) * contrast + 0.5) * brightness;
            *value = value.clamp(0.0, 1.0);
        }
        image
    }
}

/// A number between `-most` and `most`.
fn within(random: &mut ChaCha8Rng, most: f32) -> f32 {
    random.random_range(-most..=most)
}

/// The picture without augmentation, on white: RGB channel by channel, in `[0, 1]`.
pub(crate) fn plain(pixels: &[u8], side: usize) -> Vec<f32> {
    let colors = Colors { background: [1.0; 3], ink: None };
    compose(pixels, side, &View::new(side, 0.0, 1.0, [0.0; 2], false), &colors)
}

/// Inks of any colour, but with enough contrast: black or white otherwise.
fn readable_ink(ink: [f32; 3], background: [f32; 3]) -> [f32; 3] {
    let luminance = |c: [f32; 3]| 0.299 * c[0] + 0.587 * c[1] + 0.114 * c[2];
    if (luminance(ink) - luminance(background)).abs() >= 0.35 {
        ink
    } else if luminance(background) > 0.5 {
        [0.0; 3]
    } else {
        [1.0; 3]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_plain_picture_is_itself_on_white() {
        // Red, half transparent green, clear, white.
        let pixels = [255, 0, 0, 255, 0, 255, 0, 128, 9, 9, 9, 0, 255, 255, 255, 255];
        let image = plain(&pixels, 2);
        let half = 1.0 - 128.0 / 255.0;
        let expected = [1.0, half, 1.0, 1.0, 0.0, 1.0, 1.0, 1.0, 0.0, half, 1.0, 1.0];
        for (a, b) in image.iter().zip(expected) {
            assert!((a - b).abs() < 1e-6, "{image:?}");
        }
    }

    #[test]
    fn variants_depend_on_the_stream_and_stay_in_range() {
        let pixels: Vec<u8> = (0..8 * 8 * 4).map(|i| (i * 37 % 256) as u8).collect();
        let varied = |seed| {
            let mut random = flora_core::seed::stream(seed, "test");
            Augmentation::default().apply(&pixels, 8, false, &mut random)
        };
        assert_eq!(varied(1), varied(1));
        assert_ne!(varied(1), varied(2));
        for seed in 3..40 {
            assert!(varied(seed).iter().all(|value| (0.0..=1.0).contains(value)));
        }
    }

    #[test]
    fn nothing_switched_on_leaves_the_picture() {
        let still = Augmentation {
            rotation: 0.0,
            scale: [1.0, 1.0],
            shift: 0.0,
            flip: 0.0,
            color: 0.0,
            hue: 0.0,
            grey: 0.0,
            outline: 0.0,
            light: 0.0,
            background: 0.0,
        };
        still.check().unwrap();
        let pixels: Vec<u8> = (0..8 * 8 * 4).map(|i| (i * 37 % 256) as u8).collect();
        let mut random = flora_core::seed::stream(1, "test");
        let image = still.apply(&pixels, 8, false, &mut random);
        for (a, b) in image.iter().zip(plain(&pixels, 8)) {
            // The two matrices of the tint are each other's inverse to three digits.
            assert!((a - b).abs() < 5e-3, "{a} {b}");
        }
    }
}

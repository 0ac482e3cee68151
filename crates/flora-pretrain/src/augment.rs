//! How a transparent picture becomes a training example.

use rand::RngExt;
use rand_chacha::ChaCha8Rng;
use serde::{Deserialize, Serialize};

use crate::PretrainError;

/// How much training pictures are varied.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Augmentation {
    /// Largest turn to either side, in degrees.
    pub rotation: f32,
    /// Smallest and largest factor on the size.
    pub scale: [f32; 2],
    /// Largest shift along each axis, as a share of the side.
    pub shift: f32,
    /// Largest change of brightness and contrast, as a share.
    pub color: f32,
    /// Probability of a background of any colour; it is white otherwise.
    pub background: f64,
}

impl Default for Augmentation {
    fn default() -> Self {
        Self { rotation: 12.0, scale: [0.75, 1.1], shift: 0.08, color: 0.25, background: 0.4 }
    }
}

impl Augmentation {
    pub(crate) fn check(&self) -> Result<(), PretrainError> {
        let wrong = |field, problem: String| Err(PretrainError::Config { field, problem });
        if !(0.0..=180.0).contains(&self.rotation) {
            return wrong("augmentation.rotation", format!("{} is not in [0, 180]", self.rotation));
        }
        let [least, most] = self.scale;
        if !(least > 0.0 && least <= most && most <= 10.0) {
            let problem = format!("[{least}, {most}] is not an interval in (0, 10]");
            return wrong("augmentation.scale", problem);
        }
        if !(0.0..=1.0).contains(&self.shift) {
            return wrong("augmentation.shift", format!("{} is not in [0, 1]", self.shift));
        }
        if !(0.0..1.0).contains(&self.color) {
            return wrong("augmentation.color", format!("{} is not in [0, 1)", self.color));
        }
        if !(0.0..=1.0).contains(&self.background) {
            return wrong(
                "augmentation.background",
                format!("{} is not in [0, 1]", self.background),
            );
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
        let look = Look { background, ink };

        let angle = random.random_range(-self.rotation..=self.rotation).to_radians();
        let scale = random.random_range(self.scale[0]..=self.scale[1]);
        let mut shift = || random.random_range(-self.shift..=self.shift) * side as f32;
        let view = View::new(side, angle, scale, [shift(), shift()]);

        let mut vary = || 1.0 + random.random_range(-self.color..=self.color);
        let (brightness, contrast) = (vary(), vary());
        let mut image = compose(pixels, side, &view, &look);
        for value in &mut image {
            *value = ((*value - 0.5) * contrast + 0.5) * brightness;
            *value = value.clamp(0.0, 1.0);
        }
        image
    }
}

/// The picture as it is, on white: RGB channel by channel, in `[0, 1]`.
pub(crate) fn plain(pixels: &[u8], side: usize) -> Vec<f32> {
    let look = Look { background: [1.0; 3], ink: None };
    compose(pixels, side, &View::new(side, 0.0, 1.0, [0.0; 2]), &look)
}

/// Colours of the example: what lies behind, and what a one-colour picture is drawn in.
struct Look {
    background: [f32; 3],
    ink: Option<[f32; 3]>,
}

/// Black stays the most common ink, as in icons as they are; others must stand out.
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

/// From a point of the example to the point of the picture that is seen there.
struct View {
    matrix: [[f32; 2]; 2],
    center: f32,
    shift: [f32; 2],
}

impl View {
    fn new(side: usize, angle: f32, scale: f32, shift: [f32; 2]) -> Self {
        let (sin, cos) = (angle.sin() / scale, angle.cos() / scale);
        let center = (side as f32 - 1.0) / 2.0;
        Self { matrix: [[cos, sin], [-sin, cos]], center, shift }
    }

    fn source(&self, x: usize, y: usize) -> [f32; 2] {
        let x = x as f32 - self.center - self.shift[0];
        let y = y as f32 - self.center - self.shift[1];
        self.matrix.map(|[a, b]| a * x + b * y + self.center)
    }
}

/// Bilinear sampling, premultiplied so that the colour under full transparency never shows.
fn compose(pixels: &[u8], side: usize, view: &View, look: &Look) -> Vec<f32> {
    let plane = side * side;
    let mut image = vec![0f32; 3 * plane];
    for y in 0..side {
        for x in 0..side {
            let [color @ .., alpha] = sample(pixels, side, view.source(x, y));
            for channel in 0..3 {
                let drawn = match look.ink {
                    Some(ink) => ink[channel] * alpha,
                    None => color[channel],
                };
                image[channel * plane + y * side + x] =
                    drawn + look.background[channel] * (1.0 - alpha);
            }
        }
    }
    image
}

/// Premultiplied RGBA at a point, in `[0, 1]`; nothing lies outside the picture.
fn sample(pixels: &[u8], side: usize, [x, y]: [f32; 2]) -> [f32; 4] {
    let (left, top) = (x.floor(), y.floor());
    let (right_share, bottom_share) = (x - left, y - top);
    let mut sum = [0f32; 4];
    for (dy, share_y) in [(0, 1.0 - bottom_share), (1, bottom_share)] {
        for (dx, share_x) in [(0, 1.0 - right_share), (1, right_share)] {
            let (column, row) = (left as i64 + dx, top as i64 + dy);
            let inside = 0..side as i64;
            let share = share_x * share_y;
            if share == 0.0 || !inside.contains(&column) || !inside.contains(&row) {
                continue;
            }
            let at = 4 * (row as usize * side + column as usize);
            let alpha = share * f32::from(pixels[at + 3]) / 255.0;
            for channel in 0..3 {
                sum[channel] += alpha * f32::from(pixels[at + channel]) / 255.0;
            }
            sum[3] += alpha;
        }
    }
    sum
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
        assert!(varied(3).iter().all(|value| (0.0..=1.0).contains(value)));
    }
}

//! Augmented views of images.

use std::fmt;

use flora_core::seed;
use image::{DynamicImage, GenericImageView};
use rand::{Rng, RngExt};

/// A random square crop of every image: torchvision's
/// [`RandomResizedCrop`](https://docs.pytorch.org/vision/stable/generated/torchvision.transforms.RandomResizedCrop.html)
/// with `scale = (0.7, 1)` and `ratio = (1, 1)`. It covers 70 to 100 percent of a square image's area, anywhere in it.
/// The contents are shifted and enlarged by up to a fifth, and never mirrored or stretched, so letters and symbols keep
/// their meaning. The model's preprocessing resizes it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct View {
    /// The seed of the crops.
    pub seed: u64,
    /// The number of the view; each view of an image is an independent draw.
    pub number: usize,
}

/// Share of the image's area.
const SCALE: [f64; 2] = [0.7, 1.0];
/// Number of draws of a square that does not fit into a narrow image, before the centre is used.
const TRIES: usize = 10;

/// Identifies views in cache keys.
impl fmt::Display for View {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [least, most] = SCALE;
        write!(
            f,
            "view {} of seed {}, by the image's digest: a square of {least} to {most} of the area",
            self.number, self.seed
        )
    }
}

impl View {
    /// The view of `picture`. Its crop depends on the `digest` of its source, not on its position in the data set, so
    /// that adding or removing images does not invalidate caches keyed by contents.
    pub(super) fn of(self, picture: &DynamicImage, digest: &str) -> DynamicImage {
        let label = format!("view {} of image {digest}", self.number);
        let mut random = seed::stream(self.seed, &label);
        let (left, top, side) = square(picture.dimensions(), &mut random);
        picture.crop_imm(left, top, side, side)
    }
}

/// Left, top and side of a square in an image of this size.
fn square((width, height): (u32, u32), random: &mut impl Rng) -> (u32, u32, u32) {
    let area = f64::from(width) * f64::from(height);
    for _ in 0..TRIES {
        let side = (area * random.random_range(SCALE[0]..=SCALE[1])).sqrt().round() as u32;
        if (1..=width.min(height)).contains(&side) {
            let left = random.random_range(0..=width - side);
            let top = random.random_range(0..=height - side);
            return (left, top, side);
        }
    }
    let side = width.min(height);
    ((width - side) / 2, (height - side) / 2, side)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn squares(size: (u32, u32)) -> Vec<(u32, u32, u32)> {
        let mut random = seed::stream(0, "squares");
        (0..500).map(|_| square(size, &mut random)).collect()
    }

    #[test]
    fn squares_are_within_the_picture_and_of_every_size_in_every_place() {
        let found = squares((100, 100));
        assert!(found.iter().all(|&(left, top, side)| left + side <= 100 && top + side <= 100));
        let sides: Vec<u32> = found.iter().map(|&(_, _, side)| side).collect();
        // The square roots of 0.7 and 1.
        assert_eq!((sides.iter().min(), sides.iter().max()), (Some(&84), Some(&100)));
        let mean = sides.iter().map(|&side| f64::from(side * side)).sum::<f64>() / 500.0;
        assert!((mean - 8500.0).abs() < 150.0, "areas are uniform: {mean}");
        assert!(found.iter().any(|&(left, _, _)| left == 0));
        assert!(found.iter().any(|&(left, top, _)| left > 10 && top < 3));
        assert!(found.iter().any(|&(left, top, _)| top > 10 && left < 3));
    }

    #[test]
    fn narrow_and_tiny_pictures_have_squares_too() {
        for (width, height) in [(1, 1), (2, 1), (1, 300), (300, 20)] {
            let side = width.min(height);
            let middle = ((width - side) / 2, (height - side) / 2, side);
            assert_eq!(squares((width, height))[0], middle, "{width} x {height}");
        }
        // Somewhat wider than high: some draws fit.
        let found = squares((120, 100));
        assert!(found.iter().all(|&(left, top, side)| left + side <= 120 && top + side <= 100));
        assert!(found.iter().any(|&(_, _, side)| side < 100));
    }

    #[test]
    fn a_view_depends_on_seed_number_and_image() {
        let picture = DynamicImage::ImageRgb8(image::RgbImage::from_fn(64, 64, |x, y| {
            image::Rgb([x as u8, y as u8, 7])
        }));
        let of = |seed, number, digest| View { seed, number }.of(&picture, digest).to_rgb8();
        assert_eq!(of(0, 0, "a"), of(0, 0, "a"));
        for (seed, number, digest) in [(1, 0, "a"), (0, 1, "a"), (0, 0, "b")] {
            assert_ne!(of(0, 0, "a"), of(seed, number, digest), "{seed} {number} {digest}");
        }
        // Pixels are unchanged and in order: neither stretched nor mirrored.
        let seen = of(0, 0, "a");
        let [left, top, _] = seen.get_pixel(0, 0).0;
        for (x, y, pixel) in seen.enumerate_pixels() {
            assert_eq!(pixel.0, [left + x as u8, top + y as u8, 7]);
        }
        assert_eq!(seen.width(), seen.height());
    }
}

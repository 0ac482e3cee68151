use std::mem::MaybeUninit;

use rayon::prelude::*;

use super::written;

/// Square patches of images `[batch, channels, height, width]`, row by row: `[patches, channels * size * size]`. Pixels
/// beyond the last whole patch are left out.
#[allow(unsafe_code)]
pub(crate) fn patches(
    images: &[f32],
    [channels, height, width]: [usize; 3],
    size: usize,
) -> Vec<f32> {
    let image = channels * height * width;
    let [down, across] = [height / size, width / size];
    let numbers = channels * size * size;
    if images.is_empty() {
        return Vec::new();
    }
    assert!(images.len().is_multiple_of(image), "whole images");
    let length = images.len() / image * down * across * numbers;
    let write = |out: &mut [MaybeUninit<f32>]| {
        // A row of patches at a time.
        out.par_chunks_mut(across * numbers).enumerate().for_each(|(at, out)| {
            let pixels = &images[at / down * image..][..image];
            let top = at % down * size;
            for line in 0..channels * size {
                let (channel, row) = (line / size, top + line % size);
                let pixels = &pixels[(channel * height + row) * width..][..across * size];
                for (patch, pixels) in pixels.chunks_exact(size).enumerate() {
                    out[patch * numbers + line * size..][..size].write_copy_of_slice(pixels);
                }
            }
        });
    };
    // SAFETY: `write` copies every line of every patch.
    unsafe { written(length, write) }
}

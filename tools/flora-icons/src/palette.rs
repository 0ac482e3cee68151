//! Small indexed PNG files.

use std::cmp::Reverse;
use std::collections::BTreeSet;

use png::{BitDepth, ColorType, DeflateCompression, Encoder, Filter};
use quantette::deps::palette::Srgb;
use quantette::kmeans::KmeansOptions;
use quantette::{ImageRef, PaletteSize, Pipeline, QuantizeMethod};

use crate::render::SIZE;

/// The number of colours an image is reduced to.
const COLOURS: u8 = 64;
/// zlib's slowest and best level.
const DEFLATE_LEVEL: u8 = 9;

/// Colours and, for each pixel, which of them it has.
type Indexed = (Vec<[u8; 3]>, Vec<u8>);

/// Reduces a `SIZE` x `SIZE` image to 64 colours (k-means in Oklab, no dithering, which a contrastive model would have to
/// learn to ignore) and writes it as a PNG file.
///
/// # Errors
///
/// What the encoder says about an image of another size.
pub(crate) fn indexed_png(image: &[[u8; 3]]) -> Result<Vec<u8>, String> {
    let (palette, indices) = match exact(image) {
        Some(indexed) => indexed,
        None => quantised(image)?,
    };
    let (palette, indices) = sorted_by_use(&palette, &indices);

    let mut bytes = Vec::new();
    let mut encoder = Encoder::new(&mut bytes, SIZE, SIZE);
    encoder.set_color(ColorType::Indexed);
    let depth = match palette.len() {
        0..=2 => BitDepth::One,
        3..=4 => BitDepth::Two,
        5..=16 => BitDepth::Four,
        _ => BitDepth::Eight,
    };
    encoder.set_depth(depth);
    encoder.set_palette(palette.concat());
    encoder.set_filter(Filter::NoFilter);
    encoder.set_deflate_compression(DeflateCompression::Level(DEFLATE_LEVEL));
    let mut writer = encoder.write_header().map_err(|error| error.to_string())?;
    writer.write_image_data(&pack(&indices, depth as usize)).map_err(|error| error.to_string())?;
    writer.finish().map_err(|error| error.to_string())?;
    Ok(bytes)
}

/// The image's own colours, if there are few enough of them.
fn exact(image: &[[u8; 3]]) -> Option<Indexed> {
    let palette: Vec<[u8; 3]> =
        image.iter().copied().collect::<BTreeSet<_>>().into_iter().collect();
    if palette.len() > usize::from(COLOURS) {
        return None;
    }
    // The palette holds every pixel and has at most 64 entries.
    let indices =
        image.iter().map(|pixel| palette.partition_point(|colour| colour < pixel) as u8).collect();
    Some((palette, indices))
}

fn quantised(image: &[[u8; 3]]) -> Result<Indexed, String> {
    let colours: Vec<Srgb<u8>> =
        image.iter().map(|&[red, green, blue]| Srgb::new(red, green, blue)).collect();
    let reference = ImageRef::new(SIZE, SIZE, &colours).map_err(|error| error.to_string())?;
    // The sampling is seeded by quantette's fixed default, so that the file is a function of the image.
    let (palette, indices) = Pipeline::new()
        .palette_size(PaletteSize::from_u8_clamped(COLOURS))
        .quantize_method(QuantizeMethod::Kmeans(KmeansOptions::new()))
        .ditherer(None)
        .input_image(reference)
        .output_srgb8_indexed_image()
        .into_parts();
    Ok((
        palette.into_iter().map(|colour| [colour.red, colour.green, colour.blue]).collect(),
        indices,
    ))
}

/// Drops the colours that no pixel has and puts the common ones first, ties by value.
fn sorted_by_use(palette: &[[u8; 3]], indices: &[u8]) -> Indexed {
    let mut uses = [0_u32; 256];
    for &index in indices {
        uses[usize::from(index)] += 1;
    }
    let mut order: Vec<usize> =
        (0..palette.len().min(256)).filter(|&index| uses[index] > 0).collect();
    order.sort_by_key(|&index| (Reverse(uses[index]), palette[index]));
    let mut rank = [0_u8; 256];
    for (position, &index) in order.iter().enumerate() {
        // There are at most 256 positions.
        rank[index] = position as u8;
    }
    (
        order.into_iter().map(|index| palette[index]).collect(),
        indices.iter().map(|&index| rank[usize::from(index)]).collect(),
    )
}

/// Packs indices of `depth` bits into bytes, the first pixel in the highest bits. `SIZE` is a multiple of 8, so that no
/// row ends within a byte.
fn pack(indices: &[u8], depth: usize) -> Vec<u8> {
    indices
        .chunks(8 / depth)
        .map(|chunk| chunk.iter().fold(0, |byte, index| (u32::from(byte) << depth) as u8 | index))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn decode(bytes: &[u8]) -> Vec<[u8; 3]> {
        let mut decoder = png::Decoder::new(std::io::Cursor::new(bytes));
        decoder.set_transformations(png::Transformations::EXPAND);
        let mut reader = decoder.read_info().expect("a PNG file");
        let mut pixels = vec![0; reader.output_buffer_size().expect("a size")];
        reader.next_frame(&mut pixels).expect("an image");
        pixels.as_chunks::<3>().0.to_vec()
    }

    #[test]
    fn an_image_of_few_colours_survives_unchanged_at_every_bit_depth() {
        for colours in [1_u32, 2, 3, 4, 5, 16, 17, 50, 64] {
            let image: Vec<[u8; 3]> = (0..SIZE * SIZE)
                .map(|i| {
                    let c = i % colours;
                    [(c * 4) as u8, (255 - c * 3) as u8, (c * 2) as u8]
                })
                .collect();
            let decoded = decode(&indexed_png(&image).expect("encodes"));
            assert!(image == decoded, "{colours} colours");
        }
    }

    #[test]
    fn a_gradient_is_reduced_to_64_colours_with_a_small_error_and_the_same_bytes_each_time() {
        let image: Vec<[u8; 3]> =
            (0..SIZE * SIZE).map(|i| [(i % SIZE * 4) as u8, (i / SIZE * 4) as u8, 128]).collect();
        let bytes = indexed_png(&image).expect("encodes");
        let decoded = decode(&bytes);
        let mut distinct = decoded.clone();
        distinct.sort_unstable();
        distinct.dedup();
        assert!(distinct.len() <= 64, "{} colours", distinct.len());
        let total: u32 = image
            .iter()
            .flatten()
            .zip(decoded.iter().flatten())
            .map(|(a, b)| u32::from(a.abs_diff(*b)))
            .sum();
        assert!(f64::from(total) / (image.len() * 3) as f64 <= 8.0, "mean error {total}");
        assert_eq!(bytes, indexed_png(&image).expect("encodes"));
    }
}

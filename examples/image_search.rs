//! Search the images of a folder with words, with `flora::clip` alone:
//!
//! ```sh
//! cargo run --release -p flora --example image_search -- \
//!     models/clip-nano datasets/emoji-vendors/images "smiling face" "a heart"
//! ```
//!
//! Every image is embedded once; then a query costs one short text and one matrix product.

use std::path::{Path, PathBuf};
use std::time::Instant;

use burn::tensor::Tensor;
use flora::clip::{Embedder, normalize, read_image};
use flora::core::workers::Workers;

/// Images that go through the vision tower together.
const BATCH: usize = 32;
/// Images to show for a query.
const SHOWN: usize = 5;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut arguments: Vec<String> = std::env::args().skip(1).collect();
    let device = flora::device::take_from(&mut arguments)?;
    let [model, folder, queries @ ..] = &arguments[..] else {
        return Err("usage: image_search [--device NAME] MODEL FOLDER QUERY...".into());
    };
    let embedder = Embedder::open(model.as_ref(), &device)?;
    let mut files = Vec::new();
    list(folder.as_ref(), &mut files)?;
    files.sort();

    let started = Instant::now();
    let index = embed(&embedder, &files)?;
    let seconds = started.elapsed().as_secs_f64();
    println!("{} images embedded in {seconds:.1} s", files.len());

    for query in queries {
        let started = Instant::now();
        let query_embedding = normalize(embedder.texts(&[query])?);
        let similarities = index.clone().matmul(query_embedding.transpose());
        let similarities = similarities.into_data().try_into_vec::<f32>()?;
        let mut ranked: Vec<_> = similarities.iter().zip(&files).collect();
        ranked.sort_by(|left, right| right.0.total_cmp(left.0));
        println!("{query:?}, {:.1} ms:", 1e3 * started.elapsed().as_secs_f64());
        for (similarity, file) in ranked.iter().take(SHOWN) {
            println!("  {similarity:.3}  {}", file.display());
        }
    }
    Ok(())
}

/// The embeddings of `files`, `[files, projection_dim]`: a batch at a time on every core.
fn embed(embedder: &Embedder, files: &[PathBuf]) -> Result<Tensor<2>, Box<dyn std::error::Error>> {
    let encode = |batch: &[PathBuf]| -> Result<Tensor<2>, String> {
        let images = batch
            .iter()
            .map(|path| read_image(path).map_err(|error| format!("{}: {error}", path.display())));
        let images = images.collect::<Result<Vec<_>, _>>()?;
        Ok(normalize(embedder.images(&images).map_err(|error| error.to_string())?))
    };
    let batches = files.chunks(BATCH).collect();
    let parts = Workers::new(0)?.try_map(batches, encode, |_| {})?;
    if parts.is_empty() {
        return Err("there are no images in the folder".into());
    }
    Ok(Tensor::cat(parts, 0))
}

fn list(folder: &Path, files: &mut Vec<PathBuf>) -> std::io::Result<()> {
    for entry in std::fs::read_dir(folder)? {
        let path = entry?.path();
        if path.is_dir() {
            list(&path, files)?;
        } else if path.extension().is_some_and(|end| {
            ["png", "jpg", "jpeg", "webp"].iter().any(|known| end.eq_ignore_ascii_case(known))
        }) {
            files.push(path);
        }
    }
    Ok(())
}

//! Benchmarks of sums over images, and of heads from them, on one thread.
//!
//! ```sh
//! cargo bench -p flora-cli -p flora-heads --bench closed_form      # or with -- NAME
//! ```

use std::hint::black_box;

use divan::Bencher;
use flora_heads::{Gda, Lda, Moments, Ncm, Ridge};

fn main() {
    divan::main();
}

/// Deterministic rows that are far from singular.
fn features(images: usize, dim: usize) -> Vec<f32> {
    let number = |at: usize| ((at * 7919 + at / dim * 104_729) % 6007) as f32 / 6007.0 - 0.4;
    (0..images * dim).map(number).collect()
}

fn labels(images: usize, classes: usize) -> Vec<usize> {
    (0..images).map(|image| image % classes).collect()
}

fn moments(images: usize, dim: usize, classes: usize) -> Moments {
    let mut moments = Moments::new(dim, classes);
    moments
        .add_batch(&features(images, dim), &labels(images, classes), 1.0)
        .expect("good features");
    moments
}

/// `[images, dim]`: a client of clip-nano, of its recommended features, and of ViT-B/32.
#[divan::bench(args = [(6_000, 192), (6_000, 576), (100_000, 512)], sample_count = 3, sample_size = 1)]
fn add(bencher: Bencher<'_, '_>, (images, dim): (usize, usize)) {
    let (features, labels) = (features(images, dim), labels(images, 10));
    bencher.bench_local(|| {
        let mut moments = Moments::new(dim, 10);
        moments.add_batch(black_box(&features), &labels, 1.0).expect("good features");
        moments
    });
}

const SIZES: [(usize, usize); 4] = [(192, 10), (512, 10), (512, 1_000), (768, 39)];

#[divan::bench(args = SIZES, sample_count = 5, sample_size = 1)]
fn ridge(bencher: Bencher<'_, '_>, (dim, classes): (usize, usize)) {
    let (moments, texts) = (moments(2 * dim.max(classes), dim, classes), features(classes, dim));
    bencher.bench_local(|| Ridge::default().solve(black_box(&moments), &texts).expect("a head"));
}

#[divan::bench(args = SIZES, sample_count = 5, sample_size = 1)]
fn gda(bencher: Bencher<'_, '_>, (dim, classes): (usize, usize)) {
    let (moments, texts) = (moments(2 * dim.max(classes), dim, classes), features(classes, dim));
    bencher.bench_local(|| Gda::default().solve(black_box(&moments), &texts).expect("a head"));
}

#[divan::bench(args = SIZES, sample_count = 5, sample_size = 1)]
fn lda(bencher: Bencher<'_, '_>, (dim, classes): (usize, usize)) {
    let moments = moments(2 * dim.max(classes), dim, classes);
    bencher.bench_local(|| Lda::default().solve(black_box(&moments)).expect("a head"));
}

#[divan::bench(args = SIZES, sample_count = 5, sample_size = 1)]
fn ncm(bencher: Bencher<'_, '_>, (dim, classes): (usize, usize)) {
    let (moments, texts) = (moments(2 * dim.max(classes), dim, classes), features(classes, dim));
    bencher.bench_local(|| Ncm::default().solve(black_box(&moments), &texts).expect("a head"));
}

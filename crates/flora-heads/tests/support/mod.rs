//! Helpers shared by the tests of heads.
#![allow(dead_code, unreachable_pub, missing_docs, reason = "each test uses a part")]

use flora_core::seed;
use flora_heads::{LinearClassifier, Moments};
use rand::RngExt;

/// Labelled features, row-major.
pub struct Images {
    pub dim: usize,
    pub classes: usize,
    pub features: Vec<f32>,
    pub labels: Vec<usize>,
    pub texts: Vec<f32>,
}

impl Images {
    /// Unit features with a large common mean and unequal classes, like CLIP's.
    pub fn drawn(seed: u64, images: usize, dim: usize, classes: usize) -> Self {
        let mut rng = seed::stream(seed, "images of a test");
        let mut normal = move || -> f64 {
            // The sum of twelve uniform numbers has the variance of a standard normal.
            (0..12).map(|_| rng.random_range(-0.5..0.5)).sum()
        };
        let common: Vec<f64> = (0..dim).map(|_| 2.0 * normal()).collect();
        let centres: Vec<f64> = (0..classes * dim).map(|_| 0.7 * normal()).collect();
        let mut labels = Vec::with_capacity(images);
        let mut features = Vec::with_capacity(images * dim);
        for image in 0..images {
            let label = (image * (image + 3) / 2) % classes;
            labels.push(label);
            features.extend(unit((0..dim).map(|at| {
                let scale = 1.5 * 0.02_f64.powf(at as f64 / dim as f64);
                common[at] + centres[label * dim + at] + scale * normal()
            })));
        }
        let texts = (0..classes)
            .flat_map(|class| {
                let row: Vec<f64> =
                    (0..dim).map(|at| common[dim - 1 - at] + centres[class * dim + at]).collect();
                unit(row.into_iter())
            })
            .collect();
        Self { dim, classes, features, labels, texts }
    }

    pub fn feature(&self, image: usize) -> &[f32] {
        &self.features[image * self.dim..][..self.dim]
    }

    pub fn moments(&self) -> Moments {
        self.moments_of(0..self.labels.len())
    }

    pub fn moments_of(&self, images: impl IntoIterator<Item = usize>) -> Moments {
        let mut moments = Moments::new(self.dim, self.classes);
        for image in images {
            moments.add(self.feature(image), self.labels[image], 1.0).unwrap();
        }
        moments
    }
}

fn unit(row: impl Iterator<Item = f64>) -> Vec<f32> {
    let row: Vec<f64> = row.collect();
    let norm = row.iter().map(|value| value * value).sum::<f64>().sqrt();
    row.iter().map(|value| (value / norm) as f32).collect()
}

/// |a - b| / |b|, with the Euclidean norm over all values.
pub fn distance(a: &[f32], b: &[f32]) -> f64 {
    assert_eq!(a.len(), b.len());
    let norm = |values: &mut dyn Iterator<Item = f64>| values.map(|v| v * v).sum::<f64>().sqrt();
    let of = |(&a, &b): (&f32, &f32)| f64::from(a) - f64::from(b);
    norm(&mut a.iter().zip(b).map(of)) / norm(&mut b.iter().map(|&b| f64::from(b)))
}

/// The distance of two heads, weights and biases together.
pub fn head_distance(a: &LinearClassifier, b: &LinearClassifier) -> f64 {
    let values = |head: &LinearClassifier| [&head.weight[..], &head.bias[..]].concat();
    distance(&values(a), &values(b))
}

pub fn assert_close(what: &str, actual: &[f32], expected: &[f32], tolerance: f64) {
    let distance = distance(actual, expected);
    assert!(distance <= tolerance, "{what}: {distance:e} apart, allowed {tolerance:e}");
}

/// The index of the largest logit in every row.
pub fn predictions(logits: &[f32], classes: usize) -> Vec<usize> {
    let largest = |row: &[f32]| {
        let mut best = 0;
        for (class, logit) in row.iter().enumerate() {
            if *logit > row[best] {
                best = class;
            }
        }
        best
    };
    logits.chunks(classes).map(largest).collect()
}

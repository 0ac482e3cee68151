mod batch;
mod noise;
mod record;

pub use record::{CLASS_COUNTS, CLASS_SUMS, GRAM};

use crate::HeadsError;

/// How far a difference of sums may fall below zero and still count as a rounding error, as a share of the previous
/// sum. A sum that was sent as f16 is off by at most 2^-11.
const ROUNDING: f64 = 1e-3;

/// Sums over weighted images, from which every head of this crate is computed.
///
/// With the feature x_i of dimension d, the class y_i and the weight w_i of image i:
///
/// - `gram`: sum of w_i x_i x_i^T, as its upper triangle, row by row: (0,0), (0,1) ... (0,d-1), (1,1) ...
/// - `class_sums`: for every class, sum of w_i x_i over its images, `[classes, dim]`, row-major
/// - `class_counts`: for every class, sum of w_i over its images, `[classes]`
///
/// All are kept in f64. A weight of 1 is one image; each of K views of an image has weight 1/K.
///
/// Moments of disjoint sets of images add up: the partition, the number of clients and the order of their replies
/// change only the last bits.
#[derive(Clone, Debug, PartialEq)]
pub struct Moments {
    dim: usize,
    classes: usize,
    gram: Vec<f64>,
    class_sums: Vec<f64>,
    class_counts: Vec<f64>,
}

impl Moments {
    /// The sums over no images.
    pub fn new(dim: usize, classes: usize) -> Self {
        Self {
            dim,
            classes,
            gram: vec![0.0; packed_len(dim)],
            class_sums: vec![0.0; classes * dim],
            class_counts: vec![0.0; classes],
        }
    }

    /// The dimension of a feature.
    pub fn dim(&self) -> usize {
        self.dim
    }

    /// The number of classes.
    pub fn classes(&self) -> usize {
        self.classes
    }

    /// The upper triangle of sum w x x^T, row by row, `dim (dim + 1) / 2` values.
    pub fn gram(&self) -> &[f64] {
        &self.gram
    }

    /// The sums of the features of each class, `[classes, dim]`.
    pub fn class_sums(&self) -> &[f64] {
        &self.class_sums
    }

    /// The sum of the features of one class, `dim` values.
    ///
    /// # Panics
    ///
    /// If there is no such class.
    pub fn class_sum(&self, class: usize) -> &[f64] {
        &self.class_sums[class * self.dim..][..self.dim]
    }

    /// The weight of the images of each class.
    pub fn class_counts(&self) -> &[f64] {
        &self.class_counts
    }

    /// The weight of all images.
    pub fn total(&self) -> f64 {
        self.class_counts.iter().sum()
    }

    /// The mean feature of all images, `dim` values; zeros without images.
    pub fn mean(&self) -> Vec<f64> {
        let mut mean = vec![0.0; self.dim];
        let total = self.total();
        for class in (0..self.classes).filter(|_| total > 0.0) {
            for (mean, sum) in mean.iter_mut().zip(self.class_sum(class)) {
                *mean += sum / total;
            }
        }
        mean
    }

    /// Whether no images were added.
    pub fn is_empty(&self) -> bool {
        self.class_counts.iter().all(|&count| count <= 0.0)
    }

    /// The trace of the Gram matrix: the sum of w |x|^2.
    pub fn trace(&self) -> f64 {
        diagonal(self.dim).map(|at| self.gram[at]).sum()
    }

    /// Adds one image.
    ///
    /// # Errors
    ///
    /// If the feature does not have [`dim`](Self::dim) values, or holds a non-finite value; if the class does not
    /// exist; if the weight is not a positive number. The sums are then unchanged.
    pub fn add(&mut self, feature: &[f32], class: usize, weight: f64) -> Result<(), HeadsError> {
        self.add_batch(feature, &[class], weight)
    }

    /// Adds the sums over other images.
    ///
    /// # Errors
    ///
    /// If the sizes differ.
    pub fn merge(&mut self, other: &Self) -> Result<(), HeadsError> {
        self.check_sizes(other)?;
        let add = |to: &mut [f64], from: &[f64]| {
            for (to, from) in to.iter_mut().zip(from) {
                *to += from;
            }
        };
        add(&mut self.gram, &other.gram);
        add(&mut self.class_sums, &other.class_sums);
        add(&mut self.class_counts, &other.class_counts);
        Ok(())
    }

    /// Subtracts images that were added before, when a client leaves.
    ///
    /// A class that keeps less than a thousandth of its images' weight is treated as empty, and its sum becomes exactly
    /// zero; if all classes are empty, so do all sums.
    ///
    /// # Errors
    ///
    /// If the sizes differ, or if a count or a diagonal entry of the Gram matrix would fall below zero by more than a
    /// rounding error. The sums are then unchanged.
    pub fn subtract(&mut self, other: &Self) -> Result<(), HeadsError> {
        self.check_sizes(other)?;
        let below = |before: f64, taken: f64| before - taken < -ROUNDING * before.max(taken);
        for (class, (&before, &taken)) in
            self.class_counts.iter().zip(&other.class_counts).enumerate()
        {
            if below(before, taken) {
                return Err(HeadsError::NotContained {
                    what: format!("the number of images of class {class}"),
                    value: before - taken,
                });
            }
        }
        for (row, at) in diagonal(self.dim).enumerate() {
            if below(self.gram[at], other.gram[at]) {
                return Err(HeadsError::NotContained {
                    what: format!("entry ({row}, {row}) of the Gram matrix"),
                    value: self.gram[at] - other.gram[at],
                });
            }
        }

        for (sum, taken) in self.gram.iter_mut().zip(&other.gram) {
            *sum -= taken;
        }
        for (sum, taken) in self.class_sums.iter_mut().zip(&other.class_sums) {
            *sum -= taken;
        }
        for class in 0..self.classes {
            let before = self.class_counts[class];
            self.class_counts[class] -= other.class_counts[class];
            if self.class_counts[class] < ROUNDING * before {
                self.forget_class(class);
            }
        }
        self.clear_if_empty();
        Ok(())
    }

    fn forget_class(&mut self, class: usize) {
        self.class_counts[class] = 0.0;
        self.class_sums[class * self.dim..][..self.dim].fill(0.0);
    }

    fn clear_if_empty(&mut self) {
        if self.is_empty() {
            self.gram.fill(0.0);
        }
    }

    fn check_sizes(&self, other: &Self) -> Result<(), HeadsError> {
        if (self.dim, self.classes) == (other.dim, other.classes) {
            return Ok(());
        }
        Err(HeadsError::Mismatch {
            dim: self.dim,
            classes: self.classes,
            other_dim: other.dim,
            other_classes: other.classes,
        })
    }
}

/// The number of entries of the upper triangle.
fn packed_len(dim: usize) -> usize {
    dim * (dim + 1) / 2
}

/// The positions of the diagonal entries, where the rows of the upper triangle start.
pub(crate) fn diagonal(dim: usize) -> impl Iterator<Item = usize> {
    (0..dim).scan(0, move |next, row| {
        let at = *next;
        *next += dim - row;
        Some(at)
    })
}

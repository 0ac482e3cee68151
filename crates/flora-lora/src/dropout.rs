use std::sync::atomic::{AtomicU64, Ordering};

use burn::tensor::{Tensor, TensorData};
use rand::{Rng, RngExt};
use rand_chacha::ChaCha8Rng;

/// Inverted dropout with masks that depend on its own seed and on the number of applications.
///
/// burn's dropout draws from one generator for the whole process: clients that train in parallel would take each
/// other's numbers, and no run could be repeated.
#[derive(Debug)]
pub(crate) struct SeededDropout {
    probability: f64,
    seed: u64,
    applied: AtomicU64,
}

/// A copy continues from the original's count with its own count: a shared count would make the masks of parallel
/// clients depend on the order of their threads.
impl Clone for SeededDropout {
    fn clone(&self) -> Self {
        let applied = AtomicU64::new(self.applied.load(Ordering::Relaxed));
        Self { probability: self.probability, seed: self.seed, applied }
    }
}

impl SeededDropout {
    pub(crate) fn new(probability: f64, random: &mut ChaCha8Rng) -> Self {
        Self { probability, seed: random.next_u64(), applied: AtomicU64::new(0) }
    }

    /// Restarts with other masks.
    pub(crate) fn reseed(&mut self, random: &mut ChaCha8Rng) {
        *self = Self::new(self.probability, random);
    }

    pub(crate) fn apply<const D: usize>(&self, input: Tensor<D>) -> Tensor<D> {
        let turn = self.applied.fetch_add(1, Ordering::Relaxed);
        let mut random = flora_core::seed::stream(self.seed, &format!("dropout {turn}"));
        let keep = 1.0 - self.probability;
        let scale = (1.0 / keep) as f32;
        let shape = input.dims();
        let mask: Vec<f32> = (0..shape.iter().product())
            .map(|_| if random.random_bool(keep) { scale } else { 0.0 })
            .collect();
        let mask = Tensor::from_data(TensorData::new(mask, shape), &input.device());
        input * mask
    }
}

use std::time::{Duration, Instant};

use burn::tensor::{Device, Tensor, TensorData};

use crate::crew::Crew;
use crate::samples::Samples;
use crate::work::{Work, random_values, synchronize};
use crate::{BenchError, Peak};

/// Rows of the matrices. Small ones stay in the caches, large ones keep many threads busy.
const SIZES: [usize; 6] = [256, 512, 1024, 2048, 4096, 8192];
/// Larger matrices are only for fast devices, which do one of these in [`BLINK`] seconds and need more work to be busy.
const USUAL: usize = 2048;
const BLINK: f64 = 5e-3;
/// The least number of products per size, and the least time for them.
const PRODUCTS: usize = 3;
const TIME: Duration = Duration::from_millis(300);

/// A product of two square matrices.
struct Product {
    left: Tensor<2>,
    right: Tensor<2>,
}

impl Work for Product {
    fn run(&mut self) -> Result<(), BenchError> {
        let product = self.left.clone().matmul(self.right.clone());
        synchronize(&product.device())
    }
}

/// The best rate over several sizes, with the crew's threads: one product on all of them, or one on each.
pub(crate) fn measure(crew: &Crew, device: &Device) -> Result<Peak, BenchError> {
    let nothing = Peak { gflops: 0.0, size: 0 };
    let (mut best, mut last) = (nothing, nothing);
    for size in SIZES {
        if size > USUAL && gflop(last.size, crew) / last.gflops > BLINK {
            break;
        }
        last = measure_at(size, crew, device)?;
        best = better(best, last);
    }
    Ok(best)
}

/// The arithmetic of one product, or of one per thread.
fn gflop(size: usize, crew: &Crew) -> f64 {
    2e-9 * (size as f64).powi(3) * crew.batches() as f64
}

/// The best product of this size.
pub(crate) fn measure_at(size: usize, crew: &Crew, device: &Device) -> Result<Peak, BenchError> {
    let matrix = |label| -> Tensor<2> {
        Tensor::from_data(TensorData::new(random_values(label, size * size), [size, size]), device)
    };
    let product = || -> Box<dyn Work> {
        Box::new(Product { left: matrix("bench left"), right: matrix("bench right") })
    };
    let mut works: Vec<_> = (0..crew.batches()).map(|_| product()).collect();
    crew.run(&mut works)?;

    let (mut samples, started) = (Samples::default(), Instant::now());
    while samples.seconds.len() < PRODUCTS || started.elapsed() < TIME {
        samples.add(|| crew.run(&mut works))?;
    }
    let seconds = samples.seconds.into_iter().fold(f64::INFINITY, f64::min);
    Ok(Peak { gflops: gflop(size, crew) / seconds, size })
}

/// The faster one.
pub(crate) fn better(one: Peak, other: Peak) -> Peak {
    if other.gflops > one.gflops { other } else { one }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn any_machine_multiplies() {
        for each in [false, true] {
            let crew = Crew::new(2, each).unwrap();
            let peak = measure_at(64, &crew, &Device::flex()).unwrap();
            assert_eq!(peak.size, 64);
            // All processors are between a tenth of a GFLOP/s and a hundred TFLOP/s.
            assert!(peak.gflops > 0.1 && peak.gflops < 1e5, "{peak:?}");
            assert_eq!(better(peak, Peak { gflops: 0.0, size: 1 }), peak);
        }
    }
}

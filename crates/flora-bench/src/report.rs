use flora_clip::Precision;
use serde::{Deserialize, Serialize};

use crate::Workload;

/// The measurements, and the machine and model. Its JSON is the output of `flora bench --json`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Report {
    /// flora's version.
    pub flora: String,
    /// The device, as requested.
    pub device: String,
    /// The number of computing threads.
    pub threads: usize,
    /// Whether each thread has its own batch, rather than all threads sharing one.
    pub each: bool,
    /// The processor.
    pub cpu: String,
    /// The model.
    pub model: ModelFacts,
    /// The peak matrix multiplication of the same threads.
    pub peak: Peak,
    /// The measurements, in the requested order.
    pub results: Vec<Measurement>,
}

/// The model of a report.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ModelFacts {
    /// Its name.
    pub name: String,
    /// Side of its square images, in pixels.
    pub image_size: usize,
    /// Its longest text, in tokens.
    pub context: usize,
    /// The number of parameters.
    pub parameters: usize,
}

/// The fastest product of two square matrices in f32.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Peak {
    /// 1e9 floating-point operations a second.
    pub gflops: f64,
    /// Rows of the matrices that reached it.
    pub size: usize,
}

/// The time of one workload.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Measurement {
    /// The workload.
    pub workload: Workload,
    /// Items in a batch; the clients of an aggregation.
    pub batch: usize,
    /// The padded length of texts; `None` without texts.
    pub tokens: Option<usize>,
    /// Distinct prompts of a client's step, if a number of classes was requested.
    pub classes: Option<usize>,
    /// The precision of products with frozen layers.
    #[serde(default)]
    pub precision: Precision,
    /// The unit of an item: `images`, `texts`, `samples` or `clients`.
    pub unit: String,
    /// Wall-clock time of a repeat.
    pub seconds: Seconds,
    /// Median processor seconds of a repeat, over all threads; `None` if the system does not report them.
    pub cpu_seconds: Option<f64>,
    /// By the median time; over the batches of all threads.
    pub items_per_second: f64,
    /// The arithmetic of a repeat in 1e9 operations, as counted by [`count`](crate::count), over the batches of all
    /// threads.
    pub gflop: f64,
    /// `gflop` divided by the median seconds.
    pub gflops: f64,
    /// `gflops` divided by those of the peak, which is for `f32`: in bf16 it may exceed 1.
    pub share_of_peak: f64,
    /// The peak memory of the process so far, without a GPU's; `None` if the system does not report it.
    pub peak_memory_bytes: Option<u64>,
    /// The results, if requested by [`Settings::outcomes`](crate::Settings::outcomes): the features, or the losses of
    /// two steps. They are the bits of `f32`, because JSON has no infinity. An aggregation has none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub outcome: Option<Vec<u32>>,
    /// The difference from a reference outcome, infinite if a value is NaN: see [`Report::compare`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub difference: Option<f64>,
}

impl Report {
    /// Computes the differences from the outcomes of the same workloads in `reference`: the largest difference of any
    /// value, divided by the largest absolute value there.
    pub fn compare(&mut self, reference: &Self) {
        for result in &mut self.results {
            let same = |other: &&Measurement| {
                let key = |it: &Measurement| (it.workload, it.batch, it.tokens, it.classes);
                key(other) == key(result)
            };
            let other = reference.results.iter().find(same);
            let outcomes =
                result.outcome.as_deref().zip(other.and_then(|it| it.outcome.as_deref()));
            result.difference = outcomes.and_then(|(outcome, other)| difference(outcome, other));
        }
    }
}

/// `None` if there is no reference.
fn difference(values: &[u32], reference: &[u32]) -> Option<f64> {
    let [values, reference] = [values, reference]
        .map(|bits| bits.iter().copied().map(f32::from_bits).collect::<Vec<_>>());
    let largest = reference.iter().map(|it| f64::from(it.abs())).fold(0.0, f64::max);
    let off = values.iter().zip(&reference).map(|(a, b)| f64::from((a - b).abs()));
    let comparable = values.len() == reference.len() && largest > 0.0;
    // A NaN counts as the largest difference.
    let worst =
        off.fold(0.0, |most: f64, off| if off.is_nan() { f64::INFINITY } else { most.max(off) });
    comparable.then_some(worst / largest)
}

#[cfg(test)]
mod tests {
    #[test]
    fn a_difference_is_a_share_of_the_largest_value() {
        let difference = |values: &[f32], reference: &[f32]| {
            let bits = |values: &[f32]| values.iter().map(|it| it.to_bits()).collect::<Vec<_>>();
            super::difference(&bits(values), &bits(reference))
        };
        assert_eq!(difference(&[1.0, -4.0], &[1.0, -4.0]), Some(0.0));
        assert_eq!(difference(&[1.0, -3.0], &[1.0, -4.0]), Some(0.25));
        assert_eq!(difference(&[f32::NAN, -4.0], &[1.0, -4.0]), Some(f64::INFINITY));
        assert_eq!(difference(&[1.0], &[1.0, -4.0]), None);
        assert_eq!(difference(&[1.0], &[0.0]), None);
    }
}

/// Wall-clock seconds.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Seconds {
    /// The median of all samples.
    pub median: f64,
    /// The shortest.
    pub min: f64,
    /// One sample for each repeat, in order.
    pub samples: Vec<f64>,
}

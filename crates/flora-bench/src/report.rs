use flora_clip::Precision;
use serde::{Deserialize, Serialize};

use crate::Workload;

/// What was measured, on what. Its JSON is what `flora bench --json` prints.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Report {
    /// flora's version.
    pub flora: String,
    /// The device, as it was asked for.
    pub device: String,
    /// Threads that computed.
    pub threads: usize,
    /// A batch on each thread, rather than one on all of them.
    pub each: bool,
    /// The processor.
    pub cpu: String,
    /// The model.
    pub model: ModelFacts,
    /// The best that the same threads do at multiplying matrices.
    pub peak: Peak,
    /// In the order in which they were asked for.
    pub results: Vec<Measurement>,
}

/// Which model.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ModelFacts {
    /// What it is called.
    pub name: String,
    /// Side of its square images, in pixels.
    pub image_size: usize,
    /// Its longest text, in tokens.
    pub context: usize,
    /// Numbers in it.
    pub parameters: usize,
}

/// The fastest product of two square matrices in f32.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Peak {
    /// 1e9 floating-point operations a second.
    pub gflops: f64,
    /// Rows of the matrices that were multiplied so fast.
    pub size: usize,
}

/// The time of one workload.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Measurement {
    /// Which one.
    pub workload: Workload,
    /// Items in a batch; the clients of an aggregation.
    pub batch: usize,
    /// The length that texts were padded to; `None` without texts.
    pub tokens: Option<usize>,
    /// Distinct prompts of a client's step, where a number of classes was asked for.
    pub classes: Option<usize>,
    /// In what frozen layers were multiplied.
    #[serde(default)]
    pub precision: Precision,
    /// What an item is: `images`, `texts`, `samples` or `clients`.
    pub unit: String,
    /// Wall-clock time of a repeat.
    pub seconds: Seconds,
    /// Median processor seconds of a repeat, of all threads together; `None` where the system does not tell.
    pub cpu_seconds: Option<f64>,
    /// By the median; the batches of all threads together.
    pub items_per_second: f64,
    /// The arithmetic of a repeat in 1e9 operations, as [`count`](crate::count) counts it; the batches of all
    /// threads together.
    pub gflop: f64,
    /// `gflop` by the median seconds.
    pub gflops: f64,
    /// `gflops` by that of the peak, which is one of `f32`: in bf16 it may be more than 1.
    pub share_of_peak: f64,
    /// The most memory that the process has held so far, that of a GPU aside; `None` where the system does not tell.
    pub peak_memory_bytes: Option<u64>,
    /// What was computed, where [`Settings::outcomes`](crate::Settings::outcomes) asked for it: the features, or the losses
    /// of two steps. As the bits of `f32`, because JSON has no infinity. An aggregation has none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub outcome: Option<Vec<u32>>,
    /// By how much the outcome differs from another's, infinite where a value is no number: see [`Report::compare`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub difference: Option<f64>,
}

impl Report {
    /// Says how far outcomes differ from those of the same workloads in `reference`: the largest difference of any value,
    /// over the largest absolute value there.
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

/// `None` where there is nothing to compare with.
fn difference(values: &[u32], reference: &[u32]) -> Option<f64> {
    let [values, reference] = [values, reference]
        .map(|bits| bits.iter().copied().map(f32::from_bits).collect::<Vec<_>>());
    let largest = reference.iter().map(|it| f64::from(it.abs())).fold(0.0, f64::max);
    let off = values.iter().zip(&reference).map(|(a, b)| f64::from((a - b).abs()));
    let comparable = values.len() == reference.len() && largest > 0.0;
    // A value that is no number differs more than any.
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
    /// One for each repeat, in order.
    pub samples: Vec<f64>,
}

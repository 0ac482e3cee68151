//! The server's check that a client's sums could come from images.

use flora_compression::Codec;
use flora_core::HostTensor;
use flora_federation::{
    Accepted, Aggregate, CheckError, ClientInfo, Global, Kind, Message, Strategy, StrategyError,
    Sums,
};
use flora_heads::{CLASS_COUNTS, CLASS_SUMS, GRAM, Moments};

/// [`Sums`] of replies that images of the declared number could have.
///
/// Sums have no bound that follows from their round alone: a client with a negative count, or with means that are a
/// thousand times too large, would spoil the result of all others.
#[derive(Debug)]
pub(crate) struct PossibleSums {
    sums: Sums,
    /// The tolerance for rounding of a mean, relative to 1.
    tolerance: f64,
}

impl PossibleSums {
    /// `upload` is the codec that clients use for their means.
    pub(crate) fn new(sums: Sums, upload: Codec) -> Self {
        // bfloat16 is off by up to 2^-8, and squares by twice that.
        let tolerance = if upload.is_lossless() { 1e-3 } else { 2e-2 };
        Self { sums, tolerance }
    }
}

impl Strategy for PossibleSums {
    fn name(&self) -> &str {
        self.sums.name()
    }

    fn instruct(&mut self, global: &Global, client: &ClientInfo, kind: &Kind) -> Message {
        self.sums.instruct(global, client, kind)
    }

    fn check(&self, sent: &Message, answer: &Message) -> Result<(), CheckError> {
        self.sums.check(sent, answer)?;
        // Clients that share nothing need no check.
        let Some(means) = answer.get_parameters().filter(|it| !it.is_empty()) else {
            return Ok(());
        };
        let images = answer.num_examples().unwrap_or(0);
        check(means, images as f64, self.tolerance).map_err(CheckError::Other)
    }

    fn aggregate(
        &mut self,
        global: &Global,
        accepted: &[Accepted],
    ) -> Result<Aggregate, StrategyError> {
        self.sums.aggregate(global, accepted)
    }

    fn state(&self) -> Message {
        self.sums.state()
    }

    fn restore(&mut self, state: Message) -> Result<(), StrategyError> {
        self.sums.restore(state)
    }
}

/// Whether `means` could be those of features x of norm at most 1, with shares n_c of each class c that sum to 1, sums
/// s_c and G = sum x x^T:
///
/// - sum |s_c|^2 / n_c <= tr G, as of any numbers (Cauchy and Schwarz), and tr G <= 1
/// - |G| <= tr G for the Frobenius norm, because no eigenvalue is negative
fn check(means: &flora_core::ParameterRecord, images: f64, tolerance: f64) -> Result<(), String> {
    let moments = Moments::from_mean_record(means, images).map_err(|error| error.to_string())?;
    let read = |name: &str| means.get(name).map(HostTensor::to_f32).unwrap_or_default();
    let (counts, sums, gram) = (read(CLASS_COUNTS), read(CLASS_SUMS), read(GRAM));
    if let Some(class) = counts.iter().position(|&count| count < 0.0) {
        return Err(format!("it counts {} of its images in class {class}", counts[class]));
    }
    let total: f64 = counts.iter().map(|&count| f64::from(count)).sum();
    if (total - 1.0).abs() >= tolerance {
        return Err(format!(
            "its classes hold {total} of its images, instead of all of them once; it must send means over its images"
        ));
    }
    let trace = moments.trace() / images;
    if trace > 1.0 + tolerance {
        return Err(format!(
            "its features have a mean squared length of {trace}; it must be 1 at most"
        ));
    }
    let squares = |values: &[f32]| values.iter().map(|&x| f64::from(x).powi(2)).sum::<f64>();
    let mut between = 0.0;
    for (class, sum) in sums.chunks(moments.dim().max(1)).enumerate() {
        let (square, count) = (squares(sum), f64::from(counts[class]));
        if square > 0.0 {
            between += square / count;
        }
    }
    // A class without images makes it infinite.
    if between > trace + tolerance {
        return Err(format!(
            "the sums of its classes imply a mean squared norm of at least {between}, but its \
             second moments imply {trace}"
        ));
    }
    let mut diagonal = 0.0;
    let mut at = 0;
    for row in 0..moments.dim() {
        diagonal += f64::from(gram[at]).powi(2);
        at += moments.dim() - row;
    }
    let norm = (2.0 * squares(&gram) - diagonal).sqrt();
    if norm > trace + tolerance {
        return Err(format!(
            "its second moments have the norm {norm}, which is more than their trace, {trace}"
        ));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use flora_core::{Dtype, ParameterRecord};
    use flora_federation::Metrics;

    use super::*;

    const CLASSES: usize = 3;

    fn moments(images: &[(&[f32], usize)]) -> Moments {
        let mut moments = Moments::new(2, CLASSES);
        for (feature, class) in images {
            moments.add(feature, *class, 1.0).unwrap();
        }
        moments
    }

    fn honest() -> ParameterRecord {
        // Features of one direction in each class: the inequalities become equalities.
        let images: [(&[f32], usize); 4] =
            [(&[0.6, 0.8], 0), (&[0.6, 0.8], 0), (&[1.0, 0.0], 1), (&[0.6, 0.8], 0)];
        moments(&images).to_mean_record().unwrap()
    }

    /// The honest means with other values of one tensor.
    fn changed(name: &str, change: impl Fn(usize, f32) -> f32) -> ParameterRecord {
        let mut record = ParameterRecord::new();
        for (own, tensor) in honest().iter() {
            let values = tensor.to_f32();
            let values = values.iter().enumerate();
            let values = values.map(|(at, &x)| if own == name { change(at, x) } else { x });
            let tensor = HostTensor::from_f32(tensor.shape(), values.collect()).unwrap();
            record.insert(own, tensor).unwrap();
        }
        record
    }

    fn told(means: &ParameterRecord, upload: Codec) -> Result<(), String> {
        let strategy = PossibleSums::new(Sums::new(), upload);
        let sent = Message::parameters(Arc::new(honest()));
        let answer = Message::trained(means.clone(), 4, Metrics::new());
        strategy.check(&sent, &answer).map_err(|error| error.to_string())
    }

    #[test]
    fn means_of_images_pass_in_every_precision() {
        for (dtype, upload) in
            [(Dtype::F32, Codec::F32), (Dtype::F16, Codec::F16), (Dtype::Bf16, Codec::Bf16)]
        {
            assert_eq!(told(&honest().cast(dtype).cast(Dtype::F32), upload), Ok(()), "{dtype}");
        }
        let strategy = PossibleSums::new(Sums::new(), Codec::F32);
        let nothing = || Message::parameters(Arc::new(ParameterRecord::new()));
        assert!(strategy.check(&nothing(), &nothing()).is_ok());
    }

    #[test]
    fn means_that_no_images_have_are_refused() {
        let negative = |at: usize, _| [1.25, -0.25, 0.0][at];
        let empty = |at: usize, _| [1.0, 0.0, 0.0][at];
        for (means, words) in [
            (changed(CLASS_COUNTS, negative), "a negative number of images"),
            // Less than `Moments` accepts as a rounding error.
            (changed(CLASS_COUNTS, |at, _| [1.0, 0.001, -0.001][at]), "in class 2"),
            (changed(CLASS_COUNTS, |_, x| 1000.0 * x), "hold 1000 of its images"),
            (changed(CLASS_COUNTS, |_, x| 0.99 * x), "instead of all of them once"),
            (changed(CLASS_COUNTS, empty), "at least inf"),
            (changed(CLASS_SUMS, |_, x| 1.01 * x), "sums of its classes"),
            (changed(CLASS_SUMS, |_, x| -1000.0 * x), "sums of its classes"),
            (changed(GRAM, |_, x| 1.01 * x), "must be 1 at most"),
            (changed(GRAM, |at, x| if at == 1 { -1000.0 } else { x }), "more than their trace"),
            (changed(GRAM, |_, _| f32::NAN), "must be finite"),
        ] {
            let problem = told(&means, Codec::F32).unwrap_err();
            assert!(problem.contains(words), "{words}: {problem}");
        }
    }
}

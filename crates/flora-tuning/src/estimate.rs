//! The gradient of the base weights.

use std::collections::BTreeMap;

use burn::optim::SgdConfig;
use flora_core::record::is_correction;
use flora_core::{HostTensor, ParameterRecord};
use flora_lora::reseed_dropout;
use flora_strategies::lora::{Pair, best_factors, pairs};

use crate::{Cohort, TuningError, step};

/// The best factors of `-s dL/dW` for each adapter of `start`, with its shapes, and the loss. `W` is the base weight,
/// `L` the mean loss of `images` with zero adapters, and `s` the adapter's scale. `seed` determines dropout.
///
/// For an adapter whose A is the identity matrix and whose B is zero, the gradient of B is `s dL/dW`; likewise for A if
/// B is the identity. One step of plain SGD at a rate of 1 therefore gives it.
pub(crate) fn estimate(
    cohort: &Cohort,
    start: &ParameterRecord,
    images: &[usize],
    seed: u64,
) -> Result<(ParameterRecord, f64), TuningError> {
    let refused = |error: flora_federation::StrategyError| TuningError::Setting {
        name: flora_strategies::lora::ESTIMATE,
        problem: error.to_string(),
    };
    let pairs = pairs(start).map_err(refused)?;
    let mut unit = start.filter(is_correction);
    for pair in &pairs {
        let n = pair.out.min(pair.width);
        let square = || (0..n * n).map(|at| if at % (n + 1) == 0 { 1.0 } else { 0.0 }).collect();
        let zeros = || vec![0.0; pair.out * pair.width];
        let (a, b) = if moves_b(pair) { (square(), zeros()) } else { (zeros(), square()) };
        unit.insert(&pair.a, HostTensor::from_f32([n, pair.width], a)?)?;
        unit.insert(&pair.b, HostTensor::from_f32([pair.out, n], b)?)?;
    }
    let model = reseed_dropout(cohort.model(&unit)?, seed);
    let terms = cohort.class_terms(images);
    let mut sums: BTreeMap<&str, Vec<f64>> = BTreeMap::new();
    let mut mean = 0.0;
    for (batch, indices) in images.chunks(cohort.training.batch_size).enumerate() {
        let loss = cohort.objective.client_loss(&model, indices, &terms, cohort.device())?;
        let (mut stepped, mut sgd) = (model.clone(), SgdConfig::new().init());
        let loss = step(&mut stepped, &mut sgd, 1.0, loss)
            .map_err(|loss| TuningError::Diverged { loss, epoch: 0, batch })?;
        let share = indices.len() as f64 / images.len() as f64;
        mean += share * f64::from(loss);
        let moved = cohort.trainable.record(&stepped)?;
        for name in pairs.iter().map(moved_matrix) {
            let moved = moved.get(name).expect("as it was loaded").to_f32();
            let sum = sums.entry(name).or_insert_with(|| vec![0.0; moved.len()]);
            sum.iter_mut().zip(moved.iter()).for_each(|(sum, it)| *sum += share * f64::from(*it));
        }
    }
    let mut factors = ParameterRecord::new();
    for pair in &pairs {
        let dense = &sums[moved_matrix(pair)];
        let [a, b] = best_factors(dense, [pair.out, pair.width], pair.rank).map_err(refused)?;
        factors.insert(&pair.a, a)?;
        factors.insert(&pair.b, b)?;
    }
    factors.check_finite().map_err(TuningError::NotFinite)?;
    Ok((factors, mean))
}

/// Whether A is the identity matrix, which is then no larger than the layer allows, and B moves.
fn moves_b(pair: &Pair) -> bool {
    pair.width <= pair.out
}

/// The name of the matrix that moves, of shape `[out, in]`.
fn moved_matrix(pair: &Pair) -> &str {
    if moves_b(pair) { &pair.b } else { &pair.a }
}

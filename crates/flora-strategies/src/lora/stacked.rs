//! Factors of sums of products that are larger than the rank of an adapter.

use faer::Mat;
use flora_core::{Dtype, ParameterRecord};
use flora_federation::StrategyError;

use super::matrix::tensor;
use super::pairs::{Pair, pairs};
use super::product::{Product, Term};

/// FLoRA's stacking (<https://arxiv.org/abs/2409.05976>): of each layer `A = [p_1 A_1; ...; p_K A_K]`, of shape
/// `[R, in]`, and `B = [B_1, ..., B_K]`, of shape `[out, R]`, with R the sum of the clients' ranks, so that `B A` is
/// the mean of the products. `answers` are weights, of which `p_k` are the shares, and records, which may be of
/// different ranks; the layers are those of the first.
///
/// The record holds the pairs in f32, and nothing else.
///
/// # Errors
/// There is no answer or no weight, or an answer does not hold the pairs of the first.
pub fn stacking<'a>(
    answers: impl IntoIterator<Item = (f64, &'a ParameterRecord)>,
) -> Result<ParameterRecord, StrategyError> {
    let answers: Vec<_> = answers.into_iter().collect();
    let Some(&(_, first)) = answers.first() else { return Err(StrategyError::NoExamples) };
    let mut stacked = ParameterRecord::new();
    for pair in pairs(first)? {
        let product = Product::new(&terms(&pair, &answers)?);
        insert(&mut stacked, &pair, &product.right, &product.left)?;
    }
    Ok(stacked)
}

/// FedEx-LoRA's residual (<https://arxiv.org/abs/2410.09432>) in factors: a record whose products are `M - B A`, with
/// `M` the mean of the clients' products and `B A` that of `next`, the aggregated factors. With `s` times it added to
/// the layers' weights, `next` loses nothing of the clients' updates.
///
/// Each pair is of the rank that the residual has, at most `(K + 1) r` and at least 1, with the rows of A orthonormal.
/// The record holds the pairs in f32, and nothing else. Weights are as in [`stacking`]; the authors' code takes the
/// plain mean, which is that of equal weights.
///
/// # Errors
/// There is no answer or no weight, or an answer does not hold the pairs of `next`.
pub fn fedex_residual<'a>(
    next: &ParameterRecord,
    answers: impl IntoIterator<Item = (f64, &'a ParameterRecord)>,
) -> Result<ParameterRecord, StrategyError> {
    let answers: Vec<_> = answers.into_iter().collect();
    let mut residual = ParameterRecord::new();
    for pair in pairs(next)? {
        let mut terms = terms(&pair, &answers)?;
        terms.push(Term::new(pair.factors(|name| next.get(name))?, -1.0));
        let svd = Product::new(&terms).svd()?;
        let nothing = Mat::zeros(1, pair.width);
        let (b, a) = svd.factors(svd.s.len().max(1), nothing.as_ref());
        insert(&mut residual, &pair, &a, &b)?;
    }
    Ok(residual)
}

fn terms<'a>(
    pair: &Pair,
    answers: &[(f64, &'a ParameterRecord)],
) -> Result<Vec<Term<'a>>, StrategyError> {
    let total: f64 = answers.iter().map(|(weight, _)| weight).sum();
    if total <= 0.0 || !total.is_finite() {
        return Err(StrategyError::NoExamples);
    }
    let term = |&(weight, record): &(f64, &'a ParameterRecord)| {
        Ok(Term::new(pair.factors(|name| record.get(name))?, weight / total))
    };
    answers.iter().map(term).collect()
}

fn insert(
    record: &mut ParameterRecord,
    pair: &Pair,
    a: &Mat<f64>,
    b: &Mat<f64>,
) -> Result<(), StrategyError> {
    record.insert(&pair.a, tensor(a.as_ref(), Dtype::F32)?)?;
    record.insert(&pair.b, tensor(b.as_ref(), Dtype::F32)?)?;
    Ok(())
}

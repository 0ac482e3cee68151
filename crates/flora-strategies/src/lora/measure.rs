use faer::Scale as Times;
use flora_core::ParameterRecord;

use super::Scale;
use super::correction;
use super::fedsb::without_cores;
use super::pairs::pairs;
use super::product::{Product, Term, norm};

/// The relative error of aggregated LoRA factors, the distance of their product from the mean of the clients' products:
/// `|M - B A|_F / |M|_F` with `M = sum_k p_k B_k A_k`, over all pairs of `next` together (roots of sums of squares).
/// `answers` contains weights, which are normalised to `p_k`, and records with all pairs, of any rank.
///
/// Corrections of the base weights in `next` ([`is_correction`](super::is_correction)) count as a part of `B A`.
///
/// The result is accurate to about 1e-15 (with corrections, which are f32, to 1e-7 of their share in `M`), and 0 if
/// both products are zero. It is `None` without pairs or replies, for records that do not fit, and if only `M` is zero.
pub fn aggregation_error<'a>(
    next: &ParameterRecord,
    answers: impl IntoIterator<Item = (f64, &'a ParameterRecord)>,
) -> Option<f64> {
    let answers: Vec<_> = answers.into_iter().collect();
    error_of(next, &ParameterRecord::new(), &answers, &Scale::default())
}

/// The same with defaults: matrices missing from a reply come from `base`, and a product of rank r is multiplied by
/// `scale(r)`.
pub(crate) fn error_of(
    next: &ParameterRecord,
    base: &ParameterRecord,
    answers: &[(f64, &ParameterRecord)],
    scale: &Scale,
) -> Option<f64> {
    let next = &*without_cores(next, next).ok()?;
    let cored: Vec<_> = answers
        .iter()
        .map(|&(weight, answer)| Some((weight, without_cores(answer, base).ok()?)))
        .collect::<Option<_>>()?;
    let answers: Vec<_> = cored.iter().map(|(weight, answer)| (*weight, &**answer)).collect();
    let total: f64 = answers.iter().map(|(weight, _)| weight).sum();
    let (mut missed, mut aimed) = (0.0_f64, 0.0_f64);
    for pair in pairs(next).ok()? {
        let mut terms = Vec::with_capacity(answers.len() + 1);
        for (weight, answer) in &answers {
            let factors = pair.factors(|name| answer.get(name).or_else(|| base.get(name))).ok()?;
            terms.push(Term::new(factors, weight / total * scale.of(factors.rank)));
        }
        let of_answers = terms.iter().map(|term| term.factors.rank).sum();
        let factors = pair.factors(|name| next.get(name)).ok()?;
        terms.push(Term::new(factors, -scale.of(factors.rank)));
        let product = Product::new(&terms);
        let after = correction::of(&pair, next).ok()?;
        let (difference, mean) = match correction::dense(after) {
            None => product.norms(of_answers),
            Some(mut added) => {
                let before = correction::of(&pair, base).ok()?;
                if let Some(before) = correction::dense(before) {
                    added -= before;
                }
                let left = product.left.subcols(0, of_answers);
                let mean = left * product.right.subrows(0, of_answers);
                let whole = &product.left * &product.right;
                (norm((whole - added * Times(scale.of(pair.rank))).as_ref()), norm(mean.as_ref()))
            }
        };
        missed += difference * difference;
        aimed += mean * mean;
    }
    let error = match missed == 0.0 && aimed == 0.0 {
        true => 0.0,
        false => (missed / aimed).sqrt(),
    };
    (error.is_finite() && !answers.is_empty()).then_some(error)
}

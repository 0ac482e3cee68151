use faer::Mat;
use flora_federation::{Accepted, Aggregate, Global, Strategy, StrategyError};
use serde::{Deserialize, Serialize};

use super::matrix::{Changed, matrix};
use super::mean;
use super::pairs::pairs;
use super::product::{SMALLEST, no_svd};
use crate::values::{checked, in_order, shares};

/// Settings of [`Fair`].
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct FairConfig {
    /// The weight of `|dB|^2`; 0 or above. The larger it is, the closer the result is to FedAvg. Compare it with the
    /// squared singular values of A, which are about 1/3 for LoRA's initial A.
    pub lambda: f64,
}

impl Default for FairConfig {
    /// A lambda of 0.01.
    fn default() -> Self {
        Self { lambda: 0.01 }
    }
}

impl FairConfig {
    /// Checks the settings.
    ///
    /// # Errors
    /// The problem, beginning with the field's name.
    pub fn check(&self) -> Result<(), String> {
        match self.lambda.is_finite() && self.lambda >= 0.0 {
            true => Ok(()),
            false => Err(format!("lambda: {} is out of range; choose 0 or more", self.lambda)),
        }
    }
}

/// LoRA-FAIR (<https://arxiv.org/abs/2411.14961>) in ridge form: A becomes the mean `A` of the clients' matrices, and
/// B becomes `B + dB`, where B is the mean and `dB` minimises `|M - (B + dB) A|_F^2 + lambda |dB|_F^2`, with `M` the
/// mean of the clients' products: `dB = (M - B A) A^t (A A^t + lambda I)^-1`.
///
/// The paper minimises a cosine distance by gradient descent; this is the closed-form solution for the Frobenius norm,
/// which needs no learning rate. With a lambda of 0 and a rank-deficient A, dB is the minimum-norm solution. Means are
/// weighted by examples. For one client, or clients with equal A, `dB = 0`.
pub struct Fair {
    config: FairConfig,
}

impl Fair {
    /// Creates the rule. Settings that fail [`FairConfig::check`] are an error of the first aggregation.
    pub fn new(config: FairConfig) -> Self {
        Self { config }
    }

    /// `right (A A^t + lambda I)^-1`, by the singular values of A: using the Gram matrix would square their range.
    fn solve(&self, right: &Mat<f64>, a: &Mat<f64>) -> Result<Mat<f64>, StrategyError> {
        let svd = a.thin_svd().map_err(|_| no_svd())?;
        let (u, values) = (svd.U(), svd.S().column_vector());
        let least = SMALLEST * values.iter().copied().fold(0.0, f64::max);
        let mut rotated = right * u;
        for column in 0..rotated.ncols() {
            let value = values[column];
            let factor = match value > least {
                true => 1.0 / (value * value + self.config.lambda),
                false => 0.0,
            };
            rotated.col_mut(column).iter_mut().for_each(|it| *it *= factor);
        }
        Ok(rotated * u.transpose())
    }
}

impl Strategy for Fair {
    fn name(&self) -> &str {
        "lora-fair"
    }

    fn aggregate(
        &mut self,
        global: &Global,
        accepted: &[Accepted],
    ) -> Result<Aggregate, StrategyError> {
        checked(self.name(), self.config.check())?;
        let answers = in_order(accepted);
        let weights = shares(&answers)?;
        let next = mean::record(&global.parameters, &answers, |_| true)?;
        let mut changed = Changed::default();
        for pair in pairs(&global.parameters)? {
            let before = pair.factors(|name| global.parameters.get(name))?;
            let a = mean::matrix(&pair.a, before.a, &answers)?;
            let b = mean::matrix(&pair.b, before.b, &answers)?;
            // M - B A is the sum of p_k (B_k - B)(A_k - A): nothing large cancels, and equal replies give exactly zero.
            let mut right = Mat::<f64>::zeros(pair.out, pair.rank);
            for (answer, weight) in answers.iter().zip(&weights) {
                let own = pair.factors(|name| answer.parameters.get(name))?;
                let overlap = (matrix(own.a) - &a) * a.transpose();
                let part = (matrix(own.b) - &b) * overlap;
                right += faer::Scale(*weight) * part;
            }
            let corrected = b + self.solve(&right, &a)?;
            changed.set(&pair.b, &corrected, before.b)?;
        }
        Ok(Aggregate::new(changed.within(&next)?))
    }
}

use faer::Mat;

use super::{check, text_classifier};
use crate::factor::solve_shifted;
use crate::moments::diagonal;
use crate::{HeadsError, LinearClassifier, Moments};

/// Ridge regression on one-hot targets, drawn towards the text classifier.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Ridge {
    /// The penalty as a share of the mean eigenvalue of the Gram matrix.
    pub lambda: f64,
    /// Factor of the texts in the classifier that the head is drawn to; 0 draws it to zero.
    pub prior: f64,
    /// Power of class balancing: the target of class c is (N / (C n_c))^balance.
    pub balance: f64,
    /// Whether the head has a bias that is not penalised.
    pub intercept: bool,
}

impl Default for Ridge {
    fn default() -> Self {
        Self { lambda: 0.1, prior: 0.0, balance: 0.0, intercept: false }
    }
}

impl Ridge {
    /// The head of these moments. `texts` are `[classes, dim]`, unit rows.
    ///
    /// # Errors
    ///
    /// If `texts` has another size or holds a non-finite value, or if a setting makes no sense.
    pub fn solve(&self, moments: &Moments, texts: &[f32]) -> Result<LinearClassifier, HeadsError> {
        check("lambda", self.lambda, self.lambda > 0.0, "it must be above 0")?;
        check("prior", self.prior, true, "it must be finite")?;
        check("balance", self.balance, (0.0..=1.0).contains(&self.balance), "choose 0 to 1")?;
        let mut head = text_classifier(moments, texts, self.prior)?;
        let (dim, total) = (moments.dim(), moments.total());
        let seen: Vec<usize> =
            (0..moments.classes()).filter(|&class| moments.class_counts()[class] > 0.0).collect();
        if seen.is_empty() || moments.trace() <= 0.0 {
            return Ok(head);
        }
        let mut gram = moments.gram().to_vec();
        let mut mean = vec![0.0; dim];
        if self.intercept {
            for sum in moments.class_sums().chunks_exact(dim) {
                for (mean, sum) in mean.iter_mut().zip(sum) {
                    *mean += sum / total;
                }
            }
            for (row, start) in diagonal(dim).enumerate() {
                for (entry, other) in gram[start..].iter_mut().zip(&mean[row..]) {
                    *entry -= total * mean[row] * other;
                }
            }
        }
        let shift = self.lambda * moments.trace() / dim as f64;
        let target: Vec<f64> = seen
            .iter()
            .map(|&class| {
                (total / (seen.len() as f64 * moments.class_counts()[class])).powf(self.balance)
            })
            .collect();
        let right = Mat::from_fn(dim, seen.len(), |row, column| {
            let class = seen[column];
            let text = self.prior * f64::from(texts[class * dim + row]);
            target[column]
                * (moments.class_sum(class)[row] - moments.class_counts()[class] * mean[row])
                + shift * text
        });
        let weight = solve_shifted(&gram, shift, &right)?;
        for (column, &class) in seen.iter().enumerate() {
            let row = &mut head.weight[class * dim..][..dim];
            for (to, value) in row.iter_mut().zip(weight.col(column).iter()) {
                *to = *value as f32;
            }
            if self.intercept {
                let dot: f64 = weight.col(column).iter().zip(&mean).map(|(w, m)| w * m).sum();
                let mean_target = target[column] * moments.class_counts()[class] / total;
                head.bias[class] = (mean_target - dot) as f32;
            }
        }
        Ok(head)
    }
}

//! Differential privacy of single examples, by the client that holds them.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use burn::tensor::{Device, Tensor, TensorData};
use flora_clip::normalize;
use flora_heads::Moments;
use flora_privacy::{Budget, SampleConfig, Secret};
use rand::RngExt;

use crate::{Objective, TuningError, TuningModel};

/// How a client hides its examples.
///
/// **Training** (DP-SGD, Abadi et al. 2016, <https://arxiv.org/abs/1607.00133>). With frozen image features `f` of norm 1, an example
/// reaches the adapters through the texts' features alone: its loss has the gradient `s (p - y) f^T` in them, where `s` is the logit
/// scale, `p` the softmax and `y` the one-hot label. Its norm is `s |p - y|`, so that clipping every example costs nothing. The
/// clipped gradients of a batch are added up, get Gaussian noise, and go back through the text tower **once**, whose
/// parameters are public: what comes after noise spends nothing. In each step an example takes part by a coin of its own.
///
/// **Sums** (for ridge regression, Sheffet 2017, <https://arxiv.org/abs/1507.00482>): every example of norm 1 moves Gram matrix, class sums
/// and class counts together by at most `sqrt(3)`. They get noise once, and the nearest sums that images could have are sent.
///
/// How many examples a client has is not hidden: it says so when it joins.
#[derive(Debug, Clone)]
pub(crate) struct Hidden {
    config: SampleConfig,
    secret: Secret,
    /// How often an epoch is gone through in the whole run.
    epochs: usize,
    batch_size: usize,
    /// By the number of examples; of all clients.
    budgets: Arc<Mutex<BTreeMap<usize, Budget>>>,
}

impl Hidden {
    pub(crate) fn new(
        config: SampleConfig,
        secret: Secret,
        epochs: usize,
        batch_size: usize,
    ) -> Self {
        Self { config, secret, epochs, batch_size, budgets: Arc::default() }
    }

    /// The same for another client.
    pub(crate) fn with_secret(&self, secret: Secret) -> Self {
        Self { secret, ..self.clone() }
    }

    /// How many steps an epoch has.
    pub(crate) fn steps(&self, examples: usize) -> usize {
        examples.div_ceil(self.batch_size)
    }

    fn rate(&self, examples: usize) -> f64 {
        (self.batch_size as f64 / examples.max(1) as f64).min(1.0)
    }

    /// What a client that trains on so many examples may spend.
    pub(crate) fn budget(&self, examples: usize) -> Result<Budget, TuningError> {
        let steps = self.epochs * self.steps(examples);
        self.kept(examples, || self.config.budget(self.rate(examples), steps))
    }

    /// What a client that sends its sums once may spend.
    fn budget_of_sums(&self) -> Result<Budget, TuningError> {
        self.kept(0, || self.config.budget(1.0, 1))
    }

    fn kept(
        &self,
        key: usize,
        make: impl FnOnce() -> Result<Budget, flora_privacy::PrivacyError>,
    ) -> Result<Budget, TuningError> {
        // Held while it is found, which takes seconds: others with as many examples need it, too.
        let mut budgets = self.budgets.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(&budget) = budgets.get(&key) {
            return Ok(budget);
        }
        let budget = make().map_err(|error| TuningError::Privacy(error.to_string()))?;
        budgets.insert(key, budget);
        Ok(budget)
    }

    /// Whether so many steps may be taken after those that are `spent`.
    pub(crate) fn check(
        &self,
        examples: usize,
        spent: u64,
        steps: usize,
    ) -> Result<(), TuningError> {
        let after = usize::try_from(spent).unwrap_or(usize::MAX).saturating_add(steps);
        let budget = self.budget(examples)?;
        // Within the steps that were planned for, a noise that follows from the budget is enough.
        if self.config.noise.is_none() && after <= budget.mechanism.rounds {
            return Ok(());
        }
        match budget.exceeded(after) {
            None => Ok(()),
            Some(why) => Err(TuningError::Privacy(why)),
        }
    }

    /// The epsilon of so many steps.
    pub(crate) fn spent(&self, examples: usize, steps: u64) -> Result<f64, TuningError> {
        let steps = usize::try_from(steps).unwrap_or(usize::MAX);
        let spent = self.budget(examples)?.spent(steps);
        spent.map_err(|error| TuningError::Privacy(error.to_string()))
    }

    /// Those of `images` that take part in the step with this number, each by a coin that nobody else can see.
    pub(crate) fn batch(&self, images: &[usize], step: u64) -> Vec<usize> {
        let mut coins = self.secret.coins(step);
        let rate = self.rate(images.len());
        images.iter().copied().filter(|_| coins.random::<f64>() < rate).collect()
    }

    /// A loss with the noised gradient of the images `indices`, `[1]`, and their mean loss in nats, which is not hidden; NaN for
    /// no images.
    pub(crate) fn loss(
        &self,
        objective: &Objective,
        model: &TuningModel,
        (indices, examples): (&[usize], usize),
        step: u64,
        device: &Device,
    ) -> Result<(Tensor<1>, f64), TuningError> {
        let classes: Vec<usize> = (0..objective.prompts.classes()).collect();
        let texts = objective.text_features(model, &classes, device);
        let [count, dim] = texts.dims();
        let known = numbers(texts.clone().detach());
        let images = match indices.is_empty() {
            true => Vec::new(),
            false => numbers(normalize(objective.image_features(model, indices, device)?.detach())),
        };
        let scale = objective.logit_scale;
        let (mut sum, mut nats) = (vec![0_f64; count * dim], 0_f64);
        for (image, &index) in images.chunks(dim).zip(indices) {
            let label = objective.labels[index];
            let logits = known.chunks(dim).map(|text| scale * dot(text, image));
            let (rest, loss) = less_label(logits, label);
            nats += loss;
            let norm = f64::from(scale) * rest.iter().map(|it| it * it).sum::<f64>().sqrt();
            let factor = (self.config.clip / norm).min(1.0) * f64::from(scale);
            for (row, rest) in sum.chunks_mut(dim).zip(&rest) {
                for (sum, &value) in row.iter_mut().zip(image) {
                    *sum += factor * rest * f64::from(value);
                }
            }
        }
        let noise = self.budget(examples)?.mechanism.noise;
        self.secret.add_noise(step, &mut sum, noise * self.config.clip);
        let expected = self.rate(examples) * examples as f64;
        let gradient = sum.into_iter().map(|it| (it / expected) as f32).collect();
        let gradient = Tensor::<2>::from_data(TensorData::new(gradient, [count, dim]), device);
        Ok(((texts * gradient).sum(), nats / indices.len() as f64))
    }

    /// Sums over rows of features, of norm 1 and less, with noise, as near as images can have them. And what that spends.
    pub(crate) fn sums(&self, moments: &Moments) -> Result<(Moments, f64), TuningError> {
        let budget = self.budget_of_sums()?;
        let deviation = budget.mechanism.noise * 3_f64.sqrt();
        let add = |values: &mut [f64]| self.secret.add_noise(0, values, deviation);
        let spent = budget.spent(1).map_err(|error| TuningError::Privacy(error.to_string()))?;
        Ok((moments.noised(add)?, spent))
    }
}

/// Scales rows down to norm 1.
pub(crate) fn clip_rows(rows: &mut [f32], dim: usize) {
    for row in rows.chunks_mut(dim) {
        let norm = row.iter().map(|it| f64::from(*it).powi(2)).sum::<f64>().sqrt();
        if norm > 1.0 {
            row.iter_mut().for_each(|it| *it = (f64::from(*it) / norm) as f32);
        }
    }
}

/// The softmax of logits less the one-hot label, and the loss in nats.
fn less_label(logits: impl Iterator<Item = f32>, label: usize) -> (Vec<f64>, f64) {
    let logits: Vec<f64> = logits.map(f64::from).collect();
    let most = logits.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    let total: f64 = logits.iter().map(|logit| (logit - most).exp()).sum();
    let mut rest: Vec<f64> = logits.iter().map(|logit| (logit - most).exp() / total).collect();
    rest[label] -= 1.0;
    (rest, total.ln() + most - logits[label])
}

fn dot(left: &[f32], right: &[f32]) -> f32 {
    left.iter().zip(right).map(|(left, right)| left * right).sum()
}

fn numbers(tensor: Tensor<2>) -> Vec<f32> {
    tensor.into_data().convert::<f32>().try_into_vec().expect("just converted")
}

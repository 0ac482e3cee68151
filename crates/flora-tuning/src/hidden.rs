//! Differential privacy of single examples, by the client that holds them.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use burn::tensor::{Device, Tensor, TensorData};
use flora_clip::normalize;
use flora_federation::Task;
use flora_heads::Moments;
use flora_privacy::{Budget, SampleConfig, Secret};
use rand::RngExt;

use crate::joined::numbers;
use crate::{Objective, TuningError, TuningModel};

/// How a client protects its examples.
///
/// **Training** (DP-SGD, Abadi et al. 2016, <https://arxiv.org/abs/1607.00133>). With frozen image features `f` of norm
/// 1, an example affects the adapters only through the texts' features: its loss has the gradient `s (p - y) f^T` in
/// them, where `s` is the logit scale, `p` the softmax and `y` the one-hot label. Its norm is `s |p - y|`, so clipping
/// every example costs nothing. The clipped gradients of a batch are summed, get Gaussian noise, and are backpropagated
/// **once** through the text tower, whose parameters are public: processing after the noise spends no further budget.
/// In each step every example takes part independently at random.
///
/// **Sums** (for ridge regression, Sheffet 2017, <https://arxiv.org/abs/1507.00482>): an example of norm 1 changes Gram
/// matrix, class sums and class counts together by at most `sqrt(3)`. They get noise once, are projected to the nearest
/// sums that images can have, and are sent.
///
/// The number of a client's examples is not protected: the client reports it when it joins.
#[derive(Debug, Clone)]
pub(crate) struct Hidden {
    config: SampleConfig,
    secret: Secret,
    /// Number of epochs in the whole run.
    epochs: usize,
    batch_size: usize,
    /// Budgets by number of examples, for all clients.
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

    /// The same for one task, with its own noise and draws.
    pub(crate) fn of(&self, task: &Task) -> Self {
        self.with_secret(self.secret.of(task))
    }

    /// Number of steps in an epoch.
    pub(crate) fn steps(&self, examples: usize) -> usize {
        examples.div_ceil(self.batch_size)
    }

    fn rate(&self, examples: usize) -> f64 {
        (self.batch_size as f64 / examples.max(1) as f64).min(1.0)
    }

    /// The budget of a client that trains on this many examples.
    pub(crate) fn budget(&self, examples: usize) -> Result<Budget, TuningError> {
        let steps = self.epochs * self.steps(examples);
        self.kept(examples, || self.config.budget(self.rate(examples), steps))
    }

    /// The budget of a client that sends its sums once.
    fn budget_of_sums(&self) -> Result<Budget, TuningError> {
        self.kept(0, || self.config.budget(1.0, 1))
    }

    /// Checks that some noise satisfies the budget.
    pub(crate) fn check_plan(&self, examples: usize, sums: bool) -> Result<(), TuningError> {
        let budget = if sums { self.budget_of_sums() } else { self.budget(examples) };
        budget.map(|_| ())
    }

    fn kept(
        &self,
        key: usize,
        make: impl FnOnce() -> Result<Budget, flora_privacy::PrivacyError>,
    ) -> Result<Budget, TuningError> {
        // Held during the computation, which takes seconds: other clients with the same number of examples need it,
        // too.
        let mut budgets = self.budgets.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(&budget) = budgets.get(&key) {
            return Ok(budget);
        }
        let budget = make().map_err(|error| TuningError::Privacy(error.to_string()))?;
        budgets.insert(key, budget);
        Ok(budget)
    }

    /// Checks whether `more` steps may follow the `spent` ones.
    pub(crate) fn check(
        &self,
        examples: usize,
        spent: u64,
        steps: usize,
    ) -> Result<(), TuningError> {
        let done = usize::try_from(spent).unwrap_or(usize::MAX);
        let after = done.saturating_add(steps);
        let budget = self.budget(examples)?;
        // Within the planned steps, noise computed for the budget is sufficient.
        if self.config.noise.is_none() && after <= budget.mechanism.rounds {
            return Ok(());
        }
        match budget.exceeded(done, steps) {
            None => Ok(()),
            Some(why) => Err(TuningError::Privacy(why)),
        }
    }

    /// The number of replies, one for each of `rounds` rounds at most, that the budget covers.
    pub(crate) fn most_answers(
        &self,
        examples: usize,
        rounds: usize,
    ) -> Result<usize, TuningError> {
        let steps = self.epochs * self.steps(examples);
        // Noise computed for the budget is sufficient for all rounds.
        if self.config.noise.is_none() || self.config.epsilon.is_none() || steps == 0 {
            return Ok(rounds);
        }
        let most = self.budget(examples)?.most_rounds(steps);
        let most = most.map_err(|error| TuningError::Privacy(error.to_string()))?;
        Ok(most / (steps / rounds).max(1))
    }

    /// The epsilon of this many steps.
    pub(crate) fn spent(&self, examples: usize, steps: u64) -> Result<f64, TuningError> {
        let steps = usize::try_from(steps).unwrap_or(usize::MAX);
        let spent = self.budget(examples)?.spent(steps);
        spent.map_err(|error| TuningError::Privacy(error.to_string()))
    }

    /// The images that take part in the step with this number, each drawn independently and secretly.
    pub(crate) fn batch(&self, images: &[usize], step: u64) -> Vec<usize> {
        let mut coins = self.secret.coins(step);
        let rate = self.rate(images.len());
        images.iter().copied().filter(|_| coins.random::<f64>() < rate).collect()
    }

    /// A loss with the noised gradient of the images `indices`, `[1]`, and their mean loss in nats, which is not
    /// protected; NaN without images.
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

    /// Noised sums over rows of features with norm 1 or less, projected to sums that images can have, and the budget
    /// spent.
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

/// The softmax of logits minus the one-hot label, and the loss in nats.
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

#[cfg(test)]
mod tests {
    use std::path::Path;

    use burn::module::Module;
    use burn::optim::SgdConfig;
    use flora_clip::Checkpoint;
    use flora_core::{HostTensor, ParameterRecord, seed};
    use flora_data::{Features, Template};
    use flora_lora::{LoraConfig, adapter_record, attach, load_adapter_record};
    use flora_privacy::{Accountant, ClearMetrics, Mechanism};

    use super::*;
    use crate::methods::Flora;
    use crate::{ClassTerms, ImageInput, LossKind, Prompts, step};

    const IMAGES: usize = 7;

    /// An objective on random image features, and a model with non-zero adapters.
    fn setup() -> (Objective, TuningModel, Device) {
        let folder = "../flora-clip/tests/fixtures/tiny-clip";
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join(folder);
        let checkpoint = Checkpoint::open(&folder).unwrap();
        let device = Device::flex().autodiff();
        let clip = checkpoint.load(&device).unwrap();
        let scale = clip.temperature_factor();
        let classes = ["cat", "house", "sunflower seeds"].map(str::to_owned);
        let template = Template::new("a {}.").unwrap();
        let config = &checkpoint.config.text_config;
        let prompts = Prompts::new(&checkpoint.tokenizer, config, &template, &classes).unwrap();
        let lora = LoraConfig::default();
        let model = attach(TuningModel::new(clip, false), &lora, 3).unwrap();
        let mut random = seed::stream(5, "hidden");
        let mut drawn = ParameterRecord::new();
        for (name, tensor) in adapter_record(&model).unwrap().iter() {
            let values = (0..tensor.len()).map(|_| random.random_range(-0.3..0.3)).collect();
            drawn.insert(name, HostTensor::from_f32(tensor.shape(), values).unwrap()).unwrap();
        }
        let model = load_adapter_record(model, &drawn).unwrap();
        let dim = model.projection_dim();
        let values = (0..IMAGES * dim).map(|_| random.random_range(-1.0..1.0)).collect();
        let images = ImageInput::Features(Arc::new(Features { dim, values }.into()));
        let labels = (0..IMAGES).map(|image| image % 3).collect();
        let objective = Objective::new(Arc::new(Flora(lora)), images, labels, prompts, scale);
        (Objective { loss: LossKind::ClassCe, ..objective }, model, device)
    }

    fn hidden(clip: f64, noise: f64) -> Hidden {
        let config = SampleConfig {
            clip,
            noise: Some(1.0),
            epsilon: None,
            delta: 1e-5,
            accountant: Accountant::Rdp,
            metrics: ClearMetrics::Off,
        };
        let hidden = Hidden::new(config, Secret::new([3; 32]), 1, IMAGES);
        let mechanism = Mechanism { noise, ..Mechanism::default() };
        let (epsilon, delta, accountant) = (None, 1e-5, Accountant::Rdp);
        let budget = Budget { mechanism, epsilon, delta, accountant };
        hidden.budgets.lock().unwrap().insert(IMAGES, budget);
        hidden
    }

    /// Computed by a step of plain SGD at a rate of 1.
    fn gradient(model: &TuningModel, loss: Tensor<1>) -> Vec<f64> {
        let numbers = |model: &TuningModel| -> Vec<f64> {
            let record = adapter_record(model).unwrap();
            let values = record.iter().flat_map(|(_, tensor)| tensor.to_f32().into_owned());
            values.map(f64::from).collect()
        };
        let mut moved = model.clone();
        step(&mut moved, &mut SgdConfig::new().init(), 1.0, loss).unwrap();
        numbers(model).into_iter().zip(numbers(&moved)).map(|(from, to)| from - to).collect()
    }

    fn assert_near(found: &[f64], expected: &[f64]) {
        let norm = expected.iter().map(|it| it * it).sum::<f64>().sqrt();
        let apart = found.iter().zip(expected).map(|(a, b)| (a - b).powi(2)).sum::<f64>().sqrt();
        assert!(norm > 1e-3 && apart < 1e-4 * norm, "{apart} of {norm}");
    }

    #[test]
    fn without_noise_and_clipping_it_is_the_gradient_of_the_loss() {
        let (objective, model, device) = setup();
        let all: Vec<usize> = (0..IMAGES).collect();
        let (loss, nats) =
            hidden(1e9, 0.0).loss(&objective, &model, (&all, IMAGES), 0, &device).unwrap();
        let plain = objective.client_loss(&model, &all, &ClassTerms::default(), &device).unwrap();
        let told = f64::from(plain.clone().into_scalar::<f32>());
        assert!((nats - told).abs() < 1e-4 * told, "{nats} {told}");
        assert_near(&gradient(&model, loss), &gradient(&model, plain));
    }

    #[test]
    fn every_image_is_clipped_by_itself() {
        let (objective, model, device) = setup();
        let all: Vec<usize> = (0..IMAGES).collect();
        let inner = device.clone().inner();
        let logits = objective.logits(&model.valid(), &all, &inner).unwrap();
        let mut norms = Vec::new();
        for (row, &image) in logits.chunks(3).zip(&all) {
            let (rest, _) = less_label(row.iter().copied(), objective.labels[image]);
            let norm = rest.iter().map(|it| it * it).sum::<f64>().sqrt();
            norms.push(norm * f64::from(objective.logit_scale));
        }
        // Some are clipped, and some are not.
        norms.sort_by(f64::total_cmp);
        let clip = norms[IMAGES / 2];
        let (loss, _) =
            hidden(clip, 0.0).loss(&objective, &model, (&all, IMAGES), 0, &device).unwrap();
        let mut expected: Vec<f64> = Vec::new();
        for (row, &image) in logits.chunks(3).zip(&all) {
            let (rest, _) = less_label(row.iter().copied(), objective.labels[image]);
            let norm = rest.iter().map(|it| it * it).sum::<f64>().sqrt();
            let factor = (clip / (norm * f64::from(objective.logit_scale))).min(1.0);
            let terms = ClassTerms::default();
            let alone = objective.client_loss(&model, &[image], &terms, &device).unwrap();
            let alone = gradient(&model, alone);
            expected.resize(alone.len(), 0.0);
            let share = factor / IMAGES as f64;
            expected.iter_mut().zip(alone).for_each(|(sum, it)| *sum += share * it);
        }
        assert_near(&gradient(&model, loss), &expected);
    }

    /// Whatever the drawn batch, the sum is divided by its expected size, and the noise does not depend on it.
    #[test]
    fn a_batch_of_nobody_is_noise() {
        let (objective, model, device) = setup();
        let of = |step| {
            let hidden = hidden(1.0, 2.0);
            let (loss, _) = hidden.loss(&objective, &model, (&[], IMAGES), step, &device).unwrap();
            gradient(&model, loss)
        };
        assert_eq!(of(0), of(0));
        assert_ne!(of(0), of(1));
        assert!(of(0).iter().all(|it| it.is_finite()) && of(0).iter().any(|it| *it != 0.0));
    }

    #[test]
    fn replies_end_with_the_budget() {
        let config = |noise, epsilon| SampleConfig {
            clip: 1.0,
            noise,
            epsilon,
            delta: 1e-5,
            accountant: Accountant::Rdp,
            metrics: ClearMetrics::Off,
        };
        // Two epochs of five steps in each of 40 rounds.
        let of = |noise, epsilon| Hidden::new(config(noise, epsilon), Secret::new([3; 32]), 80, 20);
        let budget = of(Some(1.5), Some(4.0)).budget(100).unwrap();
        let most = of(Some(1.5), Some(4.0)).most_answers(100, 40).unwrap();
        assert!((1..40).contains(&most), "{most}");
        assert!(budget.spent(10 * most).unwrap() <= 4.0);
        assert!(budget.spent(10 * (most + 1)).unwrap() > 4.0);
        for hidden in [of(None, Some(4.0)), of(Some(1.5), None), of(Some(1.5), Some(1e4))] {
            assert_eq!(hidden.most_answers(100, 40).unwrap(), 40);
        }
    }

    #[test]
    fn rows_are_scaled_down_and_never_up() {
        let mut rows = [3.0, 4.0, 0.3, 0.4];
        clip_rows(&mut rows, 2);
        assert_eq!(rows, [0.6, 0.8, 0.3, 0.4]);
    }
}

//! Adam's step in one pass.

use burn::optim::{AdamConfig, AdamState, LearningRate, Optimizer, decay::WeightDecayConfig};
use burn::tensor::{Device, Tensor};

#[cfg(feature = "flex")]
use crate::slices::adam::Step;

/// burn's [`Adam`](burn::optim::Adam), with L2 added to the gradient (coupled, as in `torch.optim.Adam`).
///
/// burn's implementation reads and writes each tensor a dozen times, on one thread of its CPU backend. There, this
/// implementation is one pass over parameter, gradient and moments, on all threads; on other backends it is burn's.
/// Both give the same bits (zeros may differ in sign), and have the same state.
///
/// Source: Kingma and Ba, [arXiv 1412.6980](https://arxiv.org/abs/1412.6980), algorithm 1.
#[derive(Clone)]
pub struct Adam {
    composed: burn::optim::Adam,
    #[cfg(feature = "flex")]
    settings: Settings,
}

/// The constants of Adam.
#[cfg(feature = "flex")]
#[derive(Debug, Clone, Copy)]
struct Settings {
    beta_1: f32,
    beta_2: f32,
    epsilon: f32,
    penalty: f32,
}

impl Adam {
    /// `betas` are the decay rates of the moments, `penalty` is the factor of L2; 0 switches it off.
    pub fn new(betas: [f32; 2], epsilon: f32, penalty: f32) -> Self {
        let [beta_1, beta_2] = betas;
        let decay = (penalty > 0.0).then(|| WeightDecayConfig::new(penalty));
        let composed = AdamConfig::new()
            .with_beta_1(beta_1)
            .with_beta_2(beta_2)
            .with_epsilon(epsilon)
            .with_weight_decay(decay)
            .build();
        Self {
            composed,
            #[cfg(feature = "flex")]
            settings: Settings { beta_1, beta_2, epsilon, penalty },
        }
    }
}

#[cfg(feature = "flex")]
impl Settings {
    /// The step number `time` with these constants, with burn's roundings.
    fn step(self, time: usize, learning_rate: LearningRate) -> Step {
        let Self { beta_1, beta_2, epsilon, penalty } = self;
        let time = time as i32;
        let correction_2 = (1.0 - beta_2.powi(time)).sqrt();
        Step {
            penalty,
            beta_1,
            beta_2,
            scale: correction_2 / (1.0 - beta_1.powi(time)),
            epsilon: epsilon * correction_2,
            learning_rate: learning_rate as f32,
        }
    }
}

impl Optimizer for Adam {
    type State<const D: usize> = AdamState<D>;

    fn step<const D: usize>(
        &self,
        learning_rate: LearningRate,
        parameter: Tensor<D>,
        gradient: Tensor<D>,
        state: Option<AdamState<D>>,
    ) -> (Tensor<D>, Option<AdamState<D>>) {
        #[cfg(feature = "flex")]
        if crate::flex::steps(&[&parameter, &gradient]) {
            use burn::optim::AdaptiveMomentumState;

            let (time, moments) = match state {
                Some(AdamState { momentum }) => {
                    (momentum.time + 1, [momentum.moment_1, momentum.moment_2])
                }
                None => (1, [gradient.zeros_like(), gradient.zeros_like()]),
            };
            let step = self.settings.step(time, learning_rate);
            let (parameter, [moment_1, moment_2]) =
                crate::flex::adam(parameter, gradient, moments, step);
            let momentum = AdaptiveMomentumState::new(time, moment_1, moment_2);
            return (parameter, Some(AdamState::new(momentum)));
        }
        self.composed.step(learning_rate, parameter, gradient, state)
    }

    fn to_device<const D: usize>(state: AdamState<D>, device: &Device) -> AdamState<D> {
        burn::optim::Adam::to_device(state, device)
    }
}

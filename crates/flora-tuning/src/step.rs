use burn::optim::{GradientsParams, ModuleOptimizer};
use burn::tensor::Tensor;

use crate::TuningModel;

/// Takes one training step: computes the gradients of `loss`, which must come from `model`, and updates the trained
/// parameters. Returns the value of the loss.
///
/// # Errors
///
/// The loss if it is not finite; the model is then unchanged.
pub fn step(
    model: &mut TuningModel,
    optimizer: &mut ModuleOptimizer,
    learning_rate: f64,
    loss: Tensor<1>,
) -> Result<f32, f32> {
    let gradients = loss.backward();
    let loss = loss.into_scalar::<f32>();
    if !loss.is_finite() {
        return Err(loss);
    }
    let gradients = GradientsParams::from_grads(gradients, model);
    *model = optimizer.step(learning_rate, model.clone(), gradients);
    Ok(loss)
}

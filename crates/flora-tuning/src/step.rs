use burn::optim::{GradientsParams, ModuleOptimizer};
use burn::tensor::Tensor;

use crate::TuningModel;

/// One step of training: take the gradients of `loss`, which came from `model`, and move what is trained. Gives
/// the loss as a number.
///
/// # Errors
///
/// The loss where it is not finite; the model stays as it was.
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

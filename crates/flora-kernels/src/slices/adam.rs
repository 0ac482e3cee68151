use std::mem::MaybeUninit;

use rayon::prelude::*;

use super::written;

/// Elements per thread at a time.
const CHUNK: usize = 1 << 14;

/// The numbers of a step. The gradient is `g + penalty p`; the step is the learning rate times `scale m / (sqrt(v) +
/// epsilon)`, where `scale` and `epsilon` correct the bias of both moments.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Step {
    pub(crate) penalty: f32,
    pub(crate) beta_1: f32,
    pub(crate) beta_2: f32,
    pub(crate) scale: f32,
    pub(crate) epsilon: f32,
    pub(crate) learning_rate: f32,
}

/// Updates the parameters and the moments.
#[allow(unsafe_code)]
pub(crate) fn adam(
    parameter: &[f32],
    gradient: &[f32],
    [moment_1, moment_2]: [&mut [f32]; 2],
    step: Step,
) -> Vec<f32> {
    let length = parameter.len();
    let others = [gradient.len(), moment_1.len(), moment_2.len()];
    assert_eq!(others, [length; 3], "a gradient and two moments of every parameter");
    let write = |updated: &mut [MaybeUninit<f32>]| {
        let moments = (moment_1.par_chunks_mut(CHUNK), moment_2.par_chunks_mut(CHUNK));
        let inputs = (parameter.par_chunks(CHUNK), gradient.par_chunks(CHUNK));
        (updated.par_chunks_mut(CHUNK), inputs, moments).into_par_iter().for_each(
            |(updated, (parameter, gradient), (moment_1, moment_2))| {
                chunk(updated, parameter, gradient, moment_1, moment_2, step);
            },
        );
    };
    // SAFETY: `chunk` writes as many values as there are parameters, and there are as many of all.
    unsafe { written(length, write) }
}

// In the order of burn's own roundings.
vectorized! {
    fn chunk<'a>(
        updated: &'a mut [MaybeUninit<f32>],
        parameter: &'a [f32],
        gradient: &'a [f32],
        moment_1: &'a mut [f32],
        moment_2: &'a mut [f32],
        step: Step,
    ) {
        let (factor_1, factor_2) = (1.0 - step.beta_1, 1.0 - step.beta_2);
        let inputs = parameter.iter().zip(gradient);
        let moments = moment_1.iter_mut().zip(moment_2);
        for ((updated, (&p, &g)), (m, v)) in updated.iter_mut().zip(inputs).zip(moments) {
            let g = if step.penalty > 0.0 { p * step.penalty + g } else { g };
            *m = *m * step.beta_1 + g * factor_1;
            *v = *v * step.beta_2 + g * g * factor_2;
            let direction = *m * step.scale / (v.sqrt() + step.epsilon);
            updated.write(p - direction * step.learning_rate);
        }
    }
}

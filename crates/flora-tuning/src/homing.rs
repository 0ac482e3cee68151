//! Optimizers whose states come back to the device that they were on.
//!
//! burn reads a state back onto its default device and moves it later. In a program that was built for GPUs that is a
//! GPU's driver, which nobody asked for in a run on the CPU, and which may not be there, or crash.

use std::cell::RefCell;

use burn::optim::{LearningRate, Optimizer, RecordState, StateSink, StateSource};
use burn::tensor::{Device, Tensor};

thread_local! {
    static HOME: RefCell<Option<Device>> = const { RefCell::new(None) };
}

/// Does `work`; the states of [`Homing`] optimizers that it reads on this thread come onto `device`.
pub(crate) fn at<R>(device: &Device, work: impl FnOnce() -> R) -> R {
    HOME.set(Some(device.clone().inner()));
    let result = work();
    HOME.set(None);
    result
}

/// An optimizer whose states [`at`] chooses the device of.
#[derive(Clone)]
pub(crate) struct Homing<O>(pub(crate) O);

/// The state of such an optimizer, in the bytes the same as without.
#[derive(Clone)]
pub(crate) struct State<S>(S);

impl<S: RecordState> RecordState for State<S> {
    fn state_flatten(&self, prefix: &str, out: &mut StateSink) {
        self.0.state_flatten(prefix, out);
    }

    fn state_unflatten(prefix: &str, source: &mut StateSource, device: &Device) -> Option<Self> {
        let home = HOME.with_borrow(Clone::clone);
        S::state_unflatten(prefix, source, home.as_ref().unwrap_or(device)).map(Self)
    }
}

impl<O: Optimizer> Optimizer for Homing<O> {
    type State<const D: usize> = State<O::State<D>>;

    fn step<const D: usize>(
        &self,
        learning_rate: LearningRate,
        parameter: Tensor<D>,
        gradient: Tensor<D>,
        state: Option<Self::State<D>>,
    ) -> (Tensor<D>, Option<Self::State<D>>) {
        let state = state.map(|State(state)| state);
        let (parameter, state) = self.0.step(learning_rate, parameter, gradient, state);
        (parameter, state.map(State))
    }

    fn to_device<const D: usize>(state: Self::State<D>, device: &Device) -> Self::State<D> {
        State(O::to_device(state.0, device))
    }
}

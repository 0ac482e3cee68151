//! Optimizers whose states are restored to their original device.
//!
//! burn reads a state onto its default device and moves it later. In a program built for GPUs, this initialises a GPU
//! driver even for a run on the CPU, and the driver may be missing or crash.

use std::cell::RefCell;

use burn::optim::{LearningRate, Optimizer, RecordState, StateSink, StateSource};
use burn::tensor::{Device, Tensor};

thread_local! {
    static HOME: RefCell<Option<Device>> = const { RefCell::new(None) };
}

/// Runs `work`; states of [`Homing`] optimizers read on this thread are placed on `device`.
pub(crate) fn at<R>(device: &Device, work: impl FnOnce() -> R) -> R {
    HOME.set(Some(device.clone().inner()));
    let result = work();
    HOME.set(None);
    result
}

/// An optimizer whose states are placed on the device chosen by [`at`].
#[derive(Clone)]
pub(crate) struct Homing<O>(pub(crate) O);

/// The state of such an optimizer, with the same bytes as without the wrapper.
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

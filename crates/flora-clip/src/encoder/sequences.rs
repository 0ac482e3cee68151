//! The layout of a batch's sequences in a tensor of states.

use burn::tensor::{Device, Int, Tensor};

use super::indices;

/// The sequences of a batch.
///
/// All operations but attention treat each position separately. If causal sequences begin alike, the states of that
/// beginning are the same in all of them: they are computed once, and attention receives a copy for each sequence.
#[derive(Debug, Clone)]
pub(crate) struct Sequences {
    is_causal: bool,
    shared: Option<Shared>,
}

/// Causal sequences with states `[1, states, width]`: the common beginning, then the rest of each.
#[derive(Debug, Clone)]
struct Shared {
    count: usize,
    length: usize,
    beginning: usize,
    /// The index of the state at each position of each sequence.
    spread: Tensor<1, Int>,
    /// A position of each state.
    gather: Tensor<1, Int>,
}

impl Sequences {
    /// Separate sequences, `[sequences, length, width]`.
    pub(crate) fn apart(is_causal: bool) -> Self {
        Self { is_causal, shared: None }
    }

    /// This many causal sequences of one length, which share their first `beginning` positions.
    pub(crate) fn beginning_alike(
        count: usize,
        length: usize,
        beginning: usize,
        device: &Device,
    ) -> Self {
        if beginning == 0 || count < 2 {
            return Self::apart(true);
        }
        let positions = (0..count).flat_map(|sequence| (0..length).map(move |at| (sequence, at)));
        let own = |&(sequence, at): &(usize, usize)| sequence == 0 || at >= beginning;
        let gather = positions.clone().filter(own).map(|(sequence, at)| sequence * length + at);
        let spread = positions.map(|(sequence, at)| match at < beginning {
            true => at,
            false => sequence * (length - beginning) + at,
        });
        let (spread, gather) = (indices(spread, device), indices(gather, device));
        let shared = Shared { count, length, beginning, spread, gather };
        Self { is_causal: true, shared: Some(shared) }
    }

    pub(crate) fn is_causal(&self) -> bool {
        self.is_causal
    }

    /// Every state of every sequence, `[sequences, length, width]`.
    pub(crate) fn spread(&self, x: Tensor<3>) -> Tensor<3> {
        let Some(shared) = &self.shared else { return x };
        let [_, states, width] = x.dims();
        let x = x.reshape([states, width]).select(0, shared.spread.clone());
        x.reshape([shared.count, shared.length, width])
    }

    /// The inverse of [`Sequences::spread`].
    pub(crate) fn gather(&self, x: Tensor<3>) -> Tensor<3> {
        let Some(shared) = &self.shared else { return x };
        let [count, length, width] = x.dims();
        x.reshape([count * length, width]).select(0, shared.gather.clone()).unsqueeze()
    }

    /// The indices, among all states, of one position per sequence, for sequences of this length. With a common
    /// beginning, the positions are after it.
    pub(crate) fn places(&self, positions: &[usize], length: usize) -> Vec<usize> {
        let own = length - self.shared.as_ref().map_or(0, |shared| shared.beginning);
        positions.iter().enumerate().map(|(sequence, at)| sequence * own + at).collect()
    }
}

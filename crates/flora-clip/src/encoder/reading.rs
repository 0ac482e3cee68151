//! Access to the states between the blocks of an encoder.

use burn::tensor::{Int, Tensor};

use super::{Encoder, Sequences};

impl Encoder {
    /// [`Encoder::forward`] without a mask, bit-identical. After every block, `read` receives the number of finished
    /// blocks and all states, `[batch, length, width]`.
    pub(crate) fn forward_reading(
        &self,
        mut x: Tensor<3>,
        rows: Tensor<1, Int>,
        read: &mut dyn FnMut(usize, Tensor<3>),
    ) -> Tensor<2> {
        let apart = Sequences::apart(false);
        let Some((last, before)) = self.layers.split_last() else {
            return self.forward(x, false, rows);
        };
        for (block, layer) in before.iter().enumerate() {
            x = layer.pass(x, &apart);
            read(block + 1, x.clone());
        }
        read(self.layers.len(), last.pass(x.clone(), &apart));
        // With only the wanted rows, the last block computes other products.
        Self { layers: vec![last.clone()] }.forward(x, false, rows)
    }
}

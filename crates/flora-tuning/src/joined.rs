//! Features for methods that are solved in closed form, and their logits beside those of the prompts.

use burn::tensor::{Device, Tensor};
use flora_clip::normalize;

use crate::objective::EVALUATION_BATCH;
use crate::{Objective, TuningError, TuningModel};

impl Objective {
    /// Hands what a head sees of `images` to `take`, some rows of length 1 at a time: their features, or where states are
    /// read besides, these.
    pub(crate) fn features_in_batches(
        &self,
        model: &TuningModel,
        images: &[usize],
        device: &Device,
        mut take: impl FnMut(&[usize], Vec<f32>) -> Result<(), TuningError>,
    ) -> Result<(), TuningError> {
        for images in images.chunks(EVALUATION_BATCH) {
            let rows = self.image_features(model, images, device)?;
            let (features, read) = parts(rows, model.projection_dim());
            take(images, numbers(read.unwrap_or_else(|| normalize(features))))?;
        }
        Ok(())
    }

    /// Normalised features of the prompts of all classes, a row each.
    pub(crate) fn class_texts(&self, model: &TuningModel, device: &Device) -> Vec<f32> {
        let classes: Vec<usize> = (0..self.prompts.classes()).collect();
        numbers(self.text_features(model, &classes, device))
    }

    /// [`similarities`](Self::similarities), and the logits of the model's head where it has one, added.
    ///
    /// # Shapes
    ///
    /// - images: `[batch, projection_dim]`, or with the states of a [`Readout`](flora_clip::Readout) behind them, which
    ///   are then what the head looks at
    /// - output: `[batch, classes.len()]`
    pub(crate) fn joined(
        &self,
        model: &TuningModel,
        images: Tensor<2>,
        classes: &[usize],
    ) -> Tensor<2> {
        let (images, read) = parts(images, model.projection_dim());
        let texts = self.similarities(model, images.clone(), classes);
        match model.head() {
            Some(head) => {
                let seen = read.unwrap_or_else(|| normalize(images));
                texts + head.forward(seen, classes)
            }
            None => texts,
        }
    }
}

/// Image features of any length, and the states behind them, if there are some.
fn parts(rows: Tensor<2>, dim: usize) -> (Tensor<2>, Option<Tensor<2>>) {
    let [batch, width] = rows.dims();
    if width == dim {
        return (rows, None);
    }
    (rows.clone().slice([0..batch, 0..dim]), Some(rows.slice([0..batch, dim..width])))
}

fn numbers(tensor: Tensor<2>) -> Vec<f32> {
    tensor.into_data().convert::<f32>().try_into_vec().expect("just converted")
}

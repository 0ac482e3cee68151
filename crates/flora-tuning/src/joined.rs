//! Features for methods in closed form, and their logits added to those of the prompts.

use burn::tensor::{Device, Tensor};
use flora_clip::normalize;

use crate::objective::EVALUATION_BATCH;
use crate::{Objective, TuningError, TuningModel};

impl Objective {
    /// Passes the classifier's features of `images` to `take` in batches.
    pub(crate) fn features_in_batches(
        &self,
        model: &TuningModel,
        images: &[usize],
        device: &Device,
        mut take: impl FnMut(&[usize], Vec<f32>) -> Result<(), TuningError>,
    ) -> Result<(), TuningError> {
        for images in images.chunks(EVALUATION_BATCH) {
            let rows = self.image_features(model, images, device)?;
            take(images, numbers(Seen::of(rows, model.projection_dim()).head))?;
        }
        Ok(())
    }

    /// Normalised features of the prompts of all classes, one row each.
    pub(crate) fn class_texts(&self, model: &TuningModel, device: &Device) -> Vec<f32> {
        let classes: Vec<usize> = (0..self.prompts.classes()).collect();
        numbers(self.text_features(model, &classes, device))
    }

    /// The [`similarities`](Self::similarities) plus the logits of the model's head, if it has one.
    ///
    /// # Shapes
    ///
    /// - images: `[batch, projection_dim]`, or what a [`Readout`](flora_clip::Readout) has of them
    /// - output: `[batch, classes.len()]`
    pub(crate) fn joined(
        &self,
        model: &TuningModel,
        images: Tensor<2>,
        classes: &[usize],
    ) -> Tensor<2> {
        let Seen { plain, mean, head } = Seen::of(images, model.projection_dim());
        let texts = self.text_features(model, classes, &plain.device()).transpose();
        let texts = |images: Tensor<2>| images.matmul(texts).mul_scalar(self.logit_scale);
        match model.head() {
            // Before there is a head, the original image alone gives zero-shot classification.
            None => texts(plain),
            Some(known) => texts(mean) + known.forward(head, classes),
        }
    }
}

/// A closed-form method's view of images.
struct Seen {
    /// Features of norm 1.
    plain: Tensor<2>,
    /// For the prompts: the mean over the shifted images, if these are used.
    mean: Tensor<2>,
    /// For the classifier.
    head: Tensor<2>,
}

impl Seen {
    /// From image features of any norm, with `dim` dimensions, or from the output of a
    /// [`Readout`](flora_clip::Readout): see [`Clip::image_rows`](flora_clip::Clip::image_rows).
    fn of(rows: Tensor<2>, dim: usize) -> Self {
        let [_, width] = rows.dims();
        if width == dim {
            let plain = normalize(rows);
            return Self { plain: plain.clone(), mean: plain.clone(), head: plain };
        }
        let part = |from: usize, to: usize| rows.clone().narrow(1, from, to - from);
        let mean = part(dim, 2 * dim);
        let head = if width == 2 * dim { mean.clone() } else { part(2 * dim, width) };
        Self { plain: part(0, dim), mean, head }
    }
}

pub(crate) fn numbers(tensor: Tensor<2>) -> Vec<f32> {
    tensor.into_data().convert::<f32>().try_into_vec().expect("just converted")
}

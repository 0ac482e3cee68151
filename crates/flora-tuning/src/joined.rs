//! Features for methods that are solved in closed form, and their logits beside those of the prompts.

use burn::tensor::{Device, Tensor};
use flora_clip::normalize;

use crate::objective::EVALUATION_BATCH;
use crate::{Objective, TuningError, TuningModel};

impl Objective {
    /// Hands the normalised features of `images` to `take`, some rows at a time.
    pub(crate) fn features_in_batches(
        &self,
        model: &TuningModel,
        images: &[usize],
        device: &Device,
        mut take: impl FnMut(&[usize], Vec<f32>),
    ) -> Result<(), TuningError> {
        for images in images.chunks(EVALUATION_BATCH) {
            take(images, numbers(normalize(self.image_features(model, images, device)?)));
        }
        Ok(())
    }

    /// Normalised features of the prompts of all classes, a row each.
    pub(crate) fn class_texts(&self, model: &TuningModel, device: &Device) -> Vec<f32> {
        let classes: Vec<usize> = (0..self.prompts.classes()).collect();
        numbers(self.text_features(model, &classes, device))
    }

    /// [`similarities`](Self::similarities), and the logits of the model's head where it has one, added.
    pub(crate) fn joined(
        &self,
        model: &TuningModel,
        images: Tensor<2>,
        classes: &[usize],
    ) -> Tensor<2> {
        let texts = self.similarities(model, images.clone(), classes);
        match model.head() {
            Some(head) => texts + head.forward(normalize(images), classes),
            None => texts,
        }
    }
}

fn numbers(tensor: Tensor<2>) -> Vec<f32> {
    tensor.into_data().convert::<f32>().try_into_vec().expect("just converted")
}

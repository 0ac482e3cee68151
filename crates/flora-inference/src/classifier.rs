use burn::tensor::{Tensor, activation};
use flora_clip::ZeroShot;

/// A classifier of image features.
pub trait Classifier: Sync {
    /// The score of each class; the largest is the prediction.
    ///
    /// # Shapes
    ///
    /// - images: features, not necessarily normalised, `[batch, projection_dim]`, or the rows that the model
    ///   [reads](crate::Model::image_rows)
    /// - output: `[batch, classes]`
    fn logits(&self, images: Tensor<2>) -> Tensor<2>;

    /// Softmax of [`Classifier::logits`]: each row sums to one.
    fn probabilities(&self, images: Tensor<2>) -> Tensor<2> {
        activation::softmax(self.logits(images), 1)
    }
}

impl Classifier for ZeroShot {
    fn logits(&self, images: Tensor<2>) -> Tensor<2> {
        self.logits(images)
    }
}

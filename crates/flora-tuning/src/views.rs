//! Augmented views of training images.

use std::sync::Arc;

use crate::ImageInput;

/// Augmented views of the training images, the same number of each. Every epoch of training uses the next view;
/// everything else uses the original images.
#[derive(Debug, Clone)]
pub struct Views {
    each: Arc<Vec<ImageInput>>,
    /// The index of each image of the data set among those that have views.
    numbers: Arc<Vec<Option<u32>>>,
    shown: Option<usize>,
}

impl Views {
    /// Views of the images numbered `images` of a data set of `total`: one element of `each` per view, in this order.
    ///
    /// # Panics
    ///
    /// Panics if there is no such image.
    pub fn new(each: Vec<ImageInput>, images: &[usize], total: usize) -> Self {
        let mut numbers = vec![None; total];
        for (number, &image) in images.iter().enumerate() {
            numbers[image] = Some(number as u32);
        }
        Self { each: Arc::new(each), numbers: Arc::new(numbers), shown: None }
    }

    /// Number of views per image.
    pub fn count(&self) -> usize {
        self.each.len()
    }

    /// The views with the one for the epoch with this number selected.
    pub(crate) fn of_epoch(&self, epoch: u128) -> Self {
        let shown = epoch.checked_rem(self.count() as u128);
        Self { shown: shown.map(|view| view as usize), ..self.clone() }
    }

    /// Input and rows for these images; `None` if the originals are to be used.
    ///
    /// # Panics
    ///
    /// Panics if one of them is not a training image.
    pub(crate) fn shown(&self, images: &[usize]) -> Option<(&ImageInput, Vec<usize>)> {
        let input = &self.each[self.shown?];
        let number = |&image: &usize| self.numbers[image].expect("training images have views");
        Some((input, images.iter().map(|image| number(image) as usize).collect()))
    }
}

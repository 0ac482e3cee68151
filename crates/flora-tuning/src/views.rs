//! What training sees of its images where it does not see them as they are.

use std::sync::Arc;

use crate::ImageInput;

/// Augmented views of the training images, of each the same number. An epoch of training sees one of them, the next
/// epoch the next; whatever is not training sees images as they are.
#[derive(Debug, Clone)]
pub struct Views {
    each: Arc<Vec<ImageInput>>,
    /// Of each image of the data set its number among those that have views.
    numbers: Arc<Vec<Option<u32>>>,
    shown: Option<usize>,
}

impl Views {
    /// Of a data set of `total` images, those numbered `images` have views: in each of `each`, in this order.
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

    /// How many there are of an image.
    pub fn count(&self) -> usize {
        self.each.len()
    }

    /// The same, of which one is shown: that of the epoch with this number.
    pub(crate) fn of_epoch(&self, epoch: u128) -> Self {
        let shown = epoch.checked_rem(self.count() as u128);
        Self { shown: shown.map(|view| view as usize), ..self.clone() }
    }

    /// Where to look for these images; `None` where they are to be seen as they are.
    ///
    /// # Panics
    ///
    /// Panics if one of them is no training image.
    pub(crate) fn shown(&self, images: &[usize]) -> Option<(&ImageInput, Vec<usize>)> {
        let input = &self.each[self.shown?];
        let number = |&image: &usize| self.numbers[image].expect("training images have views");
        Some((input, images.iter().map(|image| number(image) as usize).collect()))
    }
}

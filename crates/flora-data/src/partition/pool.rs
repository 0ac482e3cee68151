//! The images to partition.

use std::ops::Range;

use crate::{Dataset, Split};

/// The images of some consecutive classes of a data set, usually all. Samples and labels keep their numbers of the data
/// set.
#[derive(Debug, Clone)]
pub(super) struct Pool<'a> {
    dataset: &'a Dataset,
    labels: Range<usize>,
}

impl<'a> Pool<'a> {
    pub(super) fn whole(dataset: &'a Dataset) -> Self {
        Self::of_classes(dataset, 0..dataset.classes().len())
    }

    pub(super) fn of_classes(dataset: &'a Dataset, labels: Range<usize>) -> Self {
        Self { dataset, labels }
    }

    pub(super) fn dataset(&self) -> &'a Dataset {
        self.dataset
    }

    /// The name of the pool in messages.
    pub(super) fn describe(&self) -> String {
        let name = self.dataset.name();
        match self.labels.len() == self.dataset.classes().len() {
            true => format!("{name:?}"),
            false => format!("the first {} classes of {name:?}", self.labels.len()),
        }
    }

    pub(super) fn contains(&self, i: usize) -> bool {
        self.labels.contains(&self.dataset.label(i))
    }

    /// The samples of a split, ascending.
    pub(super) fn indices(&self, split: Split) -> Vec<usize> {
        let mut indices = self.dataset.indices(split);
        indices.retain(|&i| self.contains(i));
        indices
    }

    /// The samples of a split by label, each class ascending; the classes outside the pool are empty.
    pub(super) fn by_class(&self, split: Split) -> Vec<Vec<usize>> {
        by_class(self.dataset, &self.indices(split))
    }
}

/// `indices` by label, in their order.
pub(super) fn by_class(dataset: &Dataset, indices: &[usize]) -> Vec<Vec<usize>> {
    let mut classes = vec![Vec::new(); dataset.classes().len()];
    for &i in indices {
        classes[dataset.label(i)].push(i);
    }
    classes
}

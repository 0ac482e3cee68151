//! Numeric class labels.

use std::fmt;

/// The numbers of the classes: the first one, and the count.
#[derive(Debug, Clone, Copy)]
pub(super) struct Numbers {
    pub(super) first: usize,
    pub(super) count: usize,
}

impl Numbers {
    /// The index of the class with this label.
    pub(super) fn place(self, label: impl Into<usize>) -> Option<usize> {
        label.into().checked_sub(self.first).filter(|place| *place < self.count)
    }

    /// The number of the last class.
    pub(super) fn last(self) -> usize {
        self.first.saturating_add(self.count.saturating_sub(1))
    }
}

/// `3 classes are listed, with the labels 1 to 3`.
impl fmt::Display for Numbers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} classes are listed, with the labels {} to {}",
            self.count,
            self.first,
            self.last()
        )
    }
}

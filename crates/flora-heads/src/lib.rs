//! Classifiers in closed form, made of sums.

mod classifier;
mod error;
mod factor;
mod heads;
mod moments;

pub use classifier::LinearClassifier;
pub use error::HeadsError;
pub use heads::{Gda, Lda, Ncm, Ridge};
pub use moments::{CLASS_COUNTS, CLASS_SUMS, GRAM, Moments};

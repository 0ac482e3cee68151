//! Classifiers in closed form, made of sums.
//!
//! A head is a linear classifier on the features of a frozen model, solved from [`Moments`]: sums over images of their
//! features, of products of these, and of ones. Sums add up, so clients that send theirs **once** make the head of all
//! their images together, whoever holds which. There is no gradient, no learning rate and no second round; a late client
//! adds its sums, one that leaves takes them away, and secure aggregation can add them without seeing one.
//!
//! | head | what it is | settings |
//! |---|---|---|
//! | [`Lda`] | log density of a class against that of all images; what to begin with | none needed |
//! | [`Ridge`] | least squares on one-hot targets, with a prior towards the texts | `lambda`, `prior`, `balance`, `intercept` |
//! | [`Gda`] | discriminant analysis as Wang et al. publish it | none |
//! | [`Ncm`] | the nearest class mean | none |
//!
//! A client sends `d (d + 1) / 2 + C d + C` numbers for features of dimension d and C classes: 72 KiB and 0.75 KiB a class
//! for d = 192, as f32.
//!
//! # Example
//!
//! Two hospitals and a server. Features come from a model; here they have two dimensions.
//!
//! ```
//! use flora_heads::{Lda, Moments};
//!
//! // Classes: 0 and 1. Each side adds up its own images.
//! let mut here = Moments::new(2, 2);
//! here.add_batch(&[0.9, 0.1, 0.8, 0.3, 0.2, 0.8], &[0, 0, 1], 1.0)?;
//! let mut there = Moments::new(2, 2);
//! there.add_batch(&[0.1, 0.9, 0.7, 0.1], &[1, 0], 1.0)?;
//!
//! // What is sent: means as named tensors, and the number of images.
//! let answers = [&here, &there].map(|sums| (sums.to_mean_record(), sums.total()));
//!
//! // The server adds up, and solves.
//! let mut all = Moments::new(2, 2);
//! for (means, images) in answers {
//!     all.merge(&Moments::from_mean_record(&means?, images)?)?;
//! }
//! let head = Lda::default().solve(&all)?;
//!
//! let logits = head.logits(&[0.85, 0.2])?;
//! assert!(logits[0] > logits[1]);
//! # Ok::<(), flora_heads::HeadsError>(())
//! ```
//!
//! # Precision
//!
//! Sums and factors are f64, on one thread: the same input gives the same bits on one machine. What travels is f32. Rounding
//! to f32 changes a head by its 6e-8 times the condition of the matrix, which `lambda` bounds: by less than 1e-5 for
//! [`Ridge`] with a lambda of 0.1. [`Lda`] and [`Gda`] subtract large sums from each other; for features of 576 dimensions
//! f32 changes their weights by about 1e-3 and their predictions not at all, while **f16 spoils them**. f16 is for
//! [`Ncm`], and for [`Ridge`] with a lambda of 0.1 or more.

mod classifier;
mod error;
mod factor;
mod heads;
mod moments;

pub use classifier::LinearClassifier;
pub use error::HeadsError;
pub use heads::{Gda, Lda, Ncm, Ridge};
pub use moments::{CLASS_COUNTS, CLASS_SUMS, GRAM, Moments};

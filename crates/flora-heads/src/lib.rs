//! Closed-form classifiers, computed from sums over images.
//!
//! A head is a linear classifier on the features of a frozen model, solved from [`Moments`]: sums over images of the
//! features and of their products, and the number of images. Since sums add up, clients that send theirs **once**
//! obtain the head of all their images together, whatever the partition. There is no gradient, no learning rate and no
//! second round. A client that joins late adds its sums, one that leaves subtracts them, and secure aggregation adds
//! them without revealing those of any client.
//!
//! | head | method | settings |
//! |---|---|---|
//! | [`Lda`] | log density of a class against that of all images; the recommended default | none needed |
//! | [`Ridge`] | least squares on one-hot targets, with the text classifier as prior | `lambda`, `prior`, `balance`, `intercept` |
//! | [`Gda`] | discriminant analysis as published by Wang et al. | none |
//! | [`Ncm`] | the nearest class mean | none |
//!
//! A client sends `d (d + 1) / 2 + C d + C` numbers for features of dimension d and C classes: 72 KiB plus 0.75 KiB per
//! class for d = 192, as f32.
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
//! Sums and factors are f64, on one thread: the same input gives bit-identical results on one machine. Clients send
//! f32, and its rounding error is amplified by the condition number of the matrix, which `lambda` bounds. The table
//! shows the relative change of the weights compared with sums in f64, measured with clip-nano's features of 192 and
//! 576 dimensions on EmojiVendors and Fashion-MNIST, over 1, 10 and 100 clients:
//!
//! | head | f32 | f16 |
//! |---|---|---|
//! | [`Ridge`], lambda 0.1 | 1e-6 to 6e-6 | 2e-3 to 4e-2, same accuracy |
//! | [`Ridge`], lambda 0.01 | 9e-6 to 5e-5 | up to 4 points lost |
//! | [`Ridge`], lambda 1e-4 | 4e-4 to 2e-3 | useless |
//! | [`Lda`] | 1e-5 to 4e-3 | useless: a small difference of large sums |
//!
//! f32 changed no accuracy.

mod classifier;
mod error;
mod factor;
mod heads;
mod moments;

pub use classifier::LinearClassifier;
pub use error::HeadsError;
pub use heads::{Gda, Lda, Ncm, Ridge};
pub use moments::{CLASS_COUNTS, CLASS_SUMS, GRAM, Moments};

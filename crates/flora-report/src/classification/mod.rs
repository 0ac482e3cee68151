//! Scores of a classifier: accuracies, scores by class, the confusion matrix.
//!
//! With the confusion matrix `C` (rows the true class, columns the predicted one), `n` the sum of all
//! of `C`, and rows and columns summed as `C[i, :]` and `C[:, i]`:
//!
//! | number | formula | in scikit-learn |
//! |---|---|---|
//! | top-1 | `sum_i C[i, i] / n` | `accuracy_score` |
//! | top-5 | share of images whose true class is among the first five | `top_k_accuracy_score` |
//! | recall of `i` | `C[i, i] / C[i, :]` | `recall_score(average=None)` |
//! | precision of `i` | `C[i, i] / C[:, i]` | `precision_score(average=None)` |
//! | F1 of `i` | `2 C[i, i] / (C[i, :] + C[:, i])` | `f1_score(average=None)` |
//! | macro | mean recall of the classes with `C[i, :] > 0` | `balanced_accuracy_score` |
//!
//! A quotient `0 / 0` is undefined (`zero_division=np.nan`): a class without images has no recall, and a class that is
//! never predicted has no precision. A class without images has no F1 either; scikit-learn gives 0 if the class is
//! predicted, although there was no image to find. Means leave out undefined values.
//!
//! **Ties.** Classes rank by score, the highest first, and among equal scores by their order in the list, as a stable
//! sort leaves them; the first is the prediction. The true class gets no preference: if all scores are equal, only
//! images of the first class are correct, and only those of the first five count for top-5.

mod report;
mod tally;

pub use report::{ClassScore, ClassificationReport, Confused};
pub use tally::Tally;
pub(crate) use tally::first_highest;

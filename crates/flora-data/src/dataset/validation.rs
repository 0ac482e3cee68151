use std::ffi::OsStr;

use flora_core::seed;
use serde::{Deserialize, Serialize};

use super::protocol::set;
use super::{Sample, Split, groups, stratified};

/// The share of the training images that is held out to evaluate a run during training, on images that are neither
/// trained on nor in the test set: 0, for none, or up to a half.
///
/// They are chosen like the test images of [`Protocol::Stratified8020`](super::Protocol::Stratified8020), in every
/// class, and in every class of every domain. If the description groups images (`group`), the images of a group are
/// held out together, across all domains, with the share of every class as close as that allows.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "f64", into = "f64")]
pub struct ValidationShare(f64);

/// The unit is a millionth of the training images.
const MILLION: f64 = 1e6;

impl ValidationShare {
    /// Whether nothing is held out.
    pub fn is_zero(&self) -> bool {
        self.0 == 0.0
    }
}

impl TryFrom<f64> for ValidationShare {
    type Error = String;

    fn try_from(share: f64) -> Result<Self, String> {
        let fits = share == 0.0 || (1.0 / MILLION..0.5).contains(&share);
        fits.then_some(Self(share)).ok_or_else(|| {
            format!(
                "{share} is not a share of the training images that can be held out; choose 0 for none, or a \
                 number below 0.5, such as 0.1"
            )
        })
    }
}

impl From<ValidationShare> for f64 {
    fn from(share: ValidationShare) -> Self {
        share.0
    }
}

/// Turns some training images into validation images; whole `groups`, if each sample has one.
pub(super) fn hold_out(
    samples: &mut [Sample],
    groups: Option<&[&OsStr]>,
    share: ValidationShare,
    seed: u64,
) {
    if share.is_zero() {
        return;
    }
    let is_train = |&index: &usize| samples[index].split == Split::Train;
    let train: Vec<usize> = (0..samples.len()).filter(is_train).collect();
    let millionths = (share.0 * MILLION).round() as u64;
    let held = match groups {
        Some(groups) => groups::hold_out(samples, groups, train.into_iter(), millionths, seed),
        None => {
            let rng = &mut seed::stream(seed, "split/validation");
            stratified::hold_out(samples, train.into_iter(), millionths, rng)
        }
    };
    set(samples, held, Split::Validation);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shares_are_none_or_less_than_half() {
        for good in [0.0, 0.1, 0.25, 0.499, 1e-6] {
            assert_eq!(f64::from(ValidationShare::try_from(good).unwrap()), good);
        }
        for bad in [-0.1, 0.5, 1.0, 10.0, 1e-9, f64::NAN, f64::INFINITY] {
            let message = ValidationShare::try_from(bad).unwrap_err();
            assert!(message.contains("below 0.5"), "{message}");
        }
    }
}

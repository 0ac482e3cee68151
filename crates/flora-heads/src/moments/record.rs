use flora_core::{HostTensor, ParameterRecord, RecordError};

use super::{Moments, diagonal};
use crate::HeadsError;

/// Name of the Gram matrix in a record: `[dim (dim + 1) / 2]`.
pub const GRAM: &str = "closed_form.gram";
/// Name of the class sums in a record: `[classes, dim]`.
pub const CLASS_SUMS: &str = "closed_form.class_sums";
/// Name of the class counts in a record: `[classes]`.
pub const CLASS_COUNTS: &str = "closed_form.class_counts";

/// A count below this, in images, is a rounding error of a class whose last client left.
const NO_IMAGE: f64 = 0.01;

impl Moments {
    /// The sums as f32, under the names [`GRAM`], [`CLASS_SUMS`] and [`CLASS_COUNTS`].
    ///
    /// # Errors
    ///
    /// If a sum does not fit in f32.
    pub fn to_record(&self) -> Result<ParameterRecord, HeadsError> {
        self.to_scaled_record(1.0)
    }

    /// The sums divided by the [total](Self::total), which a client sends with its total as the number of examples.
    ///
    /// For unit features, no tensor's norm exceeds 1, however many images there are. The average of clients' mean
    /// records, weighted by examples, is the mean record of all images. Without images, every value is zero.
    ///
    /// # Errors
    ///
    /// If a mean does not fit in f32.
    pub fn to_mean_record(&self) -> Result<ParameterRecord, HeadsError> {
        let total = self.total();
        self.to_scaled_record(if total > 0.0 { total.recip() } else { 0.0 })
    }

    fn to_scaled_record(&self, scale: f64) -> Result<ParameterRecord, HeadsError> {
        let mut record = ParameterRecord::new();
        for (name, shape, values) in [
            (GRAM, vec![self.gram.len()], &self.gram),
            (CLASS_SUMS, vec![self.classes, self.dim], &self.class_sums),
            (CLASS_COUNTS, vec![self.classes], &self.class_counts),
        ] {
            let narrow = |&value: &f64| {
                let scaled = (value * scale) as f32;
                if scaled.is_finite() {
                    Ok(scaled)
                } else {
                    Err(HeadsError::TooLarge { name, value: value * scale })
                }
            };
            let values = values.iter().map(narrow).collect::<Result<_, _>>()?;
            record.insert(name, HostTensor::from_f32(shape, values)?)?;
        }
        Ok(record)
    }

    /// Reads the sums from a record of [`to_record`](Self::to_record), or from a server's sum of several.
    ///
    /// A class with less than a hundredth of an image is treated as empty: that is the rounding error after a client
    /// left. Its sum becomes exactly zero; so do all sums if no class has images.
    ///
    /// # Errors
    ///
    /// If a tensor is missing, unexpected, of a wrong shape or not finite, or if a count or a diagonal entry of the
    /// Gram matrix is negative by more than such a rounding error.
    pub fn from_record(record: &ParameterRecord) -> Result<Self, HeadsError> {
        Self::from_scaled_record(record, 1.0)
    }

    /// Reads the sums from a record of [`to_mean_record`](Self::to_mean_record) of images with a total weight of
    /// `total`.
    ///
    /// # Errors
    ///
    /// The errors of [`from_record`](Self::from_record), and a negative or non-finite `total`.
    pub fn from_mean_record(record: &ParameterRecord, total: f64) -> Result<Self, HeadsError> {
        if !(total.is_finite() && total >= 0.0) {
            return Err(HeadsError::Total(total));
        }
        Self::from_scaled_record(record, total)
    }

    fn from_scaled_record(record: &ParameterRecord, scale: f64) -> Result<Self, HeadsError> {
        let (dim, classes) = sizes(record)?;
        record.check_finite()?;
        let read = |name: &str| -> Vec<f64> {
            let values = record.get(name).map(HostTensor::to_f32).unwrap_or_default();
            values.iter().map(|&value| f64::from(value) * scale).collect()
        };
        let mut moments = Self {
            dim,
            classes,
            gram: read(GRAM),
            class_sums: read(CLASS_SUMS),
            class_counts: read(CLASS_COUNTS),
        };
        moments.check_possible()?;
        for class in 0..classes {
            if moments.class_counts[class] < NO_IMAGE {
                moments.forget_class(class);
            }
        }
        moments.clear_if_empty();
        Ok(moments)
    }

    fn check_possible(&self) -> Result<(), HeadsError> {
        for (position, &value) in self.class_counts.iter().enumerate() {
            if value <= -NO_IMAGE {
                return Err(HeadsError::Impossible {
                    name: CLASS_COUNTS,
                    position,
                    value,
                    problem: "a class cannot have a negative number of images; a client was subtracted \
                              that had not been added, or twice",
                });
            }
        }
        let slack = 1e-4 * self.trace().abs();
        for at in diagonal(self.dim) {
            if self.gram[at] < -slack {
                return Err(HeadsError::Impossible {
                    name: GRAM,
                    position: at,
                    value: self.gram[at],
                    problem: "a sum of squares cannot be negative; a client was subtracted that \
                              had not been added, or twice",
                });
            }
        }
        Ok(())
    }
}

/// The dimension and the number of classes of a record that has exactly these tensors. No memory is reserved for sizes
/// that the tensors themselves do not have.
fn sizes(record: &ParameterRecord) -> Result<(usize, usize), RecordError> {
    if let Some((name, tensor)) =
        record.iter().find(|(name, _)| ![GRAM, CLASS_SUMS, CLASS_COUNTS].contains(name))
    {
        let (name, shape) = (name.to_owned(), tensor.shape().to_vec());
        return Err(RecordError::Unexpected { name, shape });
    }
    let len = |name: &str| record.get(name).map_or(0, HostTensor::len);
    let (classes, dim) = match record.get(CLASS_SUMS).map(HostTensor::shape) {
        Some(&[classes, dim]) => (classes, dim),
        _ => (len(CLASS_COUNTS), len(CLASS_SUMS).checked_div(len(CLASS_COUNTS)).unwrap_or(0)),
    };
    // A dimension whose triangle has more entries than can be counted fits no tensor.
    let packed = dim.checked_add(1).and_then(|next| dim.checked_mul(next)).map(|square| square / 2);
    for (name, expected) in [
        (GRAM, vec![packed.unwrap_or(usize::MAX)]),
        (CLASS_SUMS, vec![classes, dim]),
        (CLASS_COUNTS, vec![classes]),
    ] {
        let name = name.to_owned();
        match record.get(&name).map(HostTensor::shape) {
            Some(shape) if shape == expected => {}
            Some(shape) => {
                return Err(RecordError::Shape { name, actual: shape.to_vec(), expected });
            }
            None => return Err(RecordError::Missing { name, shape: expected }),
        }
    }
    Ok((dim, classes))
}

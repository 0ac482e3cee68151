use faer::{Mat, Side};

use super::{Moments, diagonal};
use crate::HeadsError;

impl Moments {
    /// These sums with noise, projected to sums that images can have: negative eigenvalues of the Gram matrix become
    /// zero, which gives the nearest positive semidefinite matrix, and so do negative counts. `add` adds the noise to
    /// all numbers at once: the Gram matrix's upper triangle, the class sums and the counts.
    ///
    /// The projection has a bias that acts like a penalty: it is the same in every direction that contains only noise.
    ///
    /// # Errors
    ///
    /// Noise that is not finite.
    pub fn noised(&self, add: impl FnOnce(&mut [f64])) -> Result<Self, HeadsError> {
        let mut numbers = [&self.gram[..], &self.class_sums, &self.class_counts].concat();
        add(&mut numbers);
        let mut noised = Self::new(self.dim, self.classes);
        let (gram, rest) = numbers.split_at(self.gram.len());
        let (sums, counts) = rest.split_at(self.class_sums.len());
        noised.gram = possible(gram, self.dim)?;
        noised.class_sums.copy_from_slice(sums);
        for (to, &count) in noised.class_counts.iter_mut().zip(counts) {
            *to = count.max(0.0);
        }
        match numbers.iter().all(|number| number.is_finite()) {
            true => Ok(noised),
            false => Err(HeadsError::Singular("the noise is not finite")),
        }
    }
}

/// The nearest positive semidefinite matrix, by its upper triangle.
fn possible(packed: &[f64], dim: usize) -> Result<Vec<f64>, HeadsError> {
    if dim == 0 {
        return Ok(Vec::new());
    }
    let mut lower = Mat::<f64>::zeros(dim, dim);
    for (row, start) in diagonal(dim).enumerate() {
        for (offset, &value) in packed[start..][..dim - row].iter().enumerate() {
            lower[(row + offset, row)] = value;
        }
    }
    let eigen = lower
        .self_adjoint_eigen(Side::Lower)
        .map_err(|_| HeadsError::Singular("no eigenvalues were found"))?;
    let vectors = eigen.U();
    let scaled =
        Mat::from_fn(dim, dim, |row, column| vectors[(row, column)] * eigen.S()[column].max(0.0));
    let nearest = scaled * vectors.transpose();
    let mut upper = Vec::with_capacity(packed.len());
    for row in 0..dim {
        upper.extend((row..dim).map(|column| nearest[(row, column)]));
    }
    Ok(upper)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_noise_leaves_is_what_images_could_have() {
        let mut moments = Moments::new(2, 2);
        moments.add_batch(&[1.0, 0.0, 0.6, 0.8], &[0, 1], 1.0).unwrap();
        let same = moments.noised(|_| ()).unwrap();
        for (same, was) in same.gram().iter().zip(moments.gram()) {
            assert!((same - was).abs() < 1e-12);
        }
        assert_eq!(same.class_counts(), [1.0, 1.0]);
        // [[1, 2], [2, 1]] has the eigenvalues 3 for (1, 1) and -1 for (1, -1); the nearest matrix is 1.5 everywhere.
        let numbers = [1.0, 2.0, 1.0, 0.5, -0.5, 0.25, 0.125, -3.0, 2.0];
        let noised = moments.noised(|all| all.copy_from_slice(&numbers)).unwrap();
        assert!(noised.gram().iter().all(|it| (it - 1.5).abs() < 1e-12), "{noised:?}");
        assert_eq!(noised.class_counts(), [0.0, 2.0]);
        assert_eq!(noised.class_sums(), &numbers[3..7]);
        let record = noised.to_record().unwrap();
        assert!(Moments::from_record(&record).is_ok());
        assert!(moments.noised(|all| all[4] = f64::NAN).is_err());
    }
}

use std::{collections::BTreeMap, fs, path::Path};

use indexmap::{IndexMap, map::Entry};

use super::header::METADATA_KEY;
use super::{Dtype, HostTensor, RecordError};
use crate::files::write_atomic;

/// An ordered map from names to tensors.
///
/// Iteration is in insertion order. Equality and the serialised bytes depend on names only, so two records with the
/// same tensors in different order are equal.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct ParameterRecord {
    tensors: IndexMap<String, HostTensor>,
}

impl ParameterRecord {
    /// A record without tensors.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a tensor.
    ///
    /// # Errors
    /// [`RecordError::Duplicate`] if the name is taken, [`RecordError::ReservedName`] for `__metadata__`; the record is
    /// then unchanged.
    pub fn insert(
        &mut self,
        name: impl Into<String>,
        tensor: HostTensor,
    ) -> Result<(), RecordError> {
        let name = name.into();
        if name == METADATA_KEY {
            return Err(RecordError::ReservedName { name });
        }
        match self.tensors.entry(name) {
            Entry::Occupied(entry) => Err(RecordError::Duplicate { name: entry.key().clone() }),
            Entry::Vacant(entry) => {
                entry.insert(tensor);
                Ok(())
            }
        }
    }

    /// The tensor named `name`.
    pub fn get(&self, name: &str) -> Option<&HostTensor> {
        self.tensors.get(name)
    }

    /// Names and tensors in insertion order.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = (&str, &HostTensor)> {
        self.tensors.iter().map(|(name, tensor)| (name.as_str(), tensor))
    }

    /// The names in insertion order.
    pub fn names(&self) -> impl ExactSizeIterator<Item = &str> {
        self.tensors.keys().map(String::as_str)
    }

    /// The number of tensors.
    pub fn len(&self) -> usize {
        self.tensors.len()
    }

    /// Whether there are no tensors.
    pub fn is_empty(&self) -> bool {
        self.tensors.is_empty()
    }

    /// The number of values over all tensors.
    pub fn num_parameters(&self) -> usize {
        self.tensors.values().map(HostTensor::len).sum()
    }

    /// The size of all values in bytes, without names, shapes or headers. "96 KiB per upload" is this size for 24,576
    /// parameters in f32.
    pub fn byte_len(&self) -> usize {
        self.tensors.values().map(HostTensor::byte_len).sum()
    }

    /// A copy of the record with every tensor in another element type; see [`HostTensor::cast`].
    pub fn cast(&self, dtype: Dtype) -> Self {
        let cast = |(name, tensor): (&String, &HostTensor)| (name.clone(), tensor.cast(dtype));
        Self { tensors: self.tensors.iter().map(cast).collect() }
    }

    /// The tensors whose names `keep` accepts, in the same order.
    pub fn filter(&self, mut keep: impl FnMut(&str) -> bool) -> Self {
        let kept = self.tensors.iter().filter(|(name, _)| keep(name));
        Self { tensors: kept.map(|(name, tensor)| (name.clone(), tensor.clone())).collect() }
    }

    /// A record with the same names and shapes, in f32, filled with zeros.
    pub fn zeros_like(&self) -> Self {
        let zeros = |tensor: &HostTensor| {
            let zeros = HostTensor::from_f32(tensor.shape(), vec![0.0; tensor.len()]);
            zeros.expect("as many as the shape asks for")
        };
        Self { tensors: self.iter().map(|(name, it)| (name.to_owned(), zeros(it))).collect() }
    }

    /// Replaces tensors by those of the same names in `newer`.
    ///
    /// # Errors
    /// [`RecordError::Unexpected`] for a tensor that this record does not have, and [`RecordError::Shape`] for one of
    /// another shape; the record is then unchanged.
    pub fn replace(&mut self, newer: &Self) -> Result<(), RecordError> {
        let of_the_same = self.filter(|name| newer.get(name).is_some());
        newer.check_matches(&of_the_same)?;
        for (name, tensor) in newer.iter() {
            self.tensors.insert(name.to_owned(), tensor.clone());
        }
        Ok(())
    }

    /// Checks that the tensors of this record have the element types of those of the same names in `expected`.
    ///
    /// # Errors
    /// [`RecordError::Dtype`] names the first tensor with another element type.
    pub fn check_dtypes(&self, expected: &Self) -> Result<(), RecordError> {
        for (name, tensor) in self.iter() {
            let expected = expected.get(name).map_or(tensor.dtype(), HostTensor::dtype);
            if tensor.dtype() != expected {
                let (name, actual) = (name.to_owned(), tensor.dtype());
                return Err(RecordError::Dtype { name, actual, expected });
            }
        }
        Ok(())
    }

    /// The tensor named `name`, if it has the shape of `like`. The element types may differ.
    ///
    /// # Errors
    /// [`RecordError::Missing`] and [`RecordError::Shape`].
    pub fn matching(&self, name: &str, like: &HostTensor) -> Result<&HostTensor, RecordError> {
        match self.get(name) {
            None => {
                Err(RecordError::Missing { name: name.to_owned(), shape: like.shape().to_vec() })
            }
            Some(found) if found.shape() != like.shape() => Err(RecordError::Shape {
                name: name.to_owned(),
                actual: found.shape().to_vec(),
                expected: like.shape().to_vec(),
            }),
            Some(found) => Ok(found),
        }
    }

    /// Checks that this record has exactly the names and shapes of `expected`. The order and the element types may
    /// differ.
    ///
    /// # Errors
    /// The first tensor of `expected` that is [missing](RecordError::Missing) or has another
    /// [shape](RecordError::Shape), otherwise the first [unexpected](RecordError::Unexpected) one.
    pub fn check_matches(&self, expected: &Self) -> Result<(), RecordError> {
        for (name, tensor) in expected.iter() {
            self.matching(name, tensor)?;
        }
        match self.iter().find(|(name, _)| expected.get(name).is_none()) {
            None => Ok(()),
            Some((name, tensor)) => Err(RecordError::Unexpected {
                name: name.to_owned(),
                shape: tensor.shape().to_vec(),
            }),
        }
    }

    /// Checks that no value is NaN or infinite.
    ///
    /// # Errors
    /// [`RecordError::NotFinite`] names the first tensor with such a value, and its position.
    pub fn check_finite(&self) -> Result<(), RecordError> {
        let bad = |(name, tensor): (&str, &HostTensor)| {
            tensor.first_non_finite().map(|(index, value)| RecordError::NotFinite {
                name: name.to_owned(),
                index,
                value,
            })
        };
        self.iter().find_map(bad).map_or(Ok(()), Err)
    }

    /// The L2 norm of all values, summed as in [`distance`](Self::distance).
    pub fn norm(&self) -> f64 {
        self.squares(|_, tensor| tensor.to_f32().iter().map(|&it| f64::from(it).powi(2)).sum())
    }

    /// The L2 norm of the difference to `other`, over the tensors that both have with the same shape. It is summed in
    /// f64 and in the order of the names, so that equal records give bit-identical norms.
    pub fn distance(&self, other: &Self) -> f64 {
        self.squares(|name, tensor| {
            let Some(theirs) = other.get(name).filter(|it| it.shape() == tensor.shape()) else {
                return 0.0;
            };
            let (ours, theirs) = (tensor.to_f32(), theirs.to_f32());
            let difference = |(&a, &b): (&f32, &f32)| f64::from(a) - f64::from(b);
            ours.iter().zip(theirs.iter()).map(difference).map(|it| it * it).sum()
        })
    }

    /// The square root of the sum over the tensors, in the order of their names.
    fn squares(&self, square: impl Fn(&str, &HostTensor) -> f64) -> f64 {
        let mut tensors: Vec<_> = self.iter().collect();
        tensors.sort_by_key(|(name, _)| *name);
        tensors.into_iter().map(|(name, tensor)| square(name, tensor)).sum::<f64>().sqrt()
    }

    /// Writes a safetensors file atomically; see [`write_atomic`].
    ///
    /// # Errors
    /// [`RecordError::Write`] names the file.
    pub fn save(&self, path: impl AsRef<Path>) -> Result<(), RecordError> {
        self.save_with(path, &BTreeMap::new())
    }

    /// Like [`save`](Self::save), with a metadata map in the header.
    ///
    /// # Errors
    /// [`RecordError::Write`] names the file.
    pub fn save_with(
        &self,
        path: impl AsRef<Path>,
        metadata: &BTreeMap<String, String>,
    ) -> Result<(), RecordError> {
        let path = path.as_ref();
        write_atomic(path, &self.to_safetensors_with(metadata))
            .map_err(|source| RecordError::Write { path: path.to_owned(), source })
    }

    /// Reads a safetensors file; see [`from_safetensors`](Self::from_safetensors).
    ///
    /// # Errors
    /// [`RecordError::Read`] or [`RecordError::File`], which name the file.
    pub fn load(path: impl AsRef<Path>) -> Result<Self, RecordError> {
        let path = path.as_ref();
        let bytes =
            fs::read(path).map_err(|source| RecordError::Read { path: path.to_owned(), source })?;
        Self::from_safetensors(&bytes)
            .map_err(|source| RecordError::File { path: path.to_owned(), source: Box::new(source) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tensor(shape: &[usize]) -> HostTensor {
        HostTensor::from_f32(shape, vec![0.25; shape.iter().product()]).unwrap()
    }

    fn record(tensors: &[(&str, &[usize])]) -> ParameterRecord {
        let mut record = ParameterRecord::new();
        for (name, shape) in tensors {
            record.insert(*name, tensor(shape)).unwrap();
        }
        record
    }

    #[test]
    fn keeps_the_order_of_insertion_and_counts() {
        let record = record(&[("b", &[2, 3]), ("a", &[4])]);
        assert_eq!(record.names().collect::<Vec<_>>(), ["b", "a"]);
        assert_eq!((record.len(), record.num_parameters(), record.byte_len()), (2, 10, 40));
        assert_eq!(record.cast(Dtype::F16).byte_len(), 20);
    }

    #[test]
    fn a_name_occurs_once() {
        let mut record = record(&[("a", &[4])]);
        let error = record.insert("a", tensor(&[1])).unwrap_err();
        assert!(error.to_string().contains("`a`"), "{error}");
        assert_eq!(record.get("a").unwrap().shape(), [4]);
        assert!(record.insert("__metadata__", tensor(&[1])).is_err());
    }

    #[test]
    fn a_mismatch_is_named() {
        let expected = record(&[("a", &[2, 3]), ("b", &[4])]);
        assert!(record(&[("b", &[4]), ("a", &[2, 3])]).check_matches(&expected).is_ok());
        type Named = (&'static str, &'static [usize]);
        let cases: [(&[Named], _); 3] = [
            (&[("a", &[2, 3])], "tensor `b` is missing"),
            (&[("a", &[3, 2]), ("b", &[4])], "tensor `a` has shape [3, 2], expected [2, 3]"),
            (&[("a", &[2, 3]), ("b", &[4]), ("c", &[1])], "unexpected tensor `c`"),
        ];
        for (tensors, message) in cases {
            let error = record(tensors).check_matches(&expected).unwrap_err().to_string();
            assert!(error.contains(message), "{error}");
        }
    }

    #[test]
    fn a_part_is_taken_and_put_back() {
        let mut all = record(&[("b", &[2, 3]), ("a", &[4]), ("c", &[1])]);
        let part = all.filter(|name| name != "a");
        assert_eq!(part.names().collect::<Vec<_>>(), ["b", "c"]);
        let mut newer = ParameterRecord::new();
        newer.insert("a", HostTensor::from_f32([4], vec![9.0; 4]).unwrap()).unwrap();
        all.replace(&newer).unwrap();
        assert_eq!(all.names().collect::<Vec<_>>(), ["b", "a", "c"]);
        assert_eq!(all.get("a"), newer.get("a"));
        for wrong in [record(&[("a", &[3])]), record(&[("d", &[1])])] {
            let before = all.clone();
            assert!(all.replace(&wrong).is_err());
            assert_eq!(all, before);
        }
    }

    #[test]
    fn a_distance_has_the_same_bits_in_any_order() {
        let names = ["b", "c", "a", "d"];
        let of = |names: &[&str]| {
            let mut record = ParameterRecord::new();
            for name in names {
                let first = f32::from(name.as_bytes()[0]);
                let values = (0..50).map(|at| (first * at as f32).sin()).collect();
                record.insert(*name, HostTensor::from_f32([50], values).unwrap()).unwrap();
            }
            record
        };
        let (one, mut names) = (of(&names), names);
        names.reverse();
        let zero = record(&[("a", &[50]), ("b", &[50]), ("c", &[50]), ("d", &[50])]);
        assert_eq!(one.distance(&zero).to_bits(), of(&names).distance(&zero).to_bits());
        assert_eq!(one.distance(&one), 0.0);
        assert!(one.distance(&zero) > 1.0);
        // Two values: the square root of 3 * 3 + 4 * 4.
        let point = |values: [f32; 2]| {
            let mut record = ParameterRecord::new();
            record.insert("x", HostTensor::from_f32([2], values.to_vec()).unwrap()).unwrap();
            record
        };
        assert_eq!(point([1.0, 1.0]).distance(&point([4.0, -3.0])), 5.0);
        assert_eq!(point([3.0, -4.0]).norm(), 5.0);
    }

    #[test]
    fn another_element_type_is_named() {
        let single = record(&[("a", &[4])]);
        assert!(single.check_dtypes(&single).is_ok());
        let error = single.cast(Dtype::F16).check_dtypes(&single).unwrap_err().to_string();
        assert!(error.contains("`a` has element type f16, expected f32"), "{error}");
    }

    #[test]
    fn what_is_not_finite_is_named() {
        let mut record = record(&[("a", &[2])]);
        assert!(record.check_finite().is_ok());
        let values = HostTensor::from_f32([3], vec![0.0, f32::NAN, 1.0]).unwrap();
        record.insert("b", values).unwrap();
        let error = record.check_finite().unwrap_err().to_string();
        assert!(error.contains("`b` holds NaN at flat index 1"), "{error}");
    }

    #[test]
    fn files_come_back_and_errors_name_them() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("adapter_model.safetensors");
        let record = record(&[("b", &[2, 3]), ("a", &[4])]);
        record.save(&path).unwrap();
        assert_eq!(ParameterRecord::load(&path).unwrap(), record);

        let bytes = fs::read(&path).unwrap();
        fs::write(&path, &bytes[..bytes.len() - 1]).unwrap();
        let absent = folder.path().join("absent.safetensors");
        for path in [&path, &absent] {
            let error = ParameterRecord::load(path).unwrap_err().to_string();
            assert!(error.contains(path.to_str().unwrap()), "{error}");
        }
        let below_a_file = path.join("folder.safetensors");
        let error = record.save(below_a_file).unwrap_err().to_string();
        assert!(error.contains("folder.safetensors"), "{error}");
    }
}

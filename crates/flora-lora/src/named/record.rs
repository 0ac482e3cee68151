//! Parameters as a record: reading them from a module, writing them, and counting their numbers.

use burn::module::Module;
use flora_core::{HostTensor, ParameterRecord, RecordError, transpose};

use super::walk::{Place, map, visit};

/// The tensor of a record that holds a parameter.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// The tensor's name.
    pub name: String,
    /// Whether it is the transpose of the parameter, a matrix: PyTorch stores a linear layer's weight as `[output,
    /// input]`, burn as `[input, output]`.
    pub transposed: bool,
}

impl Entry {
    /// A tensor with the parameter's own shape.
    pub fn plain(name: impl Into<String>) -> Self {
        Self { name: name.into(), transposed: false }
    }

    /// Every parameter unchanged, under its own name: `collect(&module, Entry::every)`.
    pub fn every(place: Place<'_>) -> Option<Self> {
        Some(Self::plain(place.name))
    }

    /// The parameter as in PyTorch's modules, which name the parameters of a norm `weight` and `bias`, and store the
    /// weight of a linear layer transposed. Adapters are not part of a module's own files.
    pub fn pytorch(Place { name, container }: Place<'_>) -> Option<Self> {
        let (module, field) = name.rsplit_once('.').unwrap_or(("", name));
        let file_field = match (field, container) {
            ("gamma", "Struct:LayerNorm") => "weight",
            ("beta", "Struct:LayerNorm") => "bias",
            ("lora_a" | "lora_b" | "lora_r", _) => return None,
            (other, _) => other,
        };
        let name = match module {
            "" => file_field.to_owned(),
            module => format!("{module}.{file_field}"),
        };
        let transposed =
            field == "weight" && matches!(container, "Struct:LoraLinear" | "Struct:Linear");
        Some(Self { name, transposed })
    }

    /// The shape in the record, for a parameter of this shape.
    pub fn shape(&self, mut shape: Vec<usize>) -> Vec<usize> {
        if self.transposed {
            shape.reverse();
        }
        shape
    }
}

/// Reads the float parameters of `module` to which `entry_of` gives a name, as f32.
///
/// # Errors
///
/// Two parameters with one name.
///
/// # Panics
///
/// If `entry_of` requests the transpose of a parameter that is not a matrix.
pub fn collect<M: Module>(
    module: &M,
    entry_of: impl Fn(Place<'_>) -> Option<Entry>,
) -> Result<ParameterRecord, RecordError> {
    let mut collected = Ok(ParameterRecord::new());
    visit(module, |place, parameter| {
        let (Some(entry), Ok(record)) = (entry_of(place), &mut collected) else { return };
        let (shape, mut values) = (parameter.shape(), parameter.values());
        if entry.transposed {
            values = transpose(&values, matrix(&shape));
        }
        let inserted = HostTensor::from_f32(entry.shape(shape), values)
            .and_then(|tensor| record.insert(entry.name, tensor));
        if let Err(error) = inserted {
            collected = Err(error);
        }
    });
    collected
}

/// Writes the values of `record` into the float parameters of `module` to which `entry_of` gives a name. Parameter
/// identities do not change, so that an optimizer keeps its state.
///
/// # Errors
///
/// Names or shapes that differ from those of [`collect`] for this module, and values that are not finite.
///
/// # Panics
///
/// As [`collect`].
pub fn assign<M: Module>(
    module: M,
    entry_of: impl Fn(Place<'_>) -> Option<Entry>,
    record: &ParameterRecord,
) -> Result<M, RecordError> {
    record.check_matches(&collect(&module, &entry_of)?)?;
    record.check_finite()?;
    Ok(map(module, |place, parameter| {
        let Some(entry) = entry_of(place) else { return };
        let Some(tensor) = record.get(&entry.name) else { return };
        let values = tensor.to_f32();
        parameter.set_values(match entry.transposed {
            true => transpose(&values, matrix(tensor.shape())),
            false => values.into_owned(),
        });
    }))
}

/// The number of values of the float parameters of `module` to which `entry_of` gives a name. Lazy parameters stay
/// lazy.
pub fn count<M: Module>(module: &M, entry_of: impl Fn(Place<'_>) -> Option<Entry>) -> usize {
    let mut count = 0;
    visit(module, |place, parameter| {
        if entry_of(place).is_some() {
            count += parameter.shape().iter().product::<usize>();
        }
    });
    count
}

fn matrix(shape: &[usize]) -> [usize; 2] {
    shape.try_into().expect("only matrices have a transpose")
}

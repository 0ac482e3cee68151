//! Whether a device computes what `flex` computes.

mod operations;

use std::panic::{AssertUnwindSafe, catch_unwind};

use burn::tensor::Device;
use serde::Serialize;

use self::operations::{OPERATIONS, Operation};

/// How far an operation on the device is from `flex`.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[non_exhaustive]
pub struct Finding {
    /// What was computed.
    pub operation: &'static str,
    /// The largest difference, over the largest absolute value that `flex` computes. Infinite where the device gives
    /// a non-finite number or another count of them.
    pub difference: f32,
    /// The largest difference that is accepted.
    pub tolerance: f32,
}

impl Finding {
    /// Whether the difference is accepted.
    pub fn holds(&self) -> bool {
        self.difference <= self.tolerance
    }
}

/// A step of a check.
#[derive(Debug)]
pub enum Step<'a> {
    /// The device begins with this operation: the last one of a driver that crashes or hangs.
    Begins(&'static str),
    /// It has ended.
    Ends(&'a Finding),
}

/// Why a device is not to be trusted.
#[derive(Debug, Clone, thiserror::Error, PartialEq)]
#[non_exhaustive]
pub enum CheckError {
    /// Its numbers are not those of `flex`.
    #[error(
        "{operation} is off by {difference:.1e} of the largest value, where {tolerance:.0e} is accepted: \
         the device computes wrong numbers"
    )]
    Off {
        /// What was computed.
        operation: &'static str,
        /// The largest difference, over the largest absolute value.
        difference: f32,
        /// What is accepted.
        tolerance: f32,
    },
    /// It could not compute at all.
    #[error("{operation} failed: {message}")]
    Failed {
        /// What was to be computed.
        operation: &'static str,
        /// What burn or the driver said.
        message: String,
    },
    /// There is nothing to compare with.
    #[error(
        "devices are compared with flex, and this program was built without it (--features flex)"
    )]
    NoReference,
}

/// Computes a matrix product, softmax, layer norm, attention, a small CLIP and a training step on the device, in about
/// a second where kernels need not be compiled first, and compares each with what `flex` computes.
///
/// A driver may crash or hang on the way, and takes the process with it: the `flora` program calls this in a process of
/// its own.
///
/// # Errors
///
/// The first operation that is off or fails.
///
/// ```
/// # #[cfg(feature = "flex")] {
/// let device = flora::device::parse("flex")?;
/// flora::device::check(&device)?;
/// # }
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub fn check(device: &Device) -> Result<(), CheckError> {
    let findings = measure(device, &mut |_| {})?;
    match findings.into_iter().find(|finding| !finding.holds()) {
        None => Ok(()),
        Some(Finding { operation, difference, tolerance }) => {
            Err(CheckError::Off { operation, difference, tolerance })
        }
    }
}

/// The same, with the difference of every operation, whether it is accepted or not; `tell` hears each step.
///
/// # Errors
///
/// The first operation that fails.
pub fn measure(
    device: &Device,
    tell: &mut dyn FnMut(Step<'_>),
) -> Result<Vec<Finding>, CheckError> {
    let reference = reference()?;
    let mut findings = Vec::new();
    for operation in &OPERATIONS {
        tell(Step::Begins(operation.name));
        let actual = compute(operation, device)?;
        let difference = difference(&actual, &compute(operation, &reference)?);
        let (operation, tolerance) = (operation.name, operation.tolerance);
        let finding = Finding { operation, difference, tolerance };
        tell(Step::Ends(&finding));
        findings.push(finding);
    }
    Ok(findings)
}

#[cfg(feature = "flex")]
fn reference() -> Result<Device, CheckError> {
    Ok(Device::flex())
}

#[cfg(not(feature = "flex"))]
fn reference() -> Result<Device, CheckError> {
    Err(CheckError::NoReference)
}

/// burn panics where a driver refuses.
fn compute(operation: &Operation, device: &Device) -> Result<Vec<Vec<f32>>, CheckError> {
    catch_unwind(AssertUnwindSafe(|| (operation.compute)(device))).map_err(|panic| {
        let text = panic.downcast_ref::<String>().map(String::as_str);
        let text = text.or(panic.downcast_ref::<&str>().copied());
        let message = text.unwrap_or("it panicked").to_owned();
        CheckError::Failed { operation: operation.name, message }
    })
}

/// The largest difference in any of the results, over the largest absolute value of that result.
fn difference(actual: &[Vec<f32>], expected: &[Vec<f32>]) -> f32 {
    if actual.len() != expected.len() {
        return f32::INFINITY;
    }
    let mut largest = 0.0f32;
    for (actual, expected) in actual.iter().zip(expected) {
        if actual.len() != expected.len() || actual.iter().any(|value| !value.is_finite()) {
            return f32::INFINITY;
        }
        let scale = expected.iter().fold(f32::MIN_POSITIVE, |most, value| most.max(value.abs()));
        let apart = actual.iter().zip(expected).map(|(a, b)| (a - b).abs());
        largest = largest.max(apart.fold(0.0, f32::max) / scale);
    }
    largest
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_difference_is_one_of_the_largest_value() {
        let expected = [vec![1.0, -4.0], vec![100.0]];
        assert_eq!(difference(&expected, &expected), 0.0);
        assert_eq!(difference(&[vec![1.5, -4.0], vec![100.0]], &expected), 0.125);
        assert_eq!(difference(&[vec![1.0, -4.0], vec![150.0]], &expected), 0.5);
        assert_eq!(difference(&[vec![1.0, f32::NAN], vec![100.0]], &expected), f32::INFINITY);
        assert_eq!(difference(&[vec![1.0, f32::INFINITY], vec![100.0]], &expected), f32::INFINITY);
        assert_eq!(difference(&[vec![1.0], vec![100.0]], &expected), f32::INFINITY);
        assert_eq!(difference(&expected[..1], &expected), f32::INFINITY);
        // Of values that are all zero, any other one is far away.
        assert!(difference(&[vec![1e-3]], &[vec![0.0]]) > 1e30);
    }

    #[test]
    fn numbers_that_are_off_do_not_hold() {
        let finding = |difference| Finding { operation: "matmul", difference, tolerance: 1e-3 };
        assert!(finding(0.0).holds() && finding(1e-3).holds());
        assert!(!finding(2e-3).holds() && !finding(f32::INFINITY).holds());
        assert!(!finding(f32::NAN).holds());
    }

    #[cfg(feature = "flex")]
    #[test]
    fn flex_is_not_off() {
        let mut begun = Vec::new();
        let findings = measure(&Device::flex(), &mut |step| {
            if let Step::Begins(operation) = step {
                begun.push(operation);
            }
        });
        let findings = findings.unwrap();
        assert!(findings.iter().all(|finding| finding.difference == 0.0), "{findings:?}");
        assert_eq!(begun, OPERATIONS.map(|operation| operation.name));
    }

    /// What is compared is not zero, and the reference is not a constant.
    #[cfg(feature = "flex")]
    #[test]
    fn every_operation_computes_something() {
        for operation in &OPERATIONS {
            for values in compute(operation, &Device::flex()).unwrap() {
                let least = values.iter().copied().fold(f32::INFINITY, f32::min);
                let most = values.iter().copied().fold(f32::NEG_INFINITY, f32::max);
                assert!(
                    most.is_finite() && most - least > 1e-4,
                    "{}: {least} to {most}",
                    operation.name
                );
            }
        }
    }

    #[cfg(feature = "flex")]
    #[test]
    fn a_device_that_panics_is_told() {
        let broken = Operation {
            name: "softmax",
            tolerance: 0.0,
            compute: |_| panic!("the driver refuses {}", "it"),
        };
        let error = compute(&broken, &Device::flex()).unwrap_err();
        assert_eq!(error.to_string(), "softmax failed: the driver refuses it");
    }
}

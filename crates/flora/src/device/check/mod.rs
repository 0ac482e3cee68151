//! Check that a device computes the same as `flex`.

mod operations;

use std::panic::{AssertUnwindSafe, catch_unwind};

use burn::tensor::Device;
use serde::Serialize;

use self::operations::{OPERATIONS, Operation};

/// The difference of an operation on the device from `flex`.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[non_exhaustive]
pub struct Finding {
    /// The operation.
    pub operation: &'static str,
    /// The largest difference, divided by the largest absolute value on `flex`. Infinite if the device returns a
    /// non-finite value or a different number of values.
    pub difference: f32,
    /// The largest accepted difference.
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
    /// The device begins this operation: the last such step names the culprit if a driver crashes or hangs.
    Begins(&'static str),
    /// The operation has ended.
    Ends(&'a Finding),
}

/// Why a device must not be used.
#[derive(Debug, Clone, thiserror::Error, PartialEq)]
#[non_exhaustive]
pub enum CheckError {
    /// Its results differ from those of `flex`.
    #[error(
        "{operation} is off by {difference:.1e} of the largest value, where {tolerance:.0e} is accepted: \
         the device computes wrong numbers"
    )]
    Off {
        /// The operation.
        operation: &'static str,
        /// The largest difference, divided by the largest absolute value.
        difference: f32,
        /// The largest accepted difference.
        tolerance: f32,
    },
    /// An operation failed.
    #[error("{operation} failed: {message}")]
    Failed {
        /// The operation.
        operation: &'static str,
        /// The error of burn or the driver.
        message: String,
    },
    /// There is no reference to compare with.
    #[error(
        "devices are compared with flex, and this program was built without it (--features flex)"
    )]
    NoReference,
}

/// Computes a matrix product, softmax, layer norm, attention, a small CLIP and a training step on the device, and
/// compares each with the result of `flex`. It takes about a second if kernels need not be compiled first.
///
/// A driver may crash or hang, together with its process: the `flora` program calls this in a separate process.
///
/// # Errors
///
/// The first operation that differs or fails.
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

/// Like [`check`], but returns the difference of every operation, accepted or not; `tell` receives each step.
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

/// burn panics if a driver refuses.
fn compute(operation: &Operation, device: &Device) -> Result<Vec<Vec<f32>>, CheckError> {
    catch_unwind(AssertUnwindSafe(|| (operation.compute)(device))).map_err(|panic| {
        let text = panic.downcast_ref::<String>().map(String::as_str);
        let text = text.or(panic.downcast_ref::<&str>().copied());
        let message = text.unwrap_or("it panicked").to_owned();
        CheckError::Failed { operation: operation.name, message }
    })
}

/// The largest difference in any of the results, divided by the largest absolute value of that result.
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
        // If all values are zero, any other value is infinitely far away.
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

    /// The compared values are not zero, and the reference is not constant.
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

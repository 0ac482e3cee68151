//! Devices that burn counts itself: those of CUDA and ROCm.

#[cfg(any(feature = "cuda", feature = "rocm"))]
use std::panic::catch_unwind;

use burn::tensor::Device;
#[cfg(any(feature = "cuda", feature = "rocm"))]
use burn::tensor::DeviceType;

use super::{Adapter, missing};
use crate::device::{Backend, DeviceError, DeviceName};

/// The devices of `backend`; each is opened to ask for its name.
pub(super) fn devices(backend: Backend) -> Vec<(Device, Adapter)> {
    match backend {
        #[cfg(feature = "cuda")]
        Backend::Cuda => listed(backend, || Device::enumerate(DeviceType::Cuda)),
        #[cfg(feature = "rocm")]
        Backend::Rocm => listed(backend, || Device::enumerate(DeviceType::Rocm)),
        _ => Vec::new(),
    }
}

/// burn panics if a library of the driver is missing.
#[cfg(any(feature = "cuda", feature = "rocm"))]
fn listed(
    backend: Backend,
    enumerate: impl FnOnce() -> burn::tensor::Devices + std::panic::UnwindSafe,
) -> Vec<(Device, Adapter)> {
    let Ok(devices) = catch_unwind(enumerate) else { return Vec::new() };
    let (api, version) = match backend {
        Backend::Cuda => ("CUDA", first_line("/proc/driver/nvidia/version")),
        _ => ("ROCm", first_line("/sys/module/amdgpu/version")),
    };
    let mut found = Vec::new();
    for (index, device) in devices.into_iter().enumerate() {
        let asked = catch_unwind(std::panic::AssertUnwindSafe(|| device.identity()));
        let Ok(identity) = asked else { continue };
        let adapter = Adapter {
            device: format!("{}:{index}", backend.name()),
            name: identity.map(|identity| identity.name).unwrap_or_default(),
            api,
            kind: "discrete GPU",
            driver: String::new(),
            driver_version: version.clone(),
        };
        found.push((device, adapter));
    }
    found
}

/// Linux's description of a driver.
#[cfg(any(feature = "cuda", feature = "rocm"))]
fn first_line(path: &str) -> String {
    let text = std::fs::read_to_string(path).unwrap_or_default();
    text.lines().next().unwrap_or_default().trim().to_owned()
}

pub(super) fn find(name: &DeviceName) -> Result<(Device, Adapter), DeviceError> {
    let devices = devices(name.backend);
    let wanted = format!("{}:{}", name.backend.name(), name.index.unwrap_or(0));
    match devices.iter().find(|(_, adapter)| adapter.device == wanted) {
        Some((device, adapter)) => Ok((device.clone(), adapter.clone())),
        None => {
            let (api, remedy) = match name.backend {
                Backend::Cuda => {
                    ("CUDA", "The NVIDIA driver and CUDA must be installed: see nvidia-smi.")
                }
                _ => ("ROCm", "The AMD driver and ROCm must be installed: see rocminfo."),
            };
            let found: Vec<_> = devices.iter().map(|(_, adapter)| adapter).collect();
            Err(missing(name, api, &found, remedy))
        }
    }
}

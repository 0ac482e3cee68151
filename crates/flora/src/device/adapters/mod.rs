//! The adapters of this machine.

#[cfg(feature = "wgpu")]
mod graphics;
mod indexed;

use burn::tensor::Device;
use serde::Serialize;

use super::{Backend, DeviceError, DeviceName};

/// A GPU or its software emulation, as described by its driver.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Adapter {
    /// Its name for `--device`, for example `vulkan:0`.
    pub device: String,
    /// Its own name.
    pub name: String,
    /// The API that it is used through: `Vulkan`, `Metal`, `CUDA`, ...
    pub api: &'static str,
    /// `discrete GPU`, `integrated GPU`, `virtual GPU`, `software` or `other`.
    pub kind: &'static str,
    /// The driver's name; empty if unknown.
    pub driver: String,
    /// The driver's version; empty if unknown.
    pub driver_version: String,
}

impl Adapter {
    /// Whether it is a software emulation of a GPU.
    pub fn is_software(&self) -> bool {
        self.kind == SOFTWARE
    }

    /// Name, API, driver and version, on one line.
    pub fn description(&self) -> String {
        let mut words = format!("{} ({}, {})", self.name, self.kind, self.api);
        match (self.driver.as_str(), self.driver_version.as_str()) {
            ("", "") => {}
            ("", version) => words += &format!(", driver {version}"),
            (driver, "") => words += &format!(", driver {driver}"),
            (driver, version) => words += &format!(", driver {driver}, {version}"),
        }
        words
    }
}

const SOFTWARE: &str = "software";

/// The adapters that `backend` finds on this machine, in the order of their numbers. There are none for a backend that
/// was not compiled in, and for the backends with a single device: `flex`, `ndarray`, `llvm`.
///
/// This loads the drivers. Call it before other threads use the same graphics API.
pub fn adapters(backend: Backend) -> Vec<Adapter> {
    match backend {
        #[cfg(feature = "wgpu")]
        Backend::Wgpu | Backend::Vulkan | Backend::Metal | Backend::WebGpu
            if backend.is_compiled() =>
        {
            graphics::found(backend).into_iter().map(|found| found.adapter).collect()
        }
        Backend::Cuda | Backend::Rocm => {
            indexed::devices(backend).iter().map(|(_, adapter)| adapter.clone()).collect()
        }
        _ => Vec::new(),
    }
}

/// The device with this name.
pub(super) fn find(name: &DeviceName) -> Result<(Device, Option<Adapter>), DeviceError> {
    match name.backend {
        #[cfg(feature = "flex")]
        Backend::Flex => Ok((Device::flex(), None)),
        #[cfg(feature = "ndarray")]
        Backend::NdArray => Ok((ndarray(), None)),
        #[cfg(feature = "cpu")]
        Backend::Llvm => Ok((Device::cpu(), None)),
        #[cfg(feature = "wgpu")]
        Backend::Wgpu | Backend::Vulkan | Backend::Metal | Backend::WebGpu => {
            graphics::find(name).map(|(device, adapter)| (device, Some(adapter)))
        }
        _ => indexed::find(name).map(|(device, adapter)| (device, Some(adapter))),
    }
}

/// burn 0.23 drops it.
#[cfg(feature = "ndarray")]
#[allow(deprecated)]
fn ndarray() -> Device {
    Device::ndarray()
}

/// The error for an adapter that is not among `found`.
fn missing(
    name: &DeviceName,
    apis: &str,
    found: &[&Adapter],
    remedy: impl Into<String>,
) -> DeviceError {
    let looked_for = match name.index {
        None => format!("an adapter of {apis}"),
        Some(index) => format!("adapter {index} of {apis}, counted from 0"),
    };
    let listed: Vec<String> =
        found.iter().map(|it| format!("{} {}", it.device, it.description())).collect();
    let found = if listed.is_empty() { "none".to_owned() } else { listed.join("; ") };
    DeviceError::NoAdapter { name: name.to_string(), looked_for, found, remedy: remedy.into() }
}

#[cfg(test)]
mod tests {
    use super::*;

    pub(super) fn llvmpipe() -> Adapter {
        Adapter {
            device: "vulkan:0".into(),
            name: "llvmpipe (LLVM 15.0.6, 256 bits)".into(),
            api: "Vulkan",
            kind: SOFTWARE,
            driver: "llvmpipe".into(),
            driver_version: "Mesa 22.3.6 (LLVM 15.0.6)".into(),
        }
    }

    #[test]
    fn an_adapter_describes_itself_on_a_line() {
        let adapter = llvmpipe();
        assert_eq!(
            adapter.description(),
            "llvmpipe (LLVM 15.0.6, 256 bits) (software, Vulkan), driver llvmpipe, Mesa 22.3.6 (LLVM 15.0.6)"
        );
        let silent = Adapter { driver: String::new(), driver_version: String::new(), ..adapter };
        assert_eq!(silent.description(), "llvmpipe (LLVM 15.0.6, 256 bits) (software, Vulkan)");
    }

    #[test]
    fn an_adapter_that_is_missing_is_told_with_those_that_are_there() {
        let name = DeviceName { backend: Backend::Vulkan, index: Some(1) };
        let message = missing(&name, "Vulkan", &[&llvmpipe()], "Install one.").to_string();
        assert_eq!(
            message,
            "--device vulkan:1: looked for adapter 1 of Vulkan, counted from 0, and found vulkan:0 llvmpipe \
             (LLVM 15.0.6, 256 bits) (software, Vulkan), driver llvmpipe, Mesa 22.3.6 (LLVM 15.0.6)\nInstall one."
        );
        let name = DeviceName { backend: Backend::Vulkan, index: None };
        let message = missing(&name, "Vulkan", &[], "Install one.").to_string();
        assert!(message.contains("looked for an adapter of Vulkan, and found none\n"), "{message}");
    }

    #[test]
    fn what_was_not_compiled_in_finds_nothing() {
        for backend in Backend::ALL.into_iter().filter(|backend| !backend.is_compiled()) {
            assert_eq!(adapters(backend), []);
        }
        assert_eq!(adapters(Backend::Flex), []);
    }
}

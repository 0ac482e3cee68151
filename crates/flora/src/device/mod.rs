//! Devices by name, the list of available devices, and a check of their results.
//!
//! A name is a backend, followed by the number of an adapter where there may be several: `flex`, `vulkan`, `vulkan:1`,
//! `cuda:0`; [`DeviceName`] lists them all. [`open`] turns a name into a burn device; its error names the feature to
//! build with, or the adapter it looked for. [`check`] computes the operations of a CLIP on a device and compares them
//! with `flex`: some software drivers silently compute wrong numbers.

mod adapters;
mod backend;
mod check;
mod error;
mod name;

pub use adapters::{Adapter, adapters};
pub use backend::Backend;
pub use check::{CheckError, Finding, Step, check, measure};
pub use error::DeviceError;
pub use name::DeviceName;

use burn::tensor::Device;

/// A device that can compute.
#[derive(Debug, Clone)]
pub struct Opened {
    /// Its name, as requested, or the resolved one for `auto`.
    pub name: String,
    /// The backend that it names.
    pub backend: Backend,
    /// The device.
    pub device: Device,
    /// The adapter; `None` for `flex` and `ndarray`.
    pub adapter: Option<Adapter>,
}

/// The backends that were compiled in, each with a short description.
pub fn available() -> Vec<(&'static str, &'static str)> {
    let compiled = Backend::ALL.iter().filter(|backend| backend.is_compiled());
    compiled.map(|backend| (backend.name(), backend.what())).collect()
}

/// The device with this `name`; `cpu` is the pure-Rust CPU backend, `flex`.
///
/// # Errors
///
/// An unknown name, a backend that was not compiled in, or an adapter that does not exist.
///
/// ```
/// # #[cfg(feature = "flex")] {
/// assert!(flora::device::parse("cpu").is_ok());
/// # }
/// assert!(flora::device::parse("abacus").is_err());
/// ```
pub fn parse(name: &str) -> Result<Device, DeviceError> {
    open(name).map(|opened| opened.device)
}

/// The device with this `name`, and its description.
///
/// # Errors
///
/// An unknown name, a backend that was not compiled in, or an adapter that does not exist.
pub fn open(name: &str) -> Result<Opened, DeviceError> {
    let parsed: DeviceName = name.parse()?;
    let (device, adapter) = adapters::find(&parsed)?;
    let name = if name == DeviceName::AUTO { parsed.to_string() } else { name.to_owned() };
    Ok(Opened { name, backend: parsed.backend, device, adapter })
}

/// The device of `--device NAME` among a program's arguments, the CPU by default; both words are removed. A device
/// other than `flex` is first compared with it ([`check`]). For programs without an argument parser, such as the
/// examples.
///
/// # Errors
///
/// Those of [`open`], and a device that computes wrong numbers.
///
/// ```
/// # #[cfg(feature = "flex")] {
/// let mut arguments = ["cat.png", "--device", "flex", "cat"].map(str::to_owned).to_vec();
/// flora::device::take_from(&mut arguments).unwrap();
/// assert_eq!(arguments, ["cat.png", "cat"]);
///
/// let mut arguments = vec!["--device=abacus".to_owned()];
/// assert!(flora::device::take_from(&mut arguments).is_err());
/// # }
/// ```
pub fn take_from(arguments: &mut Vec<String>) -> Result<Device, Box<dyn std::error::Error>> {
    const FLAG: &str = "--device";
    let flag =
        |it: &String| it.strip_prefix(FLAG).is_some_and(|it| it.is_empty() || it.starts_with('='));
    let Some(at) = arguments.iter().position(flag) else {
        return Ok(parse("cpu")?);
    };
    let given = match arguments.remove(at).split_once('=') {
        Some((_, name)) => name.to_owned(),
        None if at < arguments.len() => arguments.remove(at),
        None => String::new(),
    };
    let opened = open(&given)?;
    if opened.backend != Backend::Flex {
        check(&opened.device)?;
    }
    Ok(opened.device)
}

/// Whether several threads should compute on the device at once: this is true for CPUs, whose threads are the workers;
/// one thread keeps a GPU busy.
pub fn is_cpu(name: &str) -> bool {
    DeviceName::read(name).is_ok_and(|name| name.backend.is_cpu())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[cfg(feature = "flex")]
    #[test]
    fn the_cpu_is_flex_and_has_no_adapter() {
        for name in ["cpu", "flex"] {
            let opened = open(name).unwrap();
            assert_eq!((opened.name.as_str(), opened.adapter), (name, None));
            assert_eq!(opened.device, Device::flex());
        }
    }

    #[test]
    fn one_thread_keeps_a_gpu_busy() {
        let cpus = ["cpu", "flex", "ndarray"];
        assert!(cpus.iter().all(|name| is_cpu(name)));
        let others =
            ["vulkan", "wgpu:1", "cuda:0", "rocm", "metal", "llvm", "abacus", "flex:1", ""];
        assert!(!others.iter().any(|name| is_cpu(name)));
    }

    #[cfg(feature = "wgpu")]
    #[test]
    fn an_adapter_that_is_not_there_is_an_error() {
        let message = parse("wgpu:4000").unwrap_err().to_string();
        assert!(
            message.contains("wgpu:4000") && message.contains("mesa-vulkan-drivers"),
            "{message}"
        );
    }
}

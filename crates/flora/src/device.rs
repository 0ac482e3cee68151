//! Which burn device a name means.

use burn::tensor::Device;
#[cfg(any(feature = "wgpu", feature = "vulkan", feature = "metal"))]
use burn::tensor::DeviceKind;

/// A name of a device and the Cargo feature that compiles it in.
struct Backend {
    name: &'static str,
    what: &'static str,
    compiled: bool,
}

const BACKENDS: [Backend; 6] = [
    Backend { name: "flex", what: "CPU, pure Rust", compiled: cfg!(feature = "flex") },
    Backend {
        name: "ndarray",
        what: "CPU, burn's older backend",
        compiled: cfg!(feature = "ndarray"),
    },
    Backend { name: "wgpu", what: "GPU through wgpu", compiled: cfg!(feature = "wgpu") },
    Backend { name: "vulkan", what: "GPU through Vulkan", compiled: cfg!(feature = "vulkan") },
    Backend { name: "metal", what: "Apple GPU", compiled: cfg!(feature = "metal") },
    Backend { name: "cuda", what: "NVIDIA GPU", compiled: cfg!(feature = "cuda") },
];

/// A device name that cannot be used.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[non_exhaustive]
pub enum DeviceError {
    /// The backend exists but this program was built without it.
    #[error(
        "--device {name}: this program was built without it; build it again with \
         `--features {name}`, or choose one of: {available}"
    )]
    NotCompiled {
        /// What was asked for.
        name: String,
        /// The devices that were compiled in.
        available: String,
    },
    /// There is no such backend.
    #[error("--device {name}: no such device; choose one of: {available}")]
    Unknown {
        /// What was asked for.
        name: String,
        /// The devices that were compiled in.
        available: String,
    },
}

/// The devices that were compiled in, each with a few words on what it is.
pub fn available() -> Vec<(&'static str, &'static str)> {
    BACKENDS.iter().filter(|b| b.compiled).map(|b| (b.name, b.what)).collect()
}

/// The device that `name` means; `cpu` is the pure-Rust CPU backend, `flex`.
///
/// # Errors
///
/// A name that is unknown or whose backend was not compiled in.
///
/// ```
/// # #[cfg(feature = "flex")] {
/// assert!(flora::device::parse("cpu").is_ok());
/// # }
/// assert!(flora::device::parse("abacus").is_err());
/// ```
pub fn parse(name: &str) -> Result<Device, DeviceError> {
    let canonical = if name == "cpu" { "flex" } else { name };
    match canonical {
        #[cfg(feature = "flex")]
        "flex" => return Ok(Device::flex()),
        #[cfg(feature = "ndarray")]
        "ndarray" => return Ok(Device::ndarray()),
        #[cfg(feature = "wgpu")]
        "wgpu" => return Ok(Device::wgpu(DeviceKind::DefaultDevice)),
        #[cfg(feature = "vulkan")]
        "vulkan" => return Ok(Device::vulkan(DeviceKind::DefaultDevice)),
        #[cfg(feature = "metal")]
        "metal" => return Ok(Device::metal(DeviceKind::DefaultDevice)),
        #[cfg(feature = "cuda")]
        "cuda" => return Ok(Device::cuda(0)),
        _ => {}
    }
    let shown = |name| if name == "flex" { "cpu (flex)" } else { name };
    let names: Vec<_> = available().into_iter().map(|(name, _)| shown(name)).collect();
    let (name, available) = (name.to_owned(), names.join(", "));
    if BACKENDS.iter().any(|backend| backend.name == canonical) {
        Err(DeviceError::NotCompiled { name, available })
    } else {
        Err(DeviceError::Unknown { name, available })
    }
}

/// Whether several threads may well compute on the device at once: true of CPUs, whose threads are
/// the workers; a GPU is kept busy by one.
pub fn is_cpu(name: &str) -> bool {
    matches!(name, "cpu" | "flex" | "ndarray")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn unusable_names_say_what_to_do() {
        let message = parse("abacus").unwrap_err().to_string();
        assert!(message.contains("no such device"), "{message}");
        if !cfg!(feature = "cuda") {
            let message = parse("cuda").unwrap_err().to_string();
            assert!(message.contains("--features cuda"), "{message}");
        }
    }
}

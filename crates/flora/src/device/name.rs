use std::fmt::{Display, Formatter};
use std::str::FromStr;

use flora_core::text::nearest;

use super::{Backend, DeviceError, adapters, available};

/// The name of a device, with a backend that was compiled in:
/// `flex|cpu|ndarray|llvm|cuda[:i]|rocm[:i]|metal[:i]|vulkan[:i]|wgpu[:i]|webgpu[:i]|auto`.
///
/// `cpu` is `flex`. Adapters are counted from 0 in the order of `flora devices`. Without a number it is the best one: a
/// GPU with its own memory, else another GPU, else a software driver. `auto` is the first compiled backend with a GPU,
/// else `flex`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeviceName {
    /// The backend.
    pub backend: Backend,
    /// The adapter's number, if given.
    pub index: Option<usize>,
}

impl DeviceName {
    pub(super) const AUTO: &str = "auto";

    /// Parses the name in `text`, whether its backend was compiled in or not. `auto` is not a backend.
    pub(super) fn read(text: &str) -> Result<Self, DeviceError> {
        let (word, index) = match text.split_once(':') {
            Some((word, index)) => (word, Some(index)),
            None => (text, None),
        };
        let word = if word == "cpu" { Backend::Flex.name() } else { word };
        let Some(backend) = Backend::ALL.into_iter().find(|it| it.name() == word) else {
            return Err(unknown(text, word));
        };
        let wrong = |problem: String| DeviceError::Index { name: text.to_owned(), problem };
        let Some(index) = index else { return Ok(Self { backend, index: None }) };
        if !backend.has_adapters() {
            return Err(wrong(format!("{word} is a single device; leave out :{index}")));
        }
        // No sign, no blank: only the printed form is accepted.
        let digits = index.bytes().all(|byte| byte.is_ascii_digit());
        let number = index.parse().ok().filter(|_| digits);
        let number = number.ok_or_else(|| {
            wrong(format!(
                "{index:?} is not the number of an adapter; they are counted from 0: {word}:0"
            ))
        })?;
        Ok(Self { backend, index: Some(number) })
    }
}

impl FromStr for DeviceName {
    type Err = DeviceError;

    fn from_str(text: &str) -> Result<Self, DeviceError> {
        if text == Self::AUTO {
            return Ok(Self { backend: automatic(), index: None });
        }
        let name = Self::read(text)?;
        if name.backend.is_compiled() {
            return Ok(name);
        }
        Err(DeviceError::NotCompiled {
            name: text.to_owned(),
            feature: name.backend.feature(),
            available: choice(),
        })
    }
}

impl Display for DeviceName {
    fn fmt(&self, f: &mut Formatter<'_>) -> std::fmt::Result {
        match self.index {
            None => f.write_str(self.backend.name()),
            Some(index) => write!(f, "{}:{index}", self.backend.name()),
        }
    }
}

/// The first backend with a GPU, else the CPU.
fn automatic() -> Backend {
    let compiled = Backend::ALL.into_iter().filter(|backend| backend.is_compiled());
    let gpus = compiled.clone().filter(|backend| backend.has_adapters());
    let mut with_gpu = gpus.filter(|&backend| adapters(backend).iter().any(|it| !it.is_software()));
    // A build without a CPU backend names its first backend, and fails as that does.
    with_gpu.next().or(compiled.into_iter().next()).unwrap_or(Backend::Flex)
}

fn unknown(text: &str, word: &str) -> DeviceError {
    let names = Backend::ALL.iter().map(|backend| backend.name()).chain(["cpu", DeviceName::AUTO]);
    let near = nearest(word, names);
    DeviceError::Unknown {
        name: text.to_owned(),
        available: choice(),
        hint: near.map(|near| format!("; did you mean {near}?")).unwrap_or_default(),
    }
}

/// The compiled devices, for messages.
fn choice() -> String {
    let shown = |name| if name == "flex" { "cpu (flex)" } else { name };
    available().into_iter().map(|(name, _)| shown(name)).collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<(Backend, Option<usize>), DeviceError> {
        DeviceName::read(text).map(|name| (name.backend, name.index))
    }

    #[test]
    fn a_name_is_a_backend_and_the_number_of_an_adapter() {
        for backend in Backend::ALL {
            assert_eq!(read(backend.name()), Ok((backend, None)));
            let numbered = format!("{}:12", backend.name());
            assert_eq!(read(&numbered).is_ok(), backend.has_adapters(), "{numbered}");
        }
        assert_eq!(read("cpu"), Ok((Backend::Flex, None)));
        assert_eq!(read("vulkan:1"), Ok((Backend::Vulkan, Some(1))));
        assert_eq!(read("cuda:0"), Ok((Backend::Cuda, Some(0))));
        assert_eq!(DeviceName::read("wgpu:3").unwrap().to_string(), "wgpu:3");
        assert_eq!(DeviceName::read("cpu").unwrap().to_string(), "flex");
    }

    #[test]
    fn what_is_no_number_is_refused() {
        for text in
            ["vulkan:", "vulkan:x", "vulkan:-1", "vulkan:+1", "wgpu: 0", "cuda:1:2", "rocm:0x1"]
        {
            let message = read(text).unwrap_err().to_string();
            assert!(message.contains(text) && message.contains("counted from 0"), "{message}");
        }
        let message = read("wgpu:99999999999999999999999").unwrap_err().to_string();
        assert!(message.contains("counted from 0"), "{message}");
        for text in ["flex:0", "cpu:1", "ndarray:0", "llvm:0"] {
            let message = read(text).unwrap_err().to_string();
            assert!(message.contains("single device"), "{message}");
        }
    }

    #[test]
    fn unusable_names_say_what_to_do() {
        for text in ["abacus", "", "Vulkan", "FLEX", " flex", "vulcan", "gpu", ":0", "auto:0"] {
            let message = text.parse::<DeviceName>().unwrap_err().to_string();
            assert!(message.contains("no such device"), "{message}");
        }
        let message = "vulcan".parse::<DeviceName>().unwrap_err().to_string();
        assert!(message.ends_with("did you mean vulkan?"), "{message}");
        for backend in Backend::ALL.into_iter().filter(|backend| !backend.is_compiled()) {
            let message = backend.name().parse::<DeviceName>().unwrap_err().to_string();
            let command = format!("cargo build --release --features {}`", backend.feature());
            assert!(message.contains(&command), "{message}");
        }
    }

    #[cfg(all(feature = "flex", not(any(feature = "wgpu", feature = "cuda", feature = "rocm"))))]
    #[test]
    fn without_a_gpu_s_backend_the_automatic_choice_is_the_cpu() {
        assert_eq!("auto".parse::<DeviceName>().unwrap().to_string(), "flex");
    }
}

//! Selecting a device, and checking it before use.

mod passed;
mod trial;

use std::process::Command;
use std::time::Duration;

use flora::device::{Backend, Opened};
use flora::tuning::Experiment;
use serde_json::json;

pub(crate) use self::trial::{Compared, Message, Trial};
use crate::failure::Failure;
use crate::{output, program};

/// The subcommand that this program calls itself with.
pub(crate) const TRY: &str = "try-device";

/// The time limit of an operation of the check. It includes compiling kernels, which is slow with a software driver.
const PATIENCE: Duration = Duration::from_secs(180);

/// The device to compute on.
#[derive(Debug, Clone, clap::Args)]
pub(crate) struct DeviceArgs {
    /// Device to compute on, for example cpu, vulkan, cuda:1 or auto; `flora devices` lists them [default: cpu; for an
    /// existing run, its device]
    #[arg(long, value_name = "NAME")]
    device: Option<String>,
    /// Use the device without comparing it with flex first, or even if that fails
    #[arg(long)]
    trust_device: bool,
}

impl DeviceArgs {
    /// The device given by the user.
    pub(crate) fn given(&self) -> Option<&str> {
        self.device.as_deref()
    }

    /// Whether devices are used without a check.
    pub(crate) fn trusts(&self) -> bool {
        self.trust_device
    }

    /// The given device, or the CPU by default.
    pub(crate) fn open(&self) -> Result<Place, Failure> {
        self.open_or("cpu")
    }

    /// The given device, or the one named `other` by default.
    pub(crate) fn open_or(&self, other: &str) -> Result<Place, Failure> {
        let opened = flora::device::open(self.given().unwrap_or(other)).map_err(Failure::input)?;
        if !self.trust_device {
            check_once(&opened)?;
        }
        Ok(Place { name: opened.name, device: opened.device, threads: None })
    }

    /// The same options for another device.
    pub(crate) fn named(&self, device: &str) -> Self {
        Self { device: Some(device.to_owned()), ..self.clone() }
    }
}

/// A device in use.
#[derive(Debug)]
pub(crate) struct Place {
    pub(crate) name: String,
    pub(crate) device: flora::Device,
    /// On the CPU, the number of threads instead of the experiment's.
    pub(crate) threads: Option<usize>,
}

impl Place {
    pub(crate) fn set_threads(&self, experiment: &mut Experiment) {
        if !flora::device::is_cpu(&self.name) {
            // One thread keeps a GPU busy.
            experiment.federation.threads = 1;
        } else if let Some(threads) = self.threads {
            experiment.federation.threads = threads;
        }
    }
}

/// Compares the device with flex, unless that was done before with this driver and program.
fn check_once(opened: &Opened) -> Result<(), Failure> {
    if key(opened).is_none_or(|key| passed::contains(&key)) {
        return Ok(());
    }
    let adapter = description(opened);
    output::error_line(format!(
        "{}: compared with flex, once for {adapter} and this version of flora",
        opened.name
    ));
    let (_, problem) = check_now(opened, &mut |_| {})?;
    problem.map_or(Ok(()), |problem| Err(Failure::Input(problem)))
}

/// Compares the device with flex now; `tell` is called before each operation. A pass is recorded.
pub(crate) fn check_now(
    opened: &Opened,
    tell: &mut dyn FnMut(&str),
) -> Result<(Trial, Option<String>), Failure> {
    let trial = try_device(&opened.name, tell)?;
    let problem = refusal(opened, &trial);
    if let Some(key) = key(opened).filter(|_| problem.is_none()) {
        passed::insert(&key);
    }
    Ok((trial, problem))
}

fn try_device(name: &str, tell: &mut dyn FnMut(&str)) -> Result<Trial, Failure> {
    let cannot = |error| Failure::Run(format!("cannot start flora to try the device: {error}"));
    let mut command = Command::new(program::path().map_err(cannot)?);
    command.args([TRY, name]);
    trial::run(command, PATIENCE, tell).map_err(cannot)
}

/// The key of a recorded pass: the adapter with its driver, and the program. `None` for flex, the reference.
fn key(opened: &Opened) -> Option<String> {
    if opened.backend == Backend::Flex {
        return None;
    }
    let compiled = Backend::ALL.into_iter().filter(|backend| backend.is_compiled());
    let compiled: Vec<_> = compiled.map(Backend::name).collect();
    let key = json!({
        "flora": crate::version::short(),
        "burn": flora::BURN_VERSION,
        "compiled": compiled,
        "fusion": cfg!(feature = "fusion"),
        "autotune": cfg!(feature = "autotune"),
        "backend": opened.backend.name(),
        "adapter": opened.adapter,
    });
    Some(key.to_string())
}

/// The adapter and its driver, otherwise what the backend computes on.
fn description(opened: &Opened) -> String {
    let adapter = opened.adapter.as_ref();
    adapter.map_or_else(|| opened.backend.what().to_owned(), |adapter| adapter.description())
}

/// Why the device is refused, with a remedy; `None` if it passed.
fn refusal(opened: &Opened, trial: &Trial) -> Option<String> {
    let problem = trial.problem()?;
    let other = match opened.backend {
        Backend::Vulkan => {
            "a program built with `--features wgpu` and without vulkan, whose kernels are WGSL instead of SPIR-V"
        }
        _ => "another device (flora devices)",
    };
    Some(format!(
        "--device {}: {problem}\non {}\nNothing was computed on it. Try a newer driver, {other}, or --device flex; \
         --trust-device skips the comparison.",
        opened.name,
        description(opened)
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn compared(operation: &str, difference: Option<f32>) -> Compared {
        Compared { operation: operation.into(), difference, tolerance: 5e-3 }
    }

    #[test]
    fn a_refusal_names_device_operation_and_remedy() {
        let opened = Opened {
            name: "vulkan".into(),
            backend: Backend::Vulkan,
            device: flora::device::parse("cpu").unwrap(),
            adapter: None,
        };
        let good = Trial::Ended(vec![compared("matmul", Some(1e-7))]);
        assert_eq!(refusal(&opened, &good), None);
        let off = Trial::Ended(vec![compared("copy", Some(0.0)), compared("matmul", Some(0.7))]);
        let message = refusal(&opened, &off).unwrap();
        assert_eq!(
            message,
            "--device vulkan: wrong numbers: matmul is off by 7.0e-1 of the largest value (accepted: 5.0e-3)\n\
             on GPU through Vulkan\nNothing was computed on it. Try a newer driver, a program built with \
             `--features wgpu` and without vulkan, whose kernels are WGSL instead of SPIR-V, or --device flex; \
             --trust-device skips the comparison."
        );
    }

    #[test]
    fn flex_is_not_compared_with_itself() {
        assert_eq!(key(&flora::device::open("cpu").unwrap()), None);
    }

    #[cfg(feature = "ndarray")]
    #[test]
    fn a_pass_holds_for_a_version_of_flora_and_of_burn() {
        let key = key(&flora::device::open("ndarray").unwrap()).unwrap();
        for part in [crate::version::short(), flora::BURN_VERSION, "\"backend\":\"ndarray\""] {
            assert!(key.contains(part), "{key}");
        }
    }
}

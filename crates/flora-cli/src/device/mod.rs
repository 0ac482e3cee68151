//! Where to compute, tried before it is trusted.

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

/// How long an operation of the check may take. Kernels are compiled in that time, which a software driver is slow at.
const PATIENCE: Duration = Duration::from_secs(180);

/// Where to compute.
#[derive(Debug, Clone, clap::Args)]
pub(crate) struct DeviceArgs {
    /// Where to compute, for example cpu, vulkan, cuda:1 or auto; `flora devices` lists what there is [default: cpu; for
    /// a run that is there already, where it computed]
    #[arg(long, value_name = "NAME")]
    device: Option<String>,
    /// Compute on the device without comparing it with flex first, or although it fails
    #[arg(long)]
    trust_device: bool,
}

impl DeviceArgs {
    /// What is given.
    pub(crate) fn given(&self) -> Option<&str> {
        self.device.as_deref()
    }

    /// Whether devices are computed on without comparing them.
    pub(crate) fn trusts(&self) -> bool {
        self.trust_device
    }

    /// The device that is given, else the CPU.
    pub(crate) fn open(&self) -> Result<Place, Failure> {
        self.open_or("cpu")
    }

    /// The device that is given, else the one called `other`.
    pub(crate) fn open_or(&self, other: &str) -> Result<Place, Failure> {
        let opened = flora::device::open(self.given().unwrap_or(other)).map_err(Failure::input)?;
        if !self.trust_device {
            check_once(&opened)?;
        }
        Ok(Place { name: opened.name, device: opened.device, threads: None })
    }

    /// The same for another device.
    pub(crate) fn named(&self, device: &str) -> Self {
        Self { device: Some(device.to_owned()), ..self.clone() }
    }
}

/// A device that is computed on.
#[derive(Debug)]
pub(crate) struct Place {
    pub(crate) name: String,
    pub(crate) device: flora::Device,
    /// Instead of the experiment's threads, where it is the CPU.
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

/// Compares the device with flex, unless that has been done with this driver and this program.
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

/// Compares the device with flex, now; `tell` hears of each operation before it begins. A pass is remembered.
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

/// What a pass holds for: the adapter with its driver, and the program. `None` for flex, with which others are compared.
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

/// The adapter and its driver, else what the backend computes on.
fn description(opened: &Opened) -> String {
    let adapter = opened.adapter.as_ref();
    adapter.map_or_else(|| opened.backend.what().to_owned(), |adapter| adapter.description())
}

/// Why the device is not computed on, and what to try; `None` where it passed.
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

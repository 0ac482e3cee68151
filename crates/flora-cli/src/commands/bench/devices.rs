//! Runs the same workloads on several devices, each in its own process: memory is measured per device, and a driver
//! that crashes does not affect the others.

use std::process::{Command, Stdio};

use flora::bench::{Measurement, Report, TextLength, Workload};
use flora::clip::Precision;
use flora::device::{Adapter, Backend};
use flora::report::tables;
use flora::report::units::{bytes, figure, percent};
use serde::Serialize;

use super::super::devices::listing;
use super::{Bench, name};
use crate::failure::Failure;
use crate::{output, program};

/// The word for every device.
const ALL: &str = "all";
const FLEX: &str = Backend::Flex.name();

/// Measurements, by device.
#[derive(Debug, Serialize)]
pub(super) struct Comparison {
    flora: &'static str,
    burn: &'static str,
    /// In the requested order.
    devices: Vec<Measured>,
}

/// The measurement of a device in one precision.
#[derive(Debug, Serialize)]
struct Measured {
    device: String,
    adapter: Option<Adapter>,
    precision: Precision,
    report: Option<Report>,
    /// Why there is no report.
    problem: Option<String>,
}

impl Comparison {
    pub(super) fn run(bench: &Bench) -> Result<Self, Failure> {
        let mut devices = Vec::new();
        for (device, adapter) in named(&bench.devices)? {
            for &precision in &bench.precision {
                let (device, adapter) = (device.clone(), adapter.clone());
                devices.push(Measured { device, adapter, precision, report: None, problem: None });
            }
        }
        let mut reference = None;
        if Backend::Flex.is_compiled() {
            // The reference comes first; if it was requested as well, it is measured with the rest.
            let once = [small(bench.warmup, 0), small(bench.repeats, 1)];
            reference = Some(bench.measure(FLEX, Precision::F32, once)?);
        }
        for measured in &mut devices {
            output::error_line(format!("{} in {}", measured.device, measured.precision));
            let repeats = [bench.warmup, bench.repeats];
            match bench.measure(&measured.device, measured.precision, repeats) {
                Ok(mut report) => {
                    reference.iter().for_each(|reference| report.compare(reference));
                    report.results.iter_mut().for_each(|result| result.outcome = None);
                    let infinite = |it: &&Measurement| it.difference.is_some_and(f64::is_infinite);
                    match report.results.iter().find(infinite) {
                        Some(result) => {
                            let workload = result.workload;
                            measured.problem =
                                Some(format!("{workload} gives values that are not finite"));
                        }
                        None => measured.report = Some(report),
                    }
                }
                Err(Failure::Input(problem) | Failure::Run(problem)) => {
                    measured.problem = Some(problem);
                }
                Err(stopped) => return Err(stopped),
            }
        }
        Ok(Self { flora: crate::version::short(), burn: flora::BURN_VERSION, devices })
    }

    /// The comparison as tables.
    pub(super) fn shown(&self) -> String {
        let header =
            ["device", "workload", "seconds", "items/s", "% of peak", "memory", "differs by"];
        let reports = self.devices.iter().filter_map(|it| Some((it, it.report.as_ref()?)));
        let rows = reports.clone().flat_map(|(measured, report)| {
            report.results.iter().map(|result| row(&measured.device, result))
        });
        let mut text = String::new();
        if let Some((_, report)) = reports.clone().next() {
            text += &format!("{}, {}\n\n", report.model.name, report.cpu);
        }
        text += &tables::figures(header, rows.collect(), output::page());
        text += "\n";
        for (measured, report) in reports {
            let adapter = measured.adapter.as_ref().map(|it| format!(" ({})", it.description()));
            text += &format!(
                "\n{} in {}{}: matmul peak in f32 {} GFLOP/s, {size} x {size}",
                measured.device,
                measured.precision,
                adapter.unwrap_or_default(),
                figure(report.peak.gflops),
                size = report.peak.size,
            );
        }
        for measured in &self.devices {
            if let Some(problem) = &measured.problem {
                let Measured { device, precision, .. } = measured;
                text += &format!("\n{device} in {precision}: not measured. {problem}");
            }
        }
        text + "\n\nMemory is that of the process, without GPU memory. Differences are from flex in f32, relative \
                to the largest value."
    }

    /// An error if no device was measured.
    pub(super) fn verdict(&self) -> Result<(), Failure> {
        match self.devices.iter().any(|it| it.report.is_some()) {
            true => Ok(()),
            false => Err(Failure::Run("no device was measured".to_owned())),
        }
    }
}

fn row(device: &str, result: &Measurement) -> [String; 7] {
    let difference = match result.difference {
        None => String::new(),
        Some(0.0) => "0".to_owned(),
        Some(difference) => format!("{difference:.0e}"),
    };
    [
        device.to_owned(),
        name(result),
        figure(result.seconds.median),
        format!("{} {}", figure(result.items_per_second), result.unit),
        percent(result.share_of_peak),
        result.peak_memory_bytes.map(bytes).unwrap_or_default(),
        difference,
    ]
}

/// Caps a valid number of repeats at `most`; an invalid one is left for the bench to reject.
fn small(repeats: usize, most: usize) -> usize {
    if repeats <= 1000 { repeats.min(most) } else { repeats }
}

/// The devices with these names, which must exist and be distinct, each with the adapter it computes on.
fn named(names: &[String]) -> Result<Vec<(String, Option<Adapter>)>, Failure> {
    let refused = |problem: String| Failure::Input(format!("--devices: {problem}"));
    if names != [ALL] {
        let (mut devices, mut seen) = (Vec::new(), Vec::new());
        for name in names {
            match name.as_str() {
                "" => return Err(refused("a name is empty".to_owned())),
                ALL => return Err(refused(format!("{ALL} cannot be combined with other names"))),
                _ => {}
            }
            let opened = flora::device::open(name)
                .map_err(|error| refused(error.to_string().replacen("--device ", "", 1)))?;
            let same = opened.adapter.as_ref().map_or(opened.backend.name(), |it| &it.device);
            if seen.iter().any(|it| it == same) {
                return Err(refused(format!("{name} is named twice")));
            }
            seen.push(same.to_owned());
            devices.push((opened.name, opened.adapter));
        }
        return Ok(devices);
    }
    Ok(listing().devices.into_iter().map(|listed| (listed.device, listed.adapter)).collect())
}

impl Bench {
    /// The workloads that the precision affects.
    fn workloads_in(&self, precision: Precision) -> Vec<Workload> {
        let all = self.workloads().iter().copied();
        all.filter(|&it| precision.is_f32() || it == Workload::ImageEncode).collect()
    }

    /// Runs `flora bench` on a device in its own process; on failure, returns its error message.
    fn measure(
        &self,
        device: &str,
        precision: Precision,
        [warmup, repeats]: [usize; 2],
    ) -> Result<Report, Failure> {
        let cannot = |error| Failure::Run(format!("cannot start flora: {error}"));
        let mut command = Command::new(program::path().map_err(cannot)?);
        command.arg("bench").args(self.workloads_in(precision).iter().map(|it| it.as_str()));
        match &self.shape {
            Some(shape) => command.args(["--shape", shape]),
            None => command.args(["--model", &self.model]),
        };
        let numbers = [
            ("--batch", Some(self.batch)),
            ("--classes", self.classes),
            ("--threads", self.threads),
            ("--clients", Some(self.clients)),
            ("--warmup", Some(warmup)),
            ("--repeats", Some(repeats)),
        ];
        for (flag, number) in numbers {
            command.args(number.into_iter().flat_map(|it| [flag.to_owned(), it.to_string()]));
        }
        let tokens = match self.tokens {
            None | Some(TextLength::Context) => None,
            Some(TextLength::Tokens(tokens)) => Some(tokens.to_string()),
            Some(TextLength::Longest) => Some("longest".to_owned()),
        };
        command.args(tokens.iter().flat_map(|it| ["--tokens", it]));
        command.args(self.each.then_some("--each"));
        command.args(["--device", device, "--precision", precision.as_str()]);
        command.args(self.device.trusts().then_some("--trust-device"));
        // The child ends when this end of the pipe is closed, for whatever reason this process ends.
        command.args(["--json", "--outcomes"]).stdin(Stdio::piped());
        let mut child =
            command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().map_err(cannot)?;
        let held = child.stdin.take();
        let done = child.wait_with_output().map_err(cannot)?;
        drop(held);
        let said = String::from_utf8_lossy(&done.stderr);
        if !done.status.success() {
            let error = said.rfind("error: ").map_or(&*said, |at| &said[at + "error: ".len()..]);
            let error = match error.trim() {
                "" => format!("its process ended with {}", done.status),
                error => error.to_owned(),
            };
            return Err(match done.status.code() {
                Some(2) => Failure::Input(error),
                _ => Failure::Run(error),
            });
        }
        said.lines()
            .filter(|line| line.starts_with("warning"))
            .for_each(|line| output::error_line(line.to_owned()));
        serde_json::from_slice(&done.stdout).map_err(Failure::run)
    }
}

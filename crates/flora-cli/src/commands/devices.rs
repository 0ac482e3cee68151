use flora::device::{Adapter, Backend, DeviceName, Opened, adapters};
use serde::Serialize;

use crate::device::{Compared, Trial, check_now};
use crate::failure::Failure;
use crate::output;

/// List the devices of this program and machine, and compare them with flex
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Before its first use, a device other than flex is compared with flex, once for
each driver and version of flora. --check does so now, and shows by how much
each operation differs. docs/backends.md has the details.")]
pub(crate) struct Devices {
    /// Compare this device with flex now [default: all listed devices]
    #[arg(long, value_name = "NAME", num_args = 0..=1, default_missing_value = "")]
    check: Option<String>,
    /// Print JSON instead of a table
    #[arg(long)]
    json: bool,
}

/// A device that can be named.
#[derive(Debug, Serialize)]
pub(super) struct Listed {
    pub(super) device: String,
    what: &'static str,
    pub(super) adapter: Option<Adapter>,
}

/// A backend that is not compiled into this program.
#[derive(Debug, Serialize)]
struct Absent {
    device: &'static str,
    feature: &'static str,
    what: &'static str,
}

/// All information about devices.
#[derive(Debug, Serialize)]
pub(super) struct Listing {
    flora: &'static str,
    burn: &'static str,
    /// The device that `--device auto` selects.
    auto: String,
    pub(super) devices: Vec<Listed>,
    /// Backends of this program that find no device on this machine, and why.
    not_found: Vec<String>,
    not_compiled: Vec<Absent>,
}

/// The result of comparing a device with flex.
#[derive(Debug, Serialize)]
struct Checked {
    device: String,
    adapter: Option<Adapter>,
    passed: bool,
    operations: Vec<Compared>,
    problem: Option<String>,
}

impl Devices {
    pub(crate) fn run(self) -> Result<(), Failure> {
        match &self.check {
            None => self.list(),
            Some(name) => self.check(name),
        }
    }

    fn list(&self) -> Result<(), Failure> {
        let listing = listing();
        if self.json {
            return output::json_lines(&listing);
        }
        let row = |listed: &Listed| {
            let adapter = listed.adapter.as_ref();
            let driver = adapter.map(|it| match it.driver.is_empty() {
                true => it.driver_version.clone(),
                false => format!("{} {}", it.driver, it.driver_version).trim().to_owned(),
            });
            let name = adapter.map(|it| format!("{} ({}, {})", it.name, it.kind, it.api));
            [
                listed.device.clone(),
                name.unwrap_or_else(|| listed.what.to_owned()),
                driver.unwrap_or_default(),
            ]
        };
        let rows = listing.devices.iter().map(row).collect();
        output::table(["--device", "computes on", "driver"], rows);
        output::line(format!("\n`auto` is {}, and `cpu` is flex.", listing.auto));
        for problem in &listing.not_found {
            output::line(format!("\n{problem}"));
        }
        if !listing.not_compiled.is_empty() {
            let absent = listing.not_compiled.iter();
            let absent = absent
                .map(|it| [it.device.to_owned(), it.what.to_owned(), it.feature.to_owned()])
                .collect();
            output::line("\nNot in this program; cargo build --release --features FEATURE adds:\n");
            output::table(["--device", "computes on", "feature"], absent);
        }
        Ok(())
    }

    fn check(&self, name: &str) -> Result<(), Failure> {
        let opened = match name {
            "" => all()?,
            name => vec![flora::device::open(name).map_err(Failure::input)?],
        };
        if opened.is_empty() {
            output::line("There is no device besides flex, the reference.");
        }
        let mut checked = Vec::new();
        for opened in opened {
            let adapter = opened.adapter.clone();
            if !self.json {
                let words = adapter.as_ref().map(|it| format!(": {}", it.description()));
                output::line(format!("{}{}", opened.name, words.unwrap_or_default()));
            }
            let (trial, problem) = check_now(&opened, &mut |_| {})?;
            let operations = match trial {
                Trial::Ended(operations) => operations,
                _ => Vec::new(),
            };
            if !self.json {
                show(&operations, problem.is_none());
            }
            let (device, passed) = (opened.name, problem.is_none());
            checked.push(Checked { device, adapter, passed, operations, problem });
        }
        if self.json {
            output::json_lines(&checked)?;
        }
        let problems: Vec<_> = checked.into_iter().filter_map(|it| it.problem).collect();
        if problems.is_empty() { Ok(()) } else { Err(Failure::Run(problems.join("\n"))) }
    }
}

/// Prints the operations of a device as a table.
fn show(operations: &[Compared], passed: bool) {
    let rows = operations.iter().map(|it| {
        let verdict = if it.holds() { "ok" } else { "OFF" };
        [it.operation.clone(), it.shown(), format!("{:.1e}", it.tolerance), verdict.to_owned()]
    });
    if !operations.is_empty() {
        output::table(["operation", "differs by", "accepted", ""], rows.collect());
    }
    output::line(if passed { "passed\n" } else { "FAILED\n" });
}

/// Opens every device except flex.
fn all() -> Result<Vec<Opened>, Failure> {
    let devices = listing().devices.into_iter().filter(|listed| listed.device != "flex");
    devices.map(|listed| flora::device::open(&listed.device).map_err(Failure::input)).collect()
}

pub(super) fn listing() -> Listing {
    let auto: Result<DeviceName, _> = "auto".parse();
    let mut listing = Listing {
        flora: crate::version::short(),
        burn: flora::BURN_VERSION,
        auto: auto.map(|name| name.to_string()).unwrap_or_default(),
        devices: Vec::new(),
        not_found: Vec::new(),
        not_compiled: Vec::new(),
    };
    for backend in Backend::ALL {
        let (device, what) = (backend.name(), backend.what());
        if !backend.is_compiled() {
            listing.not_compiled.push(Absent { device, feature: backend.feature(), what });
        } else if !backend.has_adapters() {
            listing.devices.push(Listed { device: device.to_owned(), what, adapter: None });
        } else {
            let found = adapters(backend);
            if found.is_empty() {
                let why = flora::device::open(device).err().map(|error| error.to_string());
                listing.not_found.extend(why);
            }
            let listed = |adapter: Adapter| Listed {
                device: adapter.device.clone(),
                what,
                adapter: Some(adapter),
            };
            listing.devices.extend(found.into_iter().map(listed));
        }
    }
    listing
}

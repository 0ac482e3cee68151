//! A run in its own process: its peak memory is measured separately, and killing it does not end the sweep.

use std::io::Write;
use std::path::Path;
use std::process::{ChildStdin, Command, Output, Stdio};
use std::sync::mpsc::{RecvTimeoutError, channel};
use std::thread;
use std::time::Duration;

use flora::federation::RunStatus;
use flora::report::{RunFolder, RunSummary};
use flora::tuning::SweepRun;

use super::super::run::{END, STOP};
use crate::device::Place;
use crate::signals::Signals;
use crate::{output, program};

/// Interval of checks for a stop of the sweep.
const PAUSE: Duration = Duration::from_millis(100);

/// How the runs of a sweep are started.
pub(super) struct Child {
    device: String,
    /// Threads of runs that do not set a number.
    threads: Option<usize>,
    /// Whether a run shows its progress; several at a time would overwrite each other.
    shown: bool,
    /// Whether runs start anew, whatever their folders hold.
    overwrite: bool,
    signals: Signals,
}

impl Child {
    pub(super) fn new(place: &Place, jobs: usize, overwrite: bool, signals: Signals) -> Self {
        let processors = std::thread::available_parallelism().map_or(1, usize::from);
        Self {
            device: place.name.clone(),
            threads: (jobs > 1).then(|| (processors / jobs).max(1)),
            shown: jobs == 1,
            overwrite,
            signals,
        }
    }

    /// Runs the experiment in the folder and waits for it; the error is a message for people.
    pub(super) fn run(&self, run: &SweepRun, folder: &Path) -> Result<RunSummary, String> {
        let output =
            self.call(run, folder).map_err(|error| format!("cannot be started: {error}"))?;
        let said = String::from_utf8_lossy(&output.stdout);
        for warning in said.lines().filter(|line| line.starts_with("warning: ")) {
            output::line(format!("{}: {warning}", run.folder));
        }
        let summary = summary(folder, run);
        if output.status.success() {
            return summary
                .filter(|summary| summary.status == RunStatus::Finished)
                .ok_or_else(|| format!("it left no results in {}", folder.display()));
        }
        // A run that could not even start (exit code 2) has left the folder unchanged.
        let began = output.status.code() == Some(1);
        if let Some(error) = summary.filter(|_| began).and_then(|summary| summary.error) {
            return Err(error);
        }
        let said = String::from_utf8_lossy(&output.stderr);
        let error = said.split_once("error: ").map(|(_, message)| message.trim());
        match error.or(said.lines().rfind(|line| !line.trim().is_empty())) {
            Some(message) => Err(message.to_owned()),
            None if self.shown => Err(format!("{} (see above)", output.status)),
            None => Err(output.status.to_string()),
        }
    }

    fn call(&self, run: &SweepRun, folder: &Path) -> std::io::Result<Output> {
        let mut command = Command::new(program::path()?);
        // The sweep has compared the device with flex already.
        command.args([
            "run",
            "-",
            "--child",
            "--numbers-only",
            "--trust-device",
            "--device",
            &self.device,
        ]);
        command.arg("--out").arg(folder);
        if self.overwrite {
            command.arg("--overwrite");
        }
        if let Some(threads) = self.threads.filter(|_| run.experiment.federation.threads == 0) {
            command.args(["--threads", &threads.to_string()]);
        }
        if !self.shown {
            command.stdout(Stdio::piped()).stderr(Stdio::piped());
        }
        let mut child = command.stdin(Stdio::piped()).spawn()?;
        let stdin = child.stdin.take();
        // The pipe stays open during the run: when this process ends, for whatever reason, the run ends, too.
        let (ended, has_ended) = channel::<()>();
        thread::scope(|scope| {
            if let Some(mut stdin) = stdin {
                let _ = stdin.write_all(run.experiment.to_toml().as_bytes());
                // A child that ended before reading reports the reason itself.
                let _ = stdin.write_all(&[END]).and_then(|()| stdin.flush());
                scope.spawn(move || self.pass_on(stdin, |pause| has_ended.recv_timeout(pause)));
            }
            let output = child.wait_with_output();
            drop(ended);
            output
        })
    }

    /// Stops the run when the sweep is stopped, until the run has ended.
    fn pass_on(
        &self,
        mut stdin: ChildStdin,
        ended: impl Fn(Duration) -> Result<(), RecvTimeoutError>,
    ) {
        let mut told = false;
        while ended(PAUSE) == Err(RecvTimeoutError::Timeout) {
            if self.signals.came() && !told {
                told = true;
                let _ = stdin.write_all(&[STOP]).and_then(|()| stdin.flush());
            }
        }
    }
}

/// The summary of a run that finished with exactly these settings.
pub(super) fn finished(folder: &Path, run: &SweepRun) -> Option<RunSummary> {
    let finished = summary(folder, run).filter(|summary| summary.status == RunStatus::Finished);
    if finished.is_some() {
        RunFolder::tidy(folder);
    }
    finished
}

/// The summary of a run with exactly these settings.
fn summary(folder: &Path, run: &SweepRun) -> Option<RunSummary> {
    let experiment = std::fs::read_to_string(folder.join("experiment.toml")).ok()?;
    let summary = RunSummary::load(folder.join("run.json")).ok()?;
    (experiment == run.experiment.to_toml()).then_some(summary)
}

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use super::app;
use crate::services::{AcquiredTask, ControlService, RuntimeService, SuperExecSecret};
use crate::wire::control::Run;
use crate::{Link, LinkError, ServerError};

/// A run on a SuperLink that this process serves. `flwr ls` shows it.
#[derive(Debug)]
pub struct ServerRun {
    service: RuntimeService,
    control: ControlService,
    context: Vec<u8>,
    beats: Arc<AtomicBool>,
    /// Whether the SuperLink ended the run: by `flwr stop`, or because it received no heartbeats.
    over: Arc<AtomicBool>,
    ended: AtomicBool,
}

/// How a run ended, as shown by `flwr ls`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum End {
    /// All rounds are done.
    Completed,
    /// The run failed.
    Failed,
    /// The run was stopped on request.
    Stopped,
}

/// Flower's status of a run that waits for its server.
const PENDING: &str = "pending";

/// A SuperLink gives up a server without a heartbeat for 60 s.
const BEAT: Duration = Duration::from_secs(10);
const LOOK: Duration = Duration::from_millis(100);
/// A SuperLink creates the task of a run when the run begins; one that starts its own process for it does so at once.
const TASK: Duration = Duration::from_secs(15);
const BY_HASH: Duration = Duration::from_secs(5);

impl ServerRun {
    /// Begins a run called `name` and serves it. `token` is unique to the run. `secret` is that of the SuperLink, if it
    /// was started with one.
    ///
    /// # Errors
    /// The SuperLink refuses, does not answer, or has its own process serve the run ([`ServerError::Taken`]).
    pub fn start(
        link: &Link,
        name: &str,
        token: &str,
        secret: Option<&SuperExecSecret>,
    ) -> Result<Self, ServerError> {
        let control = ControlService::new(link.clone());
        let fab = app::bundle(name, token);
        let fab_hash = fab.hash_str.clone();
        let run_id = control.start_run(fab)?;
        let service =
            Self::acquire(&control, link, run_id, &fab_hash, secret).inspect_err(|_| {
                // No process will serve it.
                let _ = control.stop_run(run_id);
            })?;
        let context = service.pull_input()?.context;
        let (beats, over) = (Arc::new(AtomicBool::new(true)), Arc::new(AtomicBool::new(false)));
        let heart = (service.clone(), Arc::clone(&beats), Arc::clone(&over));
        thread::spawn(move || beat(&heart.0, &heart.1, &heart.2));
        Ok(Self { service, control, context, beats, over, ended: AtomicBool::new(false) })
    }

    fn acquire(
        control: &ControlService,
        link: &Link,
        run_id: u64,
        fab_hash: &str,
        secret: Option<&SuperExecSecret>,
    ) -> Result<RuntimeService, ServerError> {
        let started = Instant::now();
        while started.elapsed() < TASK {
            // A SuperLink that does not know apps by their hashes hands out any waiting task, which must be ours.
            let hash = match started.elapsed() < BY_HASH || Self::others_wait(control, run_id)? {
                true => Some(fab_hash),
                false => None,
            };
            let acquired =
                RuntimeService::acquire(link, hash, secret).map_err(|error| match error {
                    LinkError::Unauthorized { url, skew, .. } => {
                        ServerError::secret_refused(url, secret.is_some(), skew)
                    }
                    error => error.into(),
                })?;
            match acquired {
                Some(AcquiredTask { service, run_id: theirs }) if theirs == run_id => {
                    return Ok(service);
                }
                Some(AcquiredTask { run_id: theirs, .. }) => {
                    return Err(ServerError::Foreign { run_id: theirs });
                }
                None => {}
            }
            if link.sleep(LOOK) {
                return Err(link.stopped().into());
            }
        }
        Err(ServerError::Taken { url: link.url().to_owned() })
    }

    /// Whether other runs wait for their servers.
    fn others_wait(control: &ControlService, run_id: u64) -> Result<bool, ServerError> {
        let waits = |run: &Run| {
            run.run_id != run_id && run.status.as_ref().is_some_and(|it| it.status == PENDING)
        };
        Ok(control.runs()?.iter().any(waits))
    }

    /// The SuperLink's number of the run.
    pub fn run_id(&self) -> u64 {
        self.service.run_id()
    }

    /// The service that carries messages.
    pub fn service(&self) -> &RuntimeService {
        &self.service
    }

    /// Whether the SuperLink ended the run.
    pub(super) fn is_over(&self) -> bool {
        self.over.load(Ordering::SeqCst)
    }

    /// Shows a line in `flwr log`. Losing a line does no harm.
    pub fn log(&self, line: &str) {
        let _ = self.service.push_logs(vec![format!("{line}\n")]);
    }

    /// Ends the run, unless it has ended.
    ///
    /// # Errors
    /// The SuperLink refuses, or does not answer.
    pub fn end(&self, end: End, details: &str) -> Result<(), ServerError> {
        if self.ended.swap(true, Ordering::SeqCst) {
            return Ok(());
        }
        let sub_status = match end {
            End::Completed => "completed",
            End::Failed => "failed",
            End::Stopped => "stopped",
        };
        let ended = self.service.push_output(self.context.clone(), sub_status, details);
        self.beats.store(false, Ordering::SeqCst);
        if end == End::Stopped && ended.is_err() {
            // During the stop, nothing is retried.
            return Ok(self.control.stop_run(self.run_id())?);
        }
        Ok(ended?)
    }
}

impl Drop for ServerRun {
    fn drop(&mut self) {
        let _ = self.end(End::Failed, "the server ended early");
    }
}

fn beat(service: &RuntimeService, beats: &AtomicBool, over: &AtomicBool) {
    let mut last = Instant::now();
    while beats.load(Ordering::SeqCst) {
        thread::sleep(LOOK);
        if last.elapsed() < BEAT {
            continue;
        }
        last = Instant::now();
        match service.heartbeat() {
            Ok(true) => {}
            Ok(false) => over.store(true, Ordering::SeqCst),
            Err(error) if error.is_refused() || matches!(error, LinkError::Unauthorized { .. }) => {
                over.store(true, Ordering::SeqCst);
            }
            // The code that waits for replies reports it where it matters.
            Err(_) => {}
        }
    }
}

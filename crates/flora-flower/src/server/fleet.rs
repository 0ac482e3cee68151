use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use flora_federation::{Answer, ClientInfo, Fleet, FleetError, Message, Stop, Task, Wait};

use super::event::SiteEvent;
use super::exchange::Announced;
use super::members::Members;
use super::run::ServerRun;
use crate::{LinkError, Names, Outage, ServerError};

/// The sites of a run on a SuperLink, as the fleet of a round loop. Sites are identified by their keys; nodes come and
/// go.
pub struct SuperLinkFleet {
    pub(super) run: Arc<ServerRun>,
    /// The token of the run, with which sites resume it after a restart of either end.
    pub(super) token: String,
    pub(super) names: Option<Names>,
    pub(super) members: Members,
    pub(super) plan: Box<dyn Fn(&str) -> Message + Send>,
    /// Incomplete replies to questions.
    pub(super) announced: Vec<Announced>,
    /// The round and the attempt of the last training that each client has answered.
    pub(super) trained: BTreeMap<String, (usize, usize)>,
    /// Why sites were refused, by name, as reported.
    pub(super) refused: BTreeMap<String, String>,
    pub(super) tell: Box<dyn FnMut(&SiteEvent) + Send>,
    /// How long to wait for a site that went offline.
    pub(super) grace: Duration,
    stop: Stop,
}

/// How long a site may be offline before a round continues without it, and how long a task is worth resending. Nodes
/// that a SuperLink lost during a restart return with their next heartbeat.
///
/// A link that is cut for a minute is noticed up to two heartbeats late, and the node needs 10 s or more to notice its
/// return. If rounds have a deadline, there is no longer wait.
pub(super) const GRACE: Duration = Duration::from_secs(120);

/// The longest pause between two polls for replies.
pub(super) const LAST_LOOK: Duration = Duration::from_millis(500);

impl SuperLinkFleet {
    /// The online sites of `run`; only those in `names`, if given. `token` identifies the run across restarts of server
    /// and sites.
    pub fn new(
        run: Arc<ServerRun>,
        token: impl Into<String>,
        names: Option<Names>,
        stop: Stop,
        tell: Box<dyn FnMut(&SiteEvent) + Send>,
    ) -> Self {
        Self {
            run,
            token: token.into(),
            names,
            members: Members::new(),
            plan: Box::new(|_| Message::default()),
            announced: Vec::new(),
            trained: BTreeMap::new(),
            refused: BTreeMap::new(),
            tell,
            grace: GRACE,
            stop,
        }
    }

    /// Reports outages of the SuperLink.
    pub(super) fn tell_outages(&mut self) {
        for Outage { problem, seconds } in self.run.service().link().take_outages() {
            (self.tell)(&SiteEvent::SuperLinkBack { problem, seconds: seconds.ceil() as u64 });
        }
    }

    pub(super) fn check_running(&self) -> Result<(), ServerError> {
        if self.stop.is_raised() {
            return Err(self.run.service().link().stopped().into());
        }
        if self.run.is_over() { Err(ServerError::Over) } else { Ok(()) }
    }
}

impl Fleet for SuperLinkFleet {
    fn clients(&mut self, _round: usize) -> Result<Vec<ClientInfo>, FleetError> {
        match self.present() {
            // No further questions are sent.
            Err(ServerError::Link(LinkError::Stopped { .. })) => Ok(self.here()),
            other => other.map_err(unreachable),
        }
    }

    fn exchange(
        &mut self,
        tasks: Vec<Task>,
        wait: &Wait,
        deliver: &mut dyn FnMut(Answer),
    ) -> Result<(), FleetError> {
        match self.exchange_all(tasks, wait, deliver) {
            // A resumed run requests the missing replies again.
            Err(ServerError::Link(LinkError::Stopped { .. })) => Ok(()),
            other => other.map_err(unreachable),
        }
    }

    /// Sites store their own state, and restore their earlier state themselves if a round is repeated. The description
    /// here only shows whether they did.
    fn commit(&mut self) -> Result<Vec<u8>, FleetError> {
        serde_json::to_vec(&self.trained).map_err(|error| FleetError::States(error.to_string()))
    }

    fn restore(&mut self, committed: &[u8]) -> Result<(), FleetError> {
        self.trained = serde_json::from_slice(committed)
            .map_err(|error| FleetError::States(format!("their index is damaged: {error}")))?;
        Ok(())
    }
}

fn unreachable(error: ServerError) -> FleetError {
    FleetError::Unreachable(match error {
        // It knew the run's token a moment ago.
        ServerError::Link(LinkError::Unauthorized { .. }) => ServerError::Over.to_string(),
        error => error.to_string(),
    })
}

//! A node: it maintains a site's connection to a SuperLink, and passes its messages to a [`Site`].

mod event;
mod folder;
mod heart;
mod journal;
mod online;
mod reply;
mod secagg;
mod work;

use std::time::{Duration, Instant};

use flora_federation::{Kind, Message, Stop};

pub use self::event::NodeEvent;
pub use self::folder::NodeFolder;
pub(crate) use self::journal::now;
use self::journal::{Entry, Journal};
use crate::codec::Form;
use crate::services::FleetService;
use crate::{LinkError, NodeError};

/// A server's request to a site.
#[derive(Debug, Clone)]
pub struct Instruction {
    /// The SuperLink's number of the run.
    pub run_id: u64,
    /// The requested work.
    pub kind: Kind,
    /// The message with the parameters and settings.
    pub message: Message,
    /// The form of the message: flora's, or that of Flower's servers.
    pub form: Form,
}

/// Does the work that servers request.
pub trait Site {
    /// Does the work.
    ///
    /// # Errors
    /// The reason for a refusal or failure, for the server's log.
    fn handle(&mut self, instruction: &Instruction) -> Result<Message, String>;

    /// Called when no message has arrived for minutes: memory can be released.
    fn idle(&mut self) {}
}

/// Settings of a node.
#[derive(Debug, Clone)]
pub struct NodeConfig {
    /// Seconds between heartbeats, 10 to 1800. After twice this time without one, the server gives the node up.
    pub heartbeat: f64,
}

impl Default for NodeConfig {
    fn default() -> Self {
        Self { heartbeat: 15.0 }
    }
}

/// The pause between two polls for a message while a server is at work, and while none is.
const EAGER: Duration = Duration::from_millis(100);
const LAZY: Duration = Duration::from_secs(2);
/// For this long after a message, another one is expected soon.
const BUSY: Duration = Duration::from_secs(20);
/// After this long without a message, none is expected for a while.
const REST: Duration = Duration::from_secs(600);
/// At most one part in this many of the time is spent polling: a busy SuperLink is polled less often.
const SHARE: u32 = 32;
/// The longest pause: a slow response now says little about the next one.
const SLOWEST: Duration = Duration::from_secs(5);
/// The pause before reconnecting after a refusal.
const RECONNECT: Duration = Duration::from_secs(5);

/// A node.
pub struct Node<'a> {
    service: FleetService,
    folder: NodeFolder,
    journal: Journal,
    config: NodeConfig,
    site: &'a mut dyn Site,
    tell: &'a mut dyn FnMut(&NodeEvent),
    stop: Stop,
    node_id: u64,
    lost: Option<Instant>,
}

impl<'a> Node<'a> {
    /// A node that is not connected yet.
    ///
    /// # Errors
    /// [`NodeError::Folder`] for a journal that cannot be read.
    pub fn new(
        service: FleetService,
        folder: NodeFolder,
        config: NodeConfig,
        site: &'a mut dyn Site,
        tell: &'a mut dyn FnMut(&NodeEvent),
    ) -> Result<Self, NodeError> {
        let journal = Journal::open(&folder)?;
        let stop = service.link().stop().clone();
        Ok(Self { service, folder, journal, config, site, tell, stop, node_id: 0, lost: None })
    }

    /// Serves until it is stopped; then it goes offline.
    ///
    /// # Errors
    /// Permanent problems: a key or a certificate that is not accepted, closed registration, or a folder that cannot be
    /// written.
    pub fn run(mut self) -> Result<(), NodeError> {
        let Some(mut heart) = self.connect()? else { return Ok(()) };
        for entry in self.journal.entries()? {
            match entry.is_over() {
                true => self.journal.remove(&entry)?,
                false => self.process(&entry, true)?,
            }
        }
        let mut last_message: Option<Instant> = None;
        let mut rested = true;
        while !self.stop.is_raised() {
            let asked = Instant::now();
            let pulled = self.service.pull_message(self.node_id);
            let took = asked.elapsed();
            match pulled {
                Ok(Some(message)) => {
                    self.found();
                    if let Some(entry) = Entry::new(message) {
                        // Before anything else: the message is not delivered again.
                        self.journal.add(&entry)?;
                        self.process(&entry, false)?;
                        last_message = Some(Instant::now());
                        rested = false;
                    }
                    continue;
                }
                Ok(None) => self.found(),
                Err(error) if error.is_unreachable() => {
                    self.lost(&error);
                    continue;
                }
                // An intermediary answered in its place, or truncated its response.
                Err(error @ LinkError::Unreadable { .. }) => {
                    self.lost(&error);
                    self.service.link().sleep(RECONNECT);
                    continue;
                }
                Err(LinkError::Stopped { .. }) => break,
                // A SuperLink that was set up anew does not know the node, perhaps not even its key.
                Err(error)
                    if error.is_refused()
                        || matches!(error, LinkError::Unauthorized { .. })
                        || heart.is_unheard() =>
                {
                    self.lost(&error);
                    self.service.link().sleep(RECONNECT);
                    drop(heart);
                    heart = match self.connect()? {
                        Some(heart) => heart,
                        None => return Ok(()),
                    };
                }
                Err(error) => return Err(error.into()),
            }
            let since = last_message.map_or(Duration::MAX, |it| it.elapsed());
            if since > REST && !rested {
                self.site.idle();
                rested = true;
            }
            let pause = if since < BUSY { EAGER } else { LAZY };
            self.service.link().sleep(pause.max((took * SHARE).min(SLOWEST)));
        }
        drop(heart);
        // Without retrying: stopping a node should not take long.
        if self.service.deactivate(self.node_id).is_ok() {
            (self.tell)(&NodeEvent::Offline);
        }
        Ok(())
    }

    fn lost(&mut self, error: &LinkError) {
        if self.lost.is_none() {
            self.lost = Some(Instant::now());
            (self.tell)(&NodeEvent::Lost { problem: error.to_string() });
        }
    }

    fn found(&mut self) {
        if let Some(lost) = self.lost.take() {
            (self.tell)(&NodeEvent::Back { seconds: lost.elapsed().as_secs_f64() });
        }
    }
}

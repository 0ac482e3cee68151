//! A node: it keeps a site's connection to a SuperLink, and has its messages done by a [`Site`].

mod folder;
mod heart;
mod journal;
mod reply;

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::{Duration, Instant};

use flora_federation::protocol::AGAIN;
use flora_federation::{Kind, Message, Stop, Value};

pub use self::folder::NodeFolder;
use self::heart::Heart;
pub(crate) use self::journal::now;
use self::journal::{Entry, Journal};
use crate::codec::{self, Form};
use crate::objects::{self, Content, Limits};
use crate::services::FleetService;
use crate::{LinkError, NodeError};

/// What a server asks of a site.
#[derive(Debug, Clone)]
pub struct Instruction {
    /// The SuperLink's number of the run.
    pub run_id: u64,
    /// What to do.
    pub kind: Kind,
    /// What to do it with.
    pub message: Message,
    /// Who asks: flora, or any of Flower's servers.
    pub form: Form,
}

/// Does what servers ask.
pub trait Site {
    /// Does it.
    ///
    /// # Errors
    /// Why not, for the server's log.
    fn handle(&mut self, instruction: &Instruction) -> Result<Message, String>;

    /// Nobody has asked anything for minutes: what takes memory may be put aside.
    fn idle(&mut self) {}
}

/// What a node does, for whoever watches it.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub enum NodeEvent {
    /// It is known to the SuperLink, and online.
    Online {
        /// Its id there.
        node_id: u64,
        /// Whether the SuperLink knew its key before.
        known: bool,
    },
    /// The SuperLink does not answer. It is asked again.
    Lost {
        /// What happened.
        problem: String,
    },
    /// The SuperLink answers again.
    Back {
        /// For how many seconds it did not.
        seconds: f64,
    },
    /// A message came.
    Received {
        /// What it asks for.
        kind: Kind,
        /// The run.
        run_id: u64,
        /// Whether it came to an earlier process, which did not finish it.
        again: bool,
    },
    /// It was answered.
    Answered {
        /// What was asked for.
        kind: Kind,
        /// Seconds of work.
        seconds: f64,
        /// Bytes of the objects that were sent.
        bytes: u64,
    },
    /// It was answered with a refusal or a failure.
    Failed {
        /// What was asked for.
        kind: Kind,
        /// Why.
        problem: String,
    },
    /// It was not answered: nobody waits for it any more.
    Dropped {
        /// Why.
        why: String,
    },
    /// It is offline.
    Offline,
}

/// How a node behaves.
#[derive(Debug, Clone)]
pub struct NodeConfig {
    /// Seconds between heartbeats, 10 to 1800. After twice as many without one, the server gives a node up.
    pub heartbeat: f64,
}

impl Default for NodeConfig {
    fn default() -> Self {
        Self { heartbeat: 15.0 }
    }
}

/// Between two looks for a message while a server is at work, and while none is.
const EAGER: Duration = Duration::from_millis(100);
const LAZY: Duration = Duration::from_secs(2);
/// For so long after a message, another one is expected soon.
const BUSY: Duration = Duration::from_secs(20);
/// And after so long, none for a while.
const REST: Duration = Duration::from_secs(600);
/// No more of the time than one part in so many is spent in asking: a busy SuperLink is asked less often.
const SHARE: u32 = 8;
/// Before it connects again, after a refusal.
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

    /// Serves until it is stopped; then it takes itself offline.
    ///
    /// # Errors
    /// What no later attempt would mend: a key or a certificate that is not accepted, registration that is closed,
    /// a folder that cannot be written.
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
                Ok(Some((message, tree))) => {
                    self.found();
                    if let Some(entry) = Entry::new(message, tree) {
                        // Before anything else: it is not given again.
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
                Err(LinkError::Stopped { .. }) => break,
                // A SuperLink that was set up anew does not know the node, or not even its key.
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
            self.service.link().sleep(pause.max(took * SHARE));
        }
        drop(heart);
        // Without asking twice: whoever stops a node does not want to wait.
        if self.service.deactivate(self.node_id).is_ok() {
            (self.tell)(&NodeEvent::Offline);
        }
        Ok(())
    }

    /// Brings the node online, however long it takes; `None` if it is to stop.
    fn connect(&mut self) -> Result<Option<Heart>, NodeError> {
        loop {
            match self.online() {
                Ok(known) => {
                    self.found();
                    let node_id = self.node_id;
                    (self.tell)(&NodeEvent::Online { node_id, known });
                    return Ok(Some(Heart::start(
                        self.service.clone(),
                        node_id,
                        self.config.heartbeat,
                    )));
                }
                Err(NodeError::Link(LinkError::Stopped { .. })) => return Ok(None),
                Err(NodeError::Link(error)) if error.is_unreachable() => self.lost(&error),
                Err(error) => return Err(error),
            }
        }
    }

    /// Registers or activates; whether the key was known.
    fn online(&mut self) -> Result<bool, NodeError> {
        let interval = self.config.heartbeat;
        let (id, known) = match self.service.register() {
            Ok(id) => (id, false),
            // The key is known, or only the operator makes keys known.
            Err(error) if error.is_refused() => (self.activate(error)?, true),
            Err(error) => return Err(error.into()),
        };
        self.node_id = id;
        if !known {
            self.node_id = self.service.activate(interval)?;
        }
        self.folder.remember(self.node_id)?;
        Ok(known)
    }

    /// Activates a node whose key is known; one that did not go offline is taken offline first.
    fn activate(&mut self, refusal: LinkError) -> Result<u64, NodeError> {
        let interval = self.config.heartbeat;
        let error = match self.service.activate(interval) {
            Ok(id) => return Ok(id),
            Err(error) if error.is_activation_failed() => error,
            Err(error) => return Err(error.into()),
        };
        // Nobody registered the key, or the node was not taken offline.
        let Some(id) = self.folder.remembered() else {
            return Err(match refusal.is_registration_closed() {
                true => NodeError::NotRegistered { key: self.folder.public_key_path() },
                false => error.into(),
            });
        };
        match self.service.deactivate(id) {
            Ok(()) => {}
            Err(_) if refusal.is_registration_closed() => {
                return Err(NodeError::NotRegistered { key: self.folder.public_key_path() });
            }
            Err(error) => return Err(error.into()),
        }
        Ok(self.service.activate(interval)?)
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

    /// Does a message and answers it. Whatever is wrong with the message or the site is the server's to know; what
    /// keeps the node itself from going on is an error.
    fn process(&mut self, entry: &Entry, again: bool) -> Result<(), NodeError> {
        let kind = entry.kind();
        (self.tell)(&NodeEvent::Received { kind: kind.clone(), run_id: entry.run_id(), again });
        match self.answered(entry, &kind, again) {
            Ok(()) => {}
            // It stays in the journal, for the next process.
            Err(NodeError::Link(LinkError::Stopped { .. })) => return Ok(()),
            Err(NodeError::Link(error)) if error.is_run_over() => {
                (self.tell)(&NodeEvent::Dropped { why: "its run is over".to_owned() });
            }
            Err(NodeError::Link(error)) if error.is_refused() => {
                (self.tell)(&NodeEvent::Dropped { why: error.to_string() });
            }
            Err(error) => return Err(error),
        }
        self.journal.remove(entry)
    }

    fn answered(&mut self, entry: &Entry, kind: &Kind, again: bool) -> Result<(), NodeError> {
        let started = Instant::now();
        let result = match self.fetch(entry)? {
            Fetched::Records(message, form) => {
                let (run_id, kind) = (entry.run_id(), kind.clone());
                let instruction = Instruction { run_id, kind, message, form };
                self.handle(&instruction).map(|mut answer| {
                    // Flower's servers want no setting that only one of the nodes sends.
                    if again && form == Form::Flora {
                        answer.config.insert(AGAIN.to_owned(), Value::Bool(true));
                    }
                    codec::to_records(&answer, form)
                })
            }
            Fetched::Wrong(problem) => Err(problem),
            Fetched::Gone => {
                let why = "the SuperLink no longer has its content".to_owned();
                (self.tell)(&NodeEvent::Dropped { why });
                return Ok(());
            }
        };
        let result = result.and_then(|records| records.map_err(|error| error.to_string()));
        let failure = result.as_ref().err().cloned();
        let seconds = started.elapsed().as_secs_f64();
        let mut reply = self.reply(entry, result, started);
        let bytes = self.reach(|node| node.send(entry, &mut reply))?;
        let event = match (failure, bytes) {
            (Some(problem), _) => NodeEvent::Failed { kind: kind.clone(), problem },
            (None, Some(bytes)) => NodeEvent::Answered { kind: kind.clone(), seconds, bytes },
            (None, None) => NodeEvent::Dropped {
                why: "the server no longer waits for it, or has an answer already".to_owned(),
            },
        };
        (self.tell)(&event);
        Ok(())
    }

    fn handle(&mut self, instruction: &Instruction) -> Result<Message, String> {
        // What is half done is done again from what was kept before.
        catch_unwind(AssertUnwindSafe(|| self.site.handle(instruction)))
            .unwrap_or_else(|_| Err("the site panicked; its log says where".to_owned()))
    }

    /// The content of a message.
    fn fetch(&mut self, entry: &Entry) -> Result<Fetched, NodeError> {
        const PAUSE: Duration = Duration::from_millis(100);
        // A server that has announced an object sends it within 180 s, or never.
        let until = Instant::now() + Duration::from_secs(180);
        let (run, id) = (entry.run_id(), entry.message_id().to_owned());
        let inflated =
            objects::inflate(&id, Limits::default(), &mut |object: &str| -> Result<_, NodeError> {
                loop {
                    let response = self
                        .reach(|node| Ok(node.service.pull_object(node.node_id, run, object)?))?;
                    match (response.object_found, response.object_available) {
                        (true, true) => return Ok(response.object_content),
                        // The server has announced it, and is about to send it.
                        (true, false) if Instant::now() < until => {
                            if self.service.link().sleep(PAUSE) {
                                let url = self.service.link().url().to_owned();
                                return Err(LinkError::Stopped { url }.into());
                            }
                        }
                        _ => return Err(NodeError::Gone),
                    }
                }
            });
        Ok(match inflated {
            Ok(inflated) => match inflated.content {
                Content::Records(records) => match codec::from_records(&records) {
                    Ok((message, form)) => Fetched::Records(message, form),
                    Err(error) => Fetched::Wrong(error.to_string()),
                },
                Content::Error(error) => {
                    Fetched::Wrong(format!("an error is no instruction: {}", error.reason))
                }
            },
            Err(NodeError::Gone) => Fetched::Gone,
            Err(NodeError::Object(error)) => Fetched::Wrong(error.to_string()),
            Err(error) => return Err(error),
        })
    }

    /// Asks, however long nobody answers: what is half done stays to be done.
    fn reach<T>(
        &mut self,
        mut ask: impl FnMut(&mut Self) -> Result<T, NodeError>,
    ) -> Result<T, NodeError> {
        loop {
            match ask(self) {
                Err(NodeError::Link(error)) if error.is_unreachable() => self.lost(&error),
                other => {
                    if other.is_ok() {
                        self.found();
                    }
                    return other;
                }
            }
        }
    }
}

/// What became of a message's content.
enum Fetched {
    Records(Message, Form),
    /// It is no message that anybody could do.
    Wrong(String),
    Gone,
}

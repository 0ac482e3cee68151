//! Processing of a message, from the journal to its reply.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::{Duration, Instant};

use flora_federation::protocol::AGAIN;
use flora_federation::{Kind, Message, Value};

use super::journal::Entry;
use super::{Instruction, Node, NodeEvent, RECONNECT};
use crate::codec::{self, Form};
use crate::objects::{self, Content, Limits, RecordDict};
use crate::{LinkError, NodeError, secaggplus};

/// How often a task that crashes its process is tried.
const TRIES: usize = 3;

/// A server that announced an object sends it within this time after the previous one, or never.
const SENDING: Duration = Duration::from_secs(180);

/// The result of fetching a message's content.
enum Fetched {
    Records(Message, Form),
    SecAgg(RecordDict),
    /// The message is malformed.
    Wrong(String),
    Gone,
}

impl Node<'_> {
    /// Does the work of a message and answers it. Problems of the message or the site are reported to the server; only
    /// a problem that stops the node is an error.
    pub(super) fn process(&mut self, entry: &Entry, again: bool) -> Result<(), NodeError> {
        let kind = entry.kind();
        (self.tell)(&NodeEvent::Received { kind: kind.clone(), run_id: entry.run_id(), again });
        let tries = self.journal.count_try(entry)?;
        match self.answered(entry, &kind, tries, again) {
            Ok(()) => {}
            // It stays in the journal, for the next process.
            Err(NodeError::Link(LinkError::Stopped { .. })) => {
                self.journal.forget_tries(entry);
                return Ok(());
            }
            Err(NodeError::Link(error)) if error.is_run_over() => {
                (self.tell)(&NodeEvent::Dropped { why: "its run is over".to_owned() });
            }
            // The next request for a message shows whether the node itself may continue.
            Err(NodeError::Link(
                error @ (LinkError::Refused { .. }
                | LinkError::Unauthorized { .. }
                | LinkError::Protocol { .. }),
            )) => (self.tell)(&NodeEvent::Dropped { why: error.to_string() }),
            Err(error) => return Err(error),
        }
        self.journal.remove(entry)
    }

    fn answered(
        &mut self,
        entry: &Entry,
        kind: &Kind,
        tries: usize,
        again: bool,
    ) -> Result<(), NodeError> {
        let started = Instant::now();
        let fetched = match tries > TRIES {
            false => self.fetch(entry)?,
            true => Fetched::Wrong(format!(
                "the site's program ended {TRIES} times while it did this task; its log and its memory may say why"
            )),
        };
        let result = match fetched {
            Fetched::Records(message, form) => {
                let (run_id, kind) = (entry.run_id(), kind.clone());
                let instruction = Instruction { run_id, kind, message, form };
                self.handle(&instruction).map(|mut answer| {
                    // Flower's servers reject settings that only some of the nodes send.
                    if again && form == Form::Flora {
                        answer.config.insert(AGAIN.to_owned(), Value::Bool(true));
                    }
                    codec::to_records(&answer, form)
                })
            }
            Fetched::SecAgg(records) => self.aggregate(entry, kind, &records).map(Ok),
            Fetched::Wrong(problem) => Err(problem),
            Fetched::Gone => {
                let why = "the SuperLink no longer has its content".to_owned();
                (self.tell)(&NodeEvent::Dropped { why });
                return Ok(());
            }
        };
        let result = result.and_then(|records| records.map_err(|error| error.to_string()));
        let mut failure = result.as_ref().err().cloned();
        let seconds = started.elapsed().as_secs_f64();
        let mut reply = self.reply(entry, result, started);
        let bytes = match self.reach(|node| node.send(entry, &mut reply)) {
            // The reply itself cannot be delivered, but the failure can.
            Err(NodeError::Link(error @ LinkError::Protocol { .. })) => {
                let problem = failure.insert(error.to_string()).clone();
                let mut reply = self.reply(entry, Err(problem), started);
                self.reach(|node| node.send(entry, &mut reply))?
            }
            other => other?,
        };
        let event = match (failure, bytes) {
            (Some(problem), _) => NodeEvent::Failed { kind: kind.clone(), problem },
            (None, Some(bytes)) => NodeEvent::Answered { kind: kind.clone(), seconds, bytes },
            (None, None) => NodeEvent::Dropped {
                why: "the server no longer waits for it, or has a reply already".to_owned(),
            },
        };
        (self.tell)(&event);
        Ok(())
    }

    pub(super) fn handle(&mut self, instruction: &Instruction) -> Result<Message, String> {
        // Unfinished work is repeated from the state before it.
        catch_unwind(AssertUnwindSafe(|| self.site.handle(instruction)))
            .unwrap_or_else(|_| Err("the site panicked; its log says where".to_owned()))
    }

    /// The content of a message.
    fn fetch(&mut self, entry: &Entry) -> Result<Fetched, NodeError> {
        const PAUSE: Duration = Duration::from_millis(100);
        let (run, id) = (entry.run_id(), entry.message_id().to_owned());
        let inflated =
            objects::inflate(&id, Limits::default(), &mut |object: &str| -> Result<_, NodeError> {
                let until = Instant::now() + SENDING;
                loop {
                    let response = self
                        .reach(|node| Ok(node.service.pull_object(node.node_id, run, object)?))?;
                    match (response.object_found, response.object_available) {
                        (true, true) => return Ok(response.object_content),
                        // The server has announced it, and is about to send it.
                        (true, false) if Instant::now() < until => {
                            if self.service.link().sleep(PAUSE) {
                                return Err(self.service.link().stopped().into());
                            }
                        }
                        _ => return Err(NodeError::Gone),
                    }
                }
            });
        Ok(match inflated {
            Ok(inflated) => match inflated.content {
                Content::Records(records) if secaggplus::is_for(&records) => {
                    Fetched::SecAgg(records)
                }
                Content::Records(records) => match codec::from_records(&records) {
                    Ok((message, form)) => Fetched::Records(message, form),
                    Err(error) => Fetched::Wrong(error.to_string()),
                },
                Content::Error(error) => {
                    Fetched::Wrong(format!("an error is not an instruction: {}", error.reason))
                }
            },
            Err(NodeError::Gone) => Fetched::Gone,
            Err(NodeError::Object(error)) => Fetched::Wrong(error.to_string()),
            Err(error) => return Err(error),
        })
    }

    /// Sends a request until it is answered, so that unfinished work can continue.
    fn reach<T>(
        &mut self,
        mut ask: impl FnMut(&mut Self) -> Result<T, NodeError>,
    ) -> Result<T, NodeError> {
        loop {
            match ask(self) {
                Err(NodeError::Link(error)) if error.is_unreachable() => self.lost(&error),
                // An intermediary answered in the SuperLink's place, or truncated its response.
                Err(NodeError::Link(error @ LinkError::Unreadable { .. })) => {
                    self.lost(&error);
                    if self.service.link().sleep(RECONNECT) {
                        return Err(self.service.link().stopped().into());
                    }
                }
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

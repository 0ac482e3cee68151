//! Sending messages and receiving replies.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use flora_federation::protocol::{RUN, type_of};
use flora_federation::{Config, Kind, Message, Value};

use super::run::ServerRun;
use crate::ServerError;
use crate::codec::{self, Form};
use crate::objects::{self, Content, Limits, Objects};
use crate::wire::message as wire;
use crate::wire::message::{HasContent, Metadata, SUPERLINK};

/// The time limit of a message if a round has no deadline: a week.
const LONG: f64 = 7.0 * 24.0 * 3600.0;

/// Messages per announcement.
const AT_A_TIME: usize = 100;

/// How often objects are announced again if the SuperLink drops them before they are complete.
const ATTEMPTS: usize = 5;

/// A message to a node.
pub(super) struct Outgoing<'a> {
    pub(super) node_id: u64,
    /// Flower's type, such as `train`.
    pub(super) kind: String,
    pub(super) message: &'a Message,
    /// Additional settings.
    pub(super) config: Config,
    /// The time limit in seconds.
    pub(super) ttl: Option<f64>,
}

/// A reply to a message.
pub(super) struct Incoming {
    /// The id of the message that this answers.
    pub(super) asked: String,
    pub(super) result: Result<Message, Said>,
    /// Bytes of its objects.
    pub(super) bytes: u64,
}

/// The reason for a missing reply, in Flower's terms.
#[derive(Debug)]
pub(super) struct Said {
    code: i64,
    pub(super) reason: String,
}

impl Said {
    fn ours(reason: String) -> Self {
        Self { code: 0, reason }
    }

    /// The reason from a node, or from the SuperLink in its place.
    fn theirs(error: &wire::Error) -> Self {
        let reason = flora_core::text::printable(&error.reason).into_owned();
        Self { code: error.code, reason }
    }

    /// Whether the message or its reply was lost between the SuperLink and a node, or the node was offline. It may be
    /// sent again: repeating a task gives the same reply.
    pub(super) fn is_lost(&self) -> bool {
        // Message, reply or node unavailable.
        matches!(self.code, 3..=5)
    }
}

impl ServerRun {
    /// Sends messages; returns their ids in order. An id is empty if the SuperLink refused the message, because the
    /// node is gone.
    pub(super) fn send(&self, messages: &[Outgoing<'_>]) -> Result<Vec<String>, ServerError> {
        let mut ids = Vec::with_capacity(messages.len());
        for some in messages.chunks(AT_A_TIME) {
            ids.extend(self.send_some(some)?);
        }
        Ok(ids)
    }

    /// Sends a node a question outside the round loop's tasks, in the run of this token; returns the id of the message,
    /// or `None` if the SuperLink refused it.
    pub(super) fn question(
        &self,
        token: &str,
        node_id: u64,
        name: &str,
        message: &Message,
    ) -> Result<Option<String>, ServerError> {
        let kind = type_of(&Kind::Query(name.to_owned()));
        let config = Config::from([(RUN.to_owned(), Value::Text(token.to_owned()))]);
        let outgoing = Outgoing { node_id, kind, message, config, ttl: None };
        Ok(self.send(&[outgoing])?.pop().filter(|id| !id.is_empty()))
    }

    fn send_some(&self, messages: &[Outgoing<'_>]) -> Result<Vec<String>, ServerError> {
        let (mut announced, mut trees) = (Vec::new(), Vec::new());
        let mut contents: BTreeMap<String, Vec<u8>> = BTreeMap::new();
        for outgoing in messages {
            let (message, objects) = self.pack(outgoing)?;
            announced.push(message);
            trees.push(objects.tree);
            contents.extend(objects.contents);
        }
        for _ in 0..ATTEMPTS {
            let response = self.service().push_messages(announced.clone(), trees.clone())?;
            let mut stored = true;
            // From the messages down, so that the receiver sees the progress.
            for id in response.objects_to_push.iter().rev() {
                let Some(content) = contents.get(id) else { continue };
                stored = self.service().push_object(id, content, &response.session_id)?;
                if !stored {
                    break;
                }
            }
            if stored && response.message_ids.len() == messages.len() {
                return Ok(response.message_ids);
            }
        }
        Err(ServerError::NotStored { url: self.service().link().url().to_owned() })
    }

    fn pack(&self, outgoing: &Outgoing<'_>) -> Result<(wire::Message, Objects), ServerError> {
        let mut message = outgoing.message.clone();
        message.config.extend(outgoing.config.clone());
        let records = codec::to_records(&message, Form::Flora)?;
        let metadata = Metadata {
            run_id: self.run_id(),
            src_node_id: SUPERLINK,
            dst_node_id: outgoing.node_id,
            ttl: outgoing.ttl.unwrap_or(LONG),
            message_type: outgoing.kind.clone(),
            created_at: crate::node::now(),
            ..Metadata::default()
        };
        let objects = objects::deflate(&metadata, &Content::Records(records));
        let metadata = Metadata { message_id: objects.root.clone(), ..metadata };
        let message =
            wire::Message { metadata: Some(metadata), content: Some(HasContent {}), error: None };
        Ok((message, objects))
    }

    /// The available replies to the messages with these ids. Announced replies that are still incomplete stay in
    /// `announced`, and do not delay the others.
    pub(super) fn receive(
        &self,
        ids: Vec<String>,
        announced: &mut Vec<Announced>,
    ) -> Result<Vec<Incoming>, ServerError> {
        // The SuperLink delivers an announced reply once, and then no longer knows the message.
        let is_new = |id: &String| announced.iter().all(|answer| !answer.is_to(id));
        let ids: Vec<String> = ids.into_iter().filter(is_new).collect();
        if !ids.is_empty() {
            let answers = self.service().pull_messages(ids)?;
            announced.extend(answers.into_iter().filter_map(Announced::new));
        }
        let mut there = Vec::new();
        let mut rest = Vec::new();
        for mut answer in announced.drain(..) {
            match self.complete(&mut answer)? {
                Some(incoming) => there.push(incoming),
                None => rest.push(answer),
            }
        }
        *announced = rest;
        Ok(there)
    }

    /// The reply, if it is complete.
    fn complete(&self, answer: &mut Announced) -> Result<Option<Incoming>, ServerError> {
        let asked = answer.asked.clone();
        if let Some(error) = answer.error.take() {
            return Ok(Some(Incoming { asked, result: Err(Said::theirs(&error)), bytes: 0 }));
        }
        let Announced { id, objects, since, .. } = answer;
        let inflated = objects::inflate(id, Limits::default(), &mut |id: &str| {
            if let Some(content) = objects.get(id) {
                return Ok(content.clone());
            }
            let response = self.service().pull_object(id)?;
            match (response.object_found, response.object_available) {
                (true, true) => {
                    *since = Instant::now();
                    objects.insert(id.to_owned(), response.object_content.clone());
                    Ok(response.object_content)
                }
                (true, false) if since.elapsed() < SENDING => Err(ServerError::NotYet),
                _ => Err(ServerError::Lost),
            }
        });
        let result = match inflated {
            Ok(inflated) => match inflated.content {
                Content::Records(records) => match codec::from_records(&records) {
                    Ok((message, _)) => Ok(message),
                    Err(error) => Err(Said::ours(format!("its reply cannot be read: {error}"))),
                },
                Content::Error(error) => Err(Said::theirs(&error)),
            },
            Err(ServerError::NotYet) => return Ok(None),
            Err(ServerError::Lost) => {
                Err(Said { code: LOST, reason: "its reply was not sent whole".to_owned() })
            }
            Err(ServerError::Object(error)) => {
                Err(Said::ours(format!("its reply is damaged: {error}")))
            }
            Err(error) => return Err(error),
        };
        let bytes = objects.values().map(|content| content.len() as u64).sum();
        // The SuperLink may drop it. If this request is lost, it drops it later anyway.
        let _ = self.service().confirm(id);
        Ok(Some(Incoming { asked, result, bytes }))
    }
}

/// A reply that a node has announced, and the received part of it.
pub(super) struct Announced {
    id: String,
    asked: String,
    error: Option<wire::Error>,
    objects: BTreeMap<String, Vec<u8>>,
    /// When it was announced, or when the last object arrived.
    since: Instant,
}

impl Announced {
    fn new(message: wire::Message) -> Option<Self> {
        let Metadata { message_id: id, reply_to_message_id: asked, .. } = message.metadata?;
        let (error, objects, since) = (message.error, BTreeMap::new(), Instant::now());
        Some(Self { id, asked, error, objects, since })
    }

    /// Whether it answers that message.
    pub(super) fn is_to(&self, message: &str) -> bool {
        self.asked == message
    }
}

/// A node sends each object of an announced reply within this time after the previous one, or never.
const SENDING: Duration = Duration::from_secs(180);

/// Flower's number for an unavailable reply.
const LOST: i64 = 4;

/// An integer that a node returned.
pub(super) fn take_number(config: &mut Config, key: &str) -> Option<usize> {
    match config.remove(key)? {
        Value::Int(number) => usize::try_from(number).ok(),
        _ => None,
    }
}

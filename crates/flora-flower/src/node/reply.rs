//! Sending replies to the SuperLink.

use std::time::Instant;

use super::Node;
use super::journal::Entry;
use crate::NodeError;
use crate::objects::{self, Content, Objects, RecordDict};
use crate::wire::message::{Error, HasContent, Message, Metadata, SUPERLINK};

/// Flower's number for a client that failed.
const APP_RAISED: i64 = 2;

/// How often objects are announced again if the SuperLink drops them before they are complete.
const ATTEMPTS: usize = 5;

/// The longest reason, in characters.
const LONGEST_REASON: usize = 2_000;

/// An encoded reply. It is built once: a second version would count as a second reply.
pub(super) struct Reply {
    message: Message,
    objects: Objects,
    seconds: f64,
    /// How often it was announced.
    announced: usize,
    /// The session of the last announcement, until everything is sent.
    session: Option<String>,
    /// The objects still to send.
    unsent: Vec<String>,
    /// Bytes of the objects that were sent.
    bytes: u64,
}

impl Node<'_> {
    /// The reply to a message whose work began at `started`.
    pub(super) fn reply(
        &self,
        entry: &Entry,
        result: Result<RecordDict, String>,
        started: Instant,
    ) -> Reply {
        let asked = entry.metadata();
        let seconds = started.elapsed().as_secs_f64();
        // By the server's clock, which decides whether the reply is in time: this machine's clock may be minutes off.
        let created_at = asked.created_at + seconds;
        let metadata = Metadata {
            run_id: asked.run_id,
            message_id: String::new(),
            src_node_id: self.node_id,
            dst_node_id: SUPERLINK,
            reply_to_message_id: asked.message_id.clone(),
            group_id: asked.group_id.clone(),
            // Never beyond the instruction's own time limit.
            ttl: (asked.created_at + asked.ttl - created_at).max(0.0),
            message_type: asked.message_type.clone(),
            created_at,
            src_task_id: None,
            dst_task_id: asked.src_task_id,
        };
        let content = match result {
            Ok(records) => Content::Records(records),
            Err(problem) => {
                let reason = problem.chars().take(LONGEST_REASON).collect();
                Content::Error(Error { code: APP_RAISED, reason })
            }
        };
        let objects = objects::deflate(&metadata, &content);
        let error = match content {
            Content::Records(_) => None,
            Content::Error(error) => Some(error),
        };
        let message = Message {
            metadata: Some(Metadata { message_id: objects.root.clone(), ..metadata }),
            content: error.is_none().then_some(HasContent {}),
            error,
        };
        let (session, unsent) = (None, Vec::new());
        Reply { message, objects, seconds, announced: 0, session, unsent, bytes: 0 }
    }

    /// Sends a reply; returns the bytes of the objects that were sent, or `None` if the SuperLink did not take it.
    pub(super) fn send(
        &mut self,
        entry: &Entry,
        reply: &mut Reply,
    ) -> Result<Option<u64>, NodeError> {
        let (node, run) = (self.node_id, entry.run_id());
        for _ in 0..ATTEMPTS {
            let Some(session) = self.announce(reply)? else { return Ok(None) };
            let mut stored = true;
            while let Some(id) = reply.unsent.last() {
                let contents = &reply.objects.contents;
                if let Some((_, content)) = contents.iter().find(|(other, _)| other == id) {
                    stored &= self.service.push_object(node, run, id, content, &session)?;
                    reply.bytes += content.len() as u64;
                }
                reply.unsent.pop();
            }
            // An object that was not stored is there already: the SuperLink received it, but its response was lost,
            // or it dropped the object with the session. Announcing it again tells which.
            reply.session = None;
            if stored {
                // The SuperLink need not keep the instruction for this node any longer.
                let _ = self.service.confirm(node, run, entry.message_id());
                return Ok(Some(reply.bytes));
            }
        }
        Ok(None)
    }

    /// Announces a reply, unless it is announced already; returns the session for its objects, or `None` if the
    /// SuperLink does not take it.
    fn announce(&self, reply: &mut Reply) -> Result<Option<String>, NodeError> {
        if let Some(session) = &reply.session {
            return Ok(Some(session.clone()));
        }
        reply.announced += 1;
        let (message, tree) = (reply.message.clone(), reply.objects.tree.clone());
        let response = self.service.push_message(self.node_id, message, tree, reply.seconds)?;
        let new = &response.objects_to_push;
        // The message's own object is always new; if the SuperLink does not ask for it, it dropped the reply silently.
        if reply.announced == 1 && new.is_empty() {
            return Ok(None);
        }
        // From the message down, so that the server sees the progress: the last object is sent first.
        let order = reply.objects.contents.iter().map(|(id, _)| id);
        reply.unsent = order.filter(|id| new.contains(id)).cloned().collect();
        reply.session = Some(response.session_id.clone());
        Ok(Some(response.session_id))
    }
}

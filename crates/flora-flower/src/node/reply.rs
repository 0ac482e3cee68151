//! How an answer gets to the SuperLink.

use std::time::Instant;

use super::Node;
use super::journal::Entry;
use crate::NodeError;
use crate::objects::{self, Content, Objects, RecordDict};
use crate::wire::message::{Error, HasContent, Message, Metadata, SUPERLINK};

/// Flower's number for a client that failed.
const APP_RAISED: i64 = 2;

/// How often objects are announced again that the SuperLink forgot before they were all there.
const ATTEMPTS: usize = 5;

/// A reason that no log wants to be longer.
const LONGEST_REASON: usize = 2_000;

/// An answer as it is sent. Made once: sent again it must be the same, or it would be a second answer.
pub(super) struct Reply {
    message: Message,
    objects: Objects,
    seconds: f64,
    /// How often it was announced.
    announced: usize,
    /// What the SuperLink gave when it was announced last, until all is sent.
    session: Option<String>,
    /// The objects that are still to be sent.
    unsent: Vec<String>,
    /// Bytes of the objects that were sent.
    bytes: u64,
}

impl Node<'_> {
    /// The answer to a message whose work began at `started`.
    pub(super) fn reply(
        &self,
        entry: &Entry,
        result: Result<RecordDict, String>,
        started: Instant,
    ) -> Reply {
        let asked = entry.metadata();
        let seconds = started.elapsed().as_secs_f64();
        // By the server's clock, which decides whether the answer is in time: this machine's may be minutes off.
        let created_at = asked.created_at + seconds;
        let metadata = Metadata {
            run_id: asked.run_id,
            message_id: String::new(),
            src_node_id: self.node_id,
            dst_node_id: SUPERLINK,
            reply_to_message_id: asked.message_id.clone(),
            group_id: asked.group_id.clone(),
            // Never longer than the instruction counts.
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

    /// Sends an answer; the bytes of the objects that were sent, or `None` if the SuperLink did not take it.
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
            // One that was not stored is there already, because its sending was heard and its answer was not, or was
            // forgotten with the session. Announcing it again tells.
            reply.session = None;
            if stored {
                // Nobody has to keep the instruction for us any longer.
                let _ = self.service.confirm(node, run, entry.message_id());
                return Ok(Some(reply.bytes));
            }
        }
        Ok(None)
    }

    /// Announces an answer, unless it is announced; the session to send its objects in, or `None` if the SuperLink
    /// does not take it.
    fn announce(&self, reply: &mut Reply) -> Result<Option<String>, NodeError> {
        if let Some(session) = &reply.session {
            return Ok(Some(session.clone()));
        }
        reply.announced += 1;
        let (message, tree) = (reply.message.clone(), reply.objects.tree.clone());
        let response = self.service.push_message(self.node_id, message, tree, reply.seconds)?;
        let new = &response.objects_to_push;
        // The message's own object is new, whatever else the SuperLink has: it was dropped without a word.
        if reply.announced == 1 && new.is_empty() {
            return Ok(None);
        }
        // From the message down, so that the server sees how far it is: the last one is sent first.
        let order = reply.objects.contents.iter().map(|(id, _)| id);
        reply.unsent = order.filter(|id| new.contains(id)).cloned().collect();
        reply.session = Some(response.session_id.clone());
        Ok(Some(response.session_id))
    }
}

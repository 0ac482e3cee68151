//! How an answer gets to the SuperLink.

use super::Node;
use super::journal::{Entry, now};
use crate::NodeError;
use crate::objects::{self, Content, RecordDict};
use crate::wire::message::{Error, HasContent, Message, Metadata, SUPERLINK};

/// Flower's number for a client that failed.
const APP_RAISED: i64 = 2;

/// How often objects are announced again that the SuperLink forgot before they were all there.
const ATTEMPTS: usize = 5;

/// A reason that no log wants to be longer.
const LONGEST_REASON: usize = 2_000;

impl Node<'_> {
    /// Sends an answer; the bytes of the objects that were sent, or `None` if the SuperLink did not take it.
    pub(super) fn push(
        &mut self,
        entry: &Entry,
        result: &Result<RecordDict, String>,
        seconds: f64,
    ) -> Result<Option<u64>, NodeError> {
        let asked = entry.metadata();
        let created_at = now();
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
            Ok(records) => Content::Records(records.clone()),
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
        let mut bytes = 0;
        for attempt in 0..ATTEMPTS {
            let (node, tree) = (self.node_id, objects.tree.clone());
            let response = self.service.push_message(node, message.clone(), tree, seconds)?;
            // The message's own object is new, whatever else the SuperLink has: it was dropped without a word.
            if attempt == 0 && response.objects_to_push.is_empty() {
                return Ok(None);
            }
            let mut stored = true;
            for (id, content) in &objects.contents {
                if !stored || !response.objects_to_push.contains(id) {
                    continue;
                }
                let (run, session) = (asked.run_id, &response.session_id);
                stored = self.service.push_object(node, run, id, content, session)?;
                bytes += content.len() as u64;
            }
            if stored {
                // Nobody has to keep the instruction for us any longer.
                let _ = self.service.confirm(node, asked.run_id, &asked.message_id);
                return Ok(Some(bytes));
            }
        }
        Ok(None)
    }
}

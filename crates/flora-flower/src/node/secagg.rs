//! Messages of Flower's SecAgg+; the state between them is in the node's folder.

use flora_federation::protocol::SERVER_ROUND;
use flora_federation::{Kind, Message, Value};

use super::journal::Entry;
use super::{Instruction, Node};
use crate::codec::Form;
use crate::objects::RecordDict;
use crate::random;
use crate::secaggplus::{SecAggError, SecAggNode, StateFolder, Step};

/// The name of the folder in the node's folder.
const FOLDER: &str = "secaggplus";

impl Node<'_> {
    /// Does a step, including the site's training at its stage.
    pub(super) fn aggregate(
        &mut self,
        entry: &Entry,
        kind: &Kind,
        records: &RecordDict,
    ) -> Result<RecordDict, String> {
        let states = StateFolder::new(self.folder.path().join(FOLDER));
        let run_id = entry.run_id();
        let mut node = match states.load(run_id, self.node_id) {
            // The next round begins without it.
            Err(SecAggError::State(_)) => SecAggNode::new(self.node_id),
            other => other.map_err(|error| error.to_string())?,
        };
        let told = |error: SecAggError| error.to_string();
        let reply = match node.receive(records, &mut random).map_err(told)? {
            Step::Reply(records) => records,
            Step::Train(message) => {
                let message = with_round(message, &entry.metadata().group_id);
                let instruction =
                    Instruction { run_id, kind: kind.clone(), message, form: Form::Stock };
                let answer = self.handle(&instruction)?;
                node.trained(&answer, &mut random).map_err(told)?
            }
        };
        // Before the reply is sent: the same masks must not be used for another reply.
        states.save(run_id, &node).map_err(told)?;
        Ok(reply)
    }
}

/// The older API gives the round only in the message's group.
fn with_round(mut message: Message, group: &str) -> Message {
    if let Ok(round) = group.parse() {
        message.config.entry(SERVER_ROUND.to_owned()).or_insert(Value::Int(round));
    }
    message
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_round_is_that_of_the_group_unless_the_server_says_one() {
        let round = |message: &Message| message.config.get(SERVER_ROUND).cloned();
        let told = with_round(Message::default(), "7");
        assert_eq!(round(&told), Some(Value::Int(7)));
        assert_eq!(round(&with_round(told, "8")), Some(Value::Int(7)));
        assert_eq!(round(&with_round(Message::default(), "")), None);
    }
}

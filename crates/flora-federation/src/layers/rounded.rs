use std::sync::Arc;

use flora_core::Dtype;

use super::Transform;
use crate::{Message, Task};

/// Rounds every value of a reply to another element type for transmission; the server widens it to f32 again. f16 or
/// bf16 halve the bytes.
#[derive(Debug, Clone, Copy)]
pub struct Rounded(pub Dtype);

impl Transform for Rounded {
    fn name(&self) -> &str {
        "rounded"
    }

    fn encode(&mut self, _task: &Task, message: Message) -> Result<Message, String> {
        Ok(cast(message, self.0))
    }

    fn decode(&self, _task: &Task, message: Message) -> Result<Message, String> {
        for record in message.records.values() {
            if let Some((name, tensor)) = record.iter().find(|(_, it)| it.dtype() != self.0) {
                let (is, expected) = (tensor.dtype(), self.0);
                return Err(format!("tensor `{name}` has element type {is}, expected {expected}"));
            }
        }
        Ok(cast(message, Dtype::F32))
    }
}

fn cast(mut message: Message, dtype: Dtype) -> Message {
    for record in message.records.values_mut() {
        *record = Arc::new(record.cast(dtype));
    }
    message
}

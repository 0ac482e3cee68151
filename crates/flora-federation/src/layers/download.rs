use std::sync::Arc;

use flora_core::{Dtype, HostTensor, ParameterRecord, RecordError};

use crate::{Message, PARAMETERS, Task};

/// An encoding of the messages sent to clients (for training and tests) and its inverse, such as a quantisation.
///
/// The server keeps its model in full precision. A client trains from the decoded message; its update is added to the
/// server's model, not to the client's ([FedLPP](https://arxiv.org/abs/2406.10976)). The strategy therefore sees
/// replies as if clients had started from the server's model, and no client ever holds that model.
pub trait Download: Send + Sync {
    /// The name in messages.
    fn name(&self) -> &str;

    /// Encodes a task on the server. Clients that are sent the same message in a round must be sent the same bytes.
    ///
    /// # Errors
    /// A message that cannot be encoded; the client is not asked.
    fn encode(&self, task: &Task) -> Result<Message, String>;

    /// Decodes a task on the client, and on the server to know the client's starting point. The same bytes give the
    /// same result.
    ///
    /// # Errors
    /// The problem of the message.
    fn decode(&self, task: &Task) -> Result<Message, String>;
}

/// The task as the client decodes it.
pub(super) fn decoded(download: &dyn Download, task: &Task) -> Result<Task, String> {
    match download.decode(task) {
        Ok(message) => Ok(Task { message, ..task.clone() }),
        Err(problem) => Err(format!("download: {}: {problem}", download.name())),
    }
}

/// The reply of a client that started from `received`, as if it had started from `whole`: `whole + (reply -
/// received)`. Tensors that were not sent or have another shape stay unchanged.
pub(super) fn moved(
    mut message: Message,
    received: &Message,
    whole: &Message,
) -> Result<Message, String> {
    let (Some(received), Some(whole)) = (received.get_parameters(), whole.get_parameters()) else {
        return Ok(message);
    };
    if let Some(answer) = message.get_parameters() {
        let answer = rebased(answer, received, whole).map_err(|error| error.to_string())?;
        message.records.insert(PARAMETERS.to_owned(), Arc::new(answer));
    }
    Ok(message)
}

fn rebased(
    answer: &ParameterRecord,
    received: &ParameterRecord,
    whole: &ParameterRecord,
) -> Result<ParameterRecord, RecordError> {
    let mut rebased = ParameterRecord::new();
    for (name, theirs) in answer.iter() {
        let pair = (received.matching(name, theirs), whole.matching(name, theirs));
        let tensor = match pair {
            (Ok(from), Ok(to)) if theirs.dtype() == Dtype::F32 && from != to => {
                let (answered, from, to) = (theirs.to_f32(), from.to_f32(), to.to_f32());
                let pairs = answered.iter().zip(from.iter()).zip(to.iter());
                let values = pairs.map(|((answered, from), to)| to + (answered - from));
                HostTensor::from_f32(theirs.shape(), values.collect())?
            }
            _ => theirs.clone(),
        };
        rebased.insert(name, tensor)?;
    }
    Ok(rebased)
}

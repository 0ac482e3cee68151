use std::sync::Arc;

use flora_core::{Dtype, HostTensor, ParameterRecord, RecordError};

use crate::{Message, PARAMETERS, Task};

/// A change to what clients are sent, for training and for tests, and its inverse: a quantisation.
///
/// The server keeps its model as it is. A client trains from what it can read; what training changed is added to the
/// server's model, and not to the client's ([FedLPP](https://arxiv.org/abs/2406.10976)). So the strategy sees answers as if
/// clients had begun with the server's model, and no client ever holds it.
pub trait Download: Send + Sync {
    /// What it is called in messages.
    fn name(&self) -> &str;

    /// On the server's side. All who are sent the same in a round must be sent the same bytes.
    ///
    /// # Errors
    /// What cannot be encoded; the client is not asked.
    fn encode(&self, task: &Task) -> Result<Message, String>;

    /// On the client's side, and, to know what the client trains from, on the server's: the same from the same bytes.
    ///
    /// # Errors
    /// What is wrong with the message.
    fn decode(&self, task: &Task) -> Result<Message, String>;
}

/// The task as its client has it.
pub(super) fn decoded(download: &dyn Download, task: &Task) -> Result<Task, String> {
    match download.decode(task) {
        Ok(message) => Ok(Task { message, ..task.clone() }),
        Err(problem) => Err(format!("download: {}: {problem}", download.name())),
    }
}

/// The answer of a client that began with `received` as if it had begun with `whole`: `whole + (answer - received)`. What was
/// not sent, or in another shape, stays as it is.
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

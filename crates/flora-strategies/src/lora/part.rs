//! Training only one of the two matrices.

use std::{collections::BTreeMap, convert::Infallible, sync::Arc};

use flora_core::ParameterRecord;
use flora_federation::{CheckError, Message, PARAMETERS, Value};

/// The setting of an instruction that restricts training and answer to parameters whose names contain this text. By
/// default, all are trained.
pub const TRAIN: &str = "flora.train";

/// The setting of an instruction that, if true, makes a client reset its optimizer: the parameters have another basis
/// than in the previous round, so moments of old gradients are meaningless.
pub const FRESH_OPTIMIZER: &str = "flora.fresh-optimizer";

/// A substring of the names of the matrices A; a value of [`TRAIN`].
pub const LORA_A: &str = "lora_A";

/// A substring of the names of the matrices B; a value of [`TRAIN`].
pub const LORA_B: &str = "lora_B";

/// The setting of an instruction that, if true, makes a client return factors of the gradient at the parameters that it
/// was sent, instead of trained parameters; see [`FedSb`](super::FedSb).
pub const ESTIMATE: &str = "flora.estimate";

/// A substring of the names of the cores between the two matrices; a value of [`TRAIN`].
pub const CORE: &str = "lora_R";

/// A substring of the names of both matrices; a value of [`TRAIN`].
pub(crate) const LORA: &str = "lora_";

/// A message with `parameters`, of which `part` is to be trained.
pub(crate) fn training(parameters: Arc<ParameterRecord>, part: &str) -> Message {
    let mut message = Message::parameters(parameters);
    message.config.insert(TRAIN.to_owned(), Value::Text(part.to_owned()));
    message
}

/// Checks that a reply holds exactly the parameters that were to be trained: with the sent shapes and element types,
/// and finite.
pub(crate) fn check(sent: &Message, answer: &Message) -> Result<(), CheckError> {
    let missing = || CheckError::Missing { name: PARAMETERS.to_owned() };
    let (Some(sent_parameters), Some(answered)) = (sent.get_parameters(), answer.get_parameters())
    else {
        return Err(missing());
    };
    if let Some(name) = answer.records.keys().find(|&name| name != PARAMETERS) {
        return Err(CheckError::Unexpected { name: name.clone() });
    }
    let part = match sent.config.get(TRAIN) {
        Some(Value::Text(part)) => part.as_str(),
        _ => "",
    };
    let wanted = sent_parameters.filter(|name| name.contains(part));
    answered.check_matches(&wanted)?;
    answered.check_dtypes(&wanted)?;
    Ok(answered.check_finite()?)
}

/// A cache of records derived from the global one, since a round sends the same record to many clients.
#[derive(Default)]
pub(crate) struct Made {
    of: Option<Arc<ParameterRecord>>,
    by_rank: BTreeMap<usize, Arc<ParameterRecord>>,
}

impl Made {
    /// The record for a rank, made on first use; the global record if none needs to be made.
    pub(crate) fn get(
        &mut self,
        global: &Arc<ParameterRecord>,
        rank: usize,
        make: impl FnOnce(&ParameterRecord) -> Option<ParameterRecord>,
    ) -> Arc<ParameterRecord> {
        let made = self.try_get(global, rank, |it| Ok::<_, Infallible>(make(it)));
        made.unwrap_or_else(|never| match never {})
    }

    /// The same where making it may fail.
    pub(crate) fn try_get<E>(
        &mut self,
        global: &Arc<ParameterRecord>,
        rank: usize,
        make: impl FnOnce(&ParameterRecord) -> Result<Option<ParameterRecord>, E>,
    ) -> Result<Arc<ParameterRecord>, E> {
        if !self.of.as_ref().is_some_and(|of| Arc::ptr_eq(of, global)) {
            self.by_rank.clear();
            self.of = Some(Arc::clone(global));
        }
        if let Some(made) = self.by_rank.get(&rank) {
            return Ok(Arc::clone(made));
        }
        let made = make(global)?.map_or_else(|| Arc::clone(global), Arc::new);
        self.by_rank.insert(rank, Arc::clone(&made));
        Ok(made)
    }
}

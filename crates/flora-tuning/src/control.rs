//! Control variates against client drift.

use std::collections::BTreeMap;
use std::sync::Arc;

use burn::tensor::Tensor;
use flora_core::{ParameterRecord, RecordError};
use flora_federation::{Message, Value};
use flora_lora::named::visit;
use flora_strategies::{CONTROL, COUNTED, TASK, answered_control, client_control};

use crate::{Cohort, TuningError, TuningModel};

/// The control variates of SCAFFOLD ([arXiv 1910.06378](https://arxiv.org/abs/1910.06378)), which a task requests by
/// the record [`CONTROL`], the server's: the loss of every step gains `<c - c_k, w>`, and so the gradient `c - c_k`,
/// with `c_k` the client's own, which is initially zero.
pub(crate) struct Control {
    /// `c`
    server: Arc<ParameterRecord>,
    /// `c_k`
    own: Option<ParameterRecord>,
    task: i64,
    /// `c - c_k`, by the model's parameter names, in its layout.
    gradients: BTreeMap<String, Vec<f32>>,
}

/// A client's control variate.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct OwnControl {
    /// The task after which it was computed.
    pub(crate) task: i64,
    /// The one before that task, in case the server did not count the reply.
    pub(crate) before: Option<ParameterRecord>,
    pub(crate) after: ParameterRecord,
}

impl Control {
    /// The control variates that a task requests of a client with `own`, which starts from `model` with parameters
    /// `start`.
    pub(crate) fn asked(
        message: &Message,
        cohort: &Cohort,
        (model, start): (&TuningModel, &ParameterRecord),
        own: Option<&OwnControl>,
    ) -> Result<Option<Self>, TuningError> {
        let Some(server) = message.records.get(CONTROL) else { return Ok(None) };
        let number = |name: &'static str| match message.config.get(name) {
            None => Ok(None),
            Some(&Value::Int(number)) => Ok(Some(number)),
            Some(other) => {
                let problem = format!("{other:?} is not a whole number");
                Err(TuningError::Setting { name, problem })
            }
        };
        let task = number(TASK)?.unwrap_or(0);
        let counted = number(COUNTED)?;
        let own = own.and_then(|own| match counted == Some(own.task) {
            true => Some(own.after.clone()),
            false => own.before.clone(),
        });
        server.check_matches(start)?;
        server.check_finite()?;
        let difference = difference(server, own.as_ref())?;
        let mut gradients = BTreeMap::new();
        // In the model's own layout.
        visit(&cohort.trainable.load(model.clone(), &difference)?, |place, parameter| {
            if cohort.trainable.entry(place).is_some() {
                gradients.insert(place.name.to_owned(), parameter.values());
            }
        });
        Ok(Some(Self { server: Arc::clone(server), own, task, gradients }))
    }

    /// `loss` with the term for the current model.
    pub(crate) fn add_to(&self, loss: Tensor<1>, model: &TuningModel) -> Tensor<1> {
        let mut sum = loss;
        visit(model, |place, parameter| {
            let Some(gradient) = self.gradients.get(place.name) else { return };
            sum = sum.clone() + parameter.dot(gradient);
        });
        sum
    }

    /// The client's control variate after `steps` steps from `start` to `trained`, and its reply.
    pub(crate) fn after(
        self,
        start: &ParameterRecord,
        trained: &ParameterRecord,
        steps_and_rate: (usize, f64),
    ) -> Result<(OwnControl, ParameterRecord), TuningError> {
        let Self { server, own: before, task, .. } = self;
        let after = client_control(before.as_ref(), &server, (start, trained), steps_and_rate)?;
        after.check_finite().map_err(TuningError::NotFinite)?;
        let answered = answered_control(&server, before.as_ref(), &after)?;
        Ok((OwnControl { task, before, after }, answered))
    }
}

/// `c - c_k`
fn difference(
    server: &ParameterRecord,
    own: Option<&ParameterRecord>,
) -> Result<ParameterRecord, RecordError> {
    match own {
        None => Ok(server.clone()),
        Some(own) => answered_control(server, Some(own), &own.zeros_like()),
    }
}

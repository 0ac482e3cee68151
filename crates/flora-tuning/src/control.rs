//! What keeps a client from drifting towards its own optimum.

use std::collections::BTreeMap;
use std::sync::Arc;

use burn::tensor::Tensor;
use flora_core::ParameterRecord;
use flora_federation::Records;
use flora_lora::named::visit;
use flora_strategies::{CONTROL, answered_control, client_control};

use crate::{Cohort, TuningError, TuningModel};

/// The control variates of SCAFFOLD ([arXiv 1910.06378](https://arxiv.org/abs/1910.06378)), which a task asks for by the record
/// [`CONTROL`], the server's: the loss of every step gains `<c - c_k, w>`, and so the gradient `c - c_k`, with `c_k` the
/// client's own, which is zero where it has none yet.
pub(crate) struct Control {
    /// What the parameters were at the start.
    start: ParameterRecord,
    /// `c`
    server: Arc<ParameterRecord>,
    /// `c - c_k`, by the names that the model gives the parameters, in its layout.
    gradients: BTreeMap<String, Vec<f32>>,
}

impl Control {
    /// That of a task with these records, for a client that has `own` and begins with `model`.
    pub(crate) fn asked(
        records: &Records,
        cohort: &Cohort,
        model: &TuningModel,
        own: Option<&ParameterRecord>,
    ) -> Result<Option<Self>, TuningError> {
        let Some(server) = records.get(CONTROL) else { return Ok(None) };
        let trainable = cohort.trainable;
        let start = trainable.record(model)?;
        server.check_matches(&start)?;
        server.check_finite()?;
        let difference = match own {
            None => server.as_ref().clone(),
            // c + 0 - c_k
            Some(own) => answered_control(server, Some(own), &zeros(&start)?)?,
        };
        let mut gradients = BTreeMap::new();
        // In the model's own layout.
        visit(&trainable.load(model.clone(), &difference)?, |place, parameter| {
            if trainable.entry(place).is_some() {
                gradients.insert(place.name.to_owned(), parameter.values());
            }
        });
        Ok(Some(Self { start, server: Arc::clone(server), gradients }))
    }

    /// `loss` with the term of the model as it is now.
    pub(crate) fn add_to(&self, loss: Tensor<1>, model: &TuningModel) -> Tensor<1> {
        let mut sum = loss;
        visit(model, |place, parameter| {
            let Some(gradient) = self.gradients.get(place.name) else { return };
            sum = sum.clone() + parameter.dot(gradient);
        });
        sum
    }

    /// The client's control variate after so many steps at a rate have made `trained`, and what it answers.
    pub(crate) fn after(
        &self,
        own: Option<&ParameterRecord>,
        trained: &ParameterRecord,
        steps_and_rate: (usize, f64),
    ) -> Result<(ParameterRecord, ParameterRecord), TuningError> {
        let after = client_control(own, &self.server, (&self.start, trained), steps_and_rate)?;
        after.check_finite().map_err(TuningError::NotFinite)?;
        let answered = answered_control(&self.server, own, &after)?;
        Ok((after, answered))
    }
}

fn zeros(like: &ParameterRecord) -> Result<ParameterRecord, TuningError> {
    let mut zeros = ParameterRecord::new();
    for (name, tensor) in like.iter() {
        let values = vec![0.0; tensor.len()];
        zeros.insert(name, flora_core::HostTensor::from_f32(tensor.shape(), values)?)?;
    }
    Ok(zeros)
}

//! The update of a reply: its difference to the sent parameters.

use flora_core::{HostTensor, ParameterRecord, RecordError};

/// The update of the tensor of this name. A tensor that was not sent counts from zero.
pub(crate) fn change(sent: &ParameterRecord, name: &str, answered: &HostTensor) -> Vec<f64> {
    let to = answered.to_f32();
    match sent.matching(name, answered) {
        Ok(from) => {
            let from = from.to_f32();
            let pairs = to.iter().zip(from.iter());
            pairs.map(|(&to, &from)| f64::from(to) - f64::from(from)).collect()
        }
        Err(_) => to.iter().copied().map(f64::from).collect(),
    }
}

/// The L2 norm over all tensors. Unlike [`ParameterRecord::distance`], it includes tensors that only one of the two
/// records has.
pub(crate) fn norm(answer: &ParameterRecord, sent: &ParameterRecord) -> f64 {
    let changes = answer.iter().map(|(name, answered)| change(sent, name, answered));
    changes.map(|change| change.iter().map(|x| x * x).sum::<f64>()).sum::<f64>().sqrt()
}

/// `sent + change`, as a tensor with the shape and element type of `like`.
pub(crate) fn moved(
    sent: &ParameterRecord,
    name: &str,
    like: &HostTensor,
    change: impl Iterator<Item = f64>,
) -> Result<HostTensor, RecordError> {
    let values = match sent.matching(name, like) {
        Ok(from) => {
            let from = from.to_f32();
            from.iter()
                .zip(change)
                .map(|(&from, change)| (f64::from(from) + change) as f32)
                .collect()
        }
        Err(_) => change.map(|change| change as f32).collect(),
    };
    Ok(HostTensor::from_f32(like.shape(), values)?.cast(like.dtype()))
}

/// The factor by which an update of this norm must be multiplied to be within `clip`.
pub(crate) fn factor(norm: f64, clip: f64) -> f64 {
    if norm <= clip { 1.0 } else { clip / norm }
}

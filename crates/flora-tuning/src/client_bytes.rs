//! What a client remembers, as bytes: the optimizer's state in burn's own format, with its length before it,
//! and the client's own parameters as safetensors.

use burn::optim::ModuleOptimizer;
use burn::tensor::{Bytes, Device};
use flora_core::ParameterRecord;

use crate::{TrainingConfig, homing};

const LENGTH: usize = size_of::<u64>();

/// `None` for a client that remembers nothing.
pub(crate) fn pack(
    optimizer: Option<&ModuleOptimizer>,
    own: Option<&ParameterRecord>,
) -> Result<Option<Vec<u8>>, String> {
    if optimizer.is_none() && own.is_none() {
        return Ok(None);
    }
    let state = optimizer.map(ModuleOptimizer::into_bytes).transpose();
    let state = state.map_err(|error| format!("its optimizer has no bytes: {error}"))?;
    let state: &[u8] = state.as_deref().unwrap_or_default();
    let own = own.map(ParameterRecord::to_safetensors).unwrap_or_default();
    Ok(Some([&(state.len() as u64).to_le_bytes(), state, &own].concat()))
}

/// What [`pack`] packed; `training` is what the optimizer was made for, `device` where it computes.
pub(crate) fn unpack(
    bytes: &[u8],
    training: &TrainingConfig,
    device: &Device,
) -> Result<(Option<ModuleOptimizer>, Option<ParameterRecord>), String> {
    let cut = "its state is cut off";
    let (length, rest) = bytes.split_first_chunk::<LENGTH>().ok_or(cut)?;
    let length = usize::try_from(u64::from_le_bytes(*length)).map_err(|_| cut)?;
    let (state, own) = rest.split_at_checked(length).ok_or(cut)?;
    let optimizer = (!state.is_empty()).then(|| {
        let state = Bytes::from_bytes_vec(state.to_vec());
        homing::at(device, || training.optimizer().from_bytes(state))
    });
    let optimizer = optimizer.transpose();
    let optimizer = optimizer.map_err(|error| format!("its optimizer's state: {error}"))?;
    let own = (!own.is_empty()).then(|| ParameterRecord::from_safetensors(own));
    Ok((optimizer, own.transpose().map_err(|error| format!("its parameters: {error}"))?))
}

//! What a client remembers, as bytes: the optimizer's state in burn's own format, then records as safetensors, each with its
//! length before it.

use burn::optim::ModuleOptimizer;
use burn::tensor::{Bytes, Device};
use flora_core::ParameterRecord;

use crate::{TrainingConfig, homing};

/// The records: what it trained last, and its control variate.
type Kept = [Option<ParameterRecord>; 2];

/// `None` for a client that remembers nothing.
pub(crate) fn pack(
    optimizer: Option<&ModuleOptimizer>,
    records: [&Option<ParameterRecord>; 2],
) -> Result<Option<Vec<u8>>, String> {
    if optimizer.is_none() && records.iter().all(|record| record.is_none()) {
        return Ok(None);
    }
    let state = optimizer.map(ModuleOptimizer::into_bytes).transpose();
    let state = state.map_err(|error| format!("its optimizer has no bytes: {error}"))?;
    let mut bytes = Vec::new();
    let mut part = |part: &[u8]| {
        bytes.extend((part.len() as u64).to_le_bytes());
        bytes.extend(part);
    };
    part(state.as_deref().unwrap_or_default());
    for record in records {
        part(&record.as_ref().map(ParameterRecord::to_safetensors).unwrap_or_default());
    }
    Ok(Some(bytes))
}

/// What [`pack`] packed; `training` is what the optimizer was made for, `device` where it computes.
pub(crate) fn unpack(
    bytes: &[u8],
    training: &TrainingConfig,
    device: &Device,
) -> Result<(Option<ModuleOptimizer>, Kept), String> {
    let (state, mut rest) = part(bytes)?;
    let optimizer = (!state.is_empty()).then(|| {
        let state = Bytes::from_bytes_vec(state.to_vec());
        homing::at(device, || training.optimizer().from_bytes(state))
    });
    let optimizer = optimizer.transpose();
    let optimizer = optimizer.map_err(|error| format!("its optimizer's state: {error}"))?;
    let mut kept = Kept::default();
    for record in &mut kept {
        let (bytes, more) = part(rest)?;
        rest = more;
        let read = (!bytes.is_empty()).then(|| ParameterRecord::from_safetensors(bytes));
        *record = read.transpose().map_err(|error| format!("its parameters: {error}"))?;
    }
    match rest.is_empty() {
        true => Ok((optimizer, kept)),
        false => Err("its state goes on behind its end".to_owned()),
    }
}

/// The first part, and what follows.
fn part(bytes: &[u8]) -> Result<(&[u8], &[u8]), String> {
    let cut = || "its state is cut off, or of another version of flora".to_owned();
    let (length, rest) = bytes.split_first_chunk().ok_or_else(cut)?;
    let length = usize::try_from(u64::from_le_bytes(*length)).map_err(|_| cut())?;
    rest.split_at_checked(length).ok_or_else(cut)
}

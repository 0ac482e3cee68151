//! What a client remembers, as bytes: the optimizer's state in burn's own format, then records as safetensors, each with its
//! length before it.

use burn::optim::ModuleOptimizer;
use burn::tensor::{Bytes, Device};
use flora_core::ParameterRecord;

use crate::control::OwnControl;
use crate::{TrainingConfig, homing};

/// What a client remembers.
#[derive(Default)]
pub(crate) struct Kept {
    pub(crate) optimizer: Option<ModuleOptimizer>,
    /// What it trained last.
    pub(crate) own: Option<ParameterRecord>,
    pub(crate) control: Option<OwnControl>,
}

impl Kept {
    /// `None` for a client that remembers nothing.
    pub(crate) fn pack(&self) -> Result<Option<Vec<u8>>, String> {
        let Self { optimizer, own, control } = self;
        if optimizer.is_none() && own.is_none() && control.is_none() {
            return Ok(None);
        }
        let state = optimizer.as_ref().map(ModuleOptimizer::into_bytes).transpose();
        let state = state.map_err(|error| format!("its optimizer has no bytes: {error}"))?;
        let mut bytes = Vec::new();
        let mut part = |part: &[u8]| {
            bytes.extend((part.len() as u64).to_le_bytes());
            bytes.extend(part);
        };
        let record = |record: Option<&ParameterRecord>| {
            record.map(ParameterRecord::to_safetensors).unwrap_or_default()
        };
        part(state.as_deref().unwrap_or_default());
        part(&record(own.as_ref()));
        if let Some(OwnControl { task, before, after }) = control {
            part(&task.to_le_bytes());
            part(&record(before.as_ref()));
            part(&record(Some(after)));
        }
        Ok(Some(bytes))
    }

    /// What [`pack`](Self::pack) packed; `training` is what the optimizer was made for, `device` where it computes.
    pub(crate) fn unpack(
        bytes: &[u8],
        training: &TrainingConfig,
        device: &Device,
    ) -> Result<Self, String> {
        let mut rest = bytes;
        let state = part(&mut rest)?;
        let optimizer = (!state.is_empty()).then(|| {
            let state = Bytes::from_bytes_vec(state.to_vec());
            homing::at(device, || training.optimizer().from_bytes(state))
        });
        let optimizer = optimizer.transpose();
        let optimizer = optimizer.map_err(|error| format!("its optimizer's state: {error}"))?;
        let own = record(part(&mut rest)?)?;
        if rest.is_empty() {
            return Ok(Self { optimizer, own, control: None });
        }
        let task = part(&mut rest)?.try_into().map_err(|_| CUT)?;
        let (before, after) = (record(part(&mut rest)?)?, record(part(&mut rest)?)?);
        let (task, after) = (i64::from_le_bytes(task), after.ok_or(CUT)?);
        match rest.is_empty() {
            true => {
                let control = Some(OwnControl { task, before, after });
                Ok(Self { optimizer, own, control })
            }
            false => Err(CUT.to_owned()),
        }
    }
}

const CUT: &str = "its state is cut off, or of another version of flora";

/// Takes the first part.
fn part<'a>(bytes: &mut &'a [u8]) -> Result<&'a [u8], String> {
    let (length, rest) = bytes.split_first_chunk().ok_or(CUT)?;
    let length = usize::try_from(u64::from_le_bytes(*length)).map_err(|_| CUT)?;
    let (part, rest) = rest.split_at_checked(length).ok_or(CUT)?;
    *bytes = rest;
    Ok(part)
}

fn record(bytes: &[u8]) -> Result<Option<ParameterRecord>, String> {
    let read = (!bytes.is_empty()).then(|| ParameterRecord::from_safetensors(bytes));
    read.transpose().map_err(|error| format!("its parameters: {error}"))
}

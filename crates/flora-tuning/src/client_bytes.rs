//! A client's state as bytes: the optimizer's state in burn's own format, then records as safetensors, each preceded by
//! its length.

use burn::optim::ModuleOptimizer;
use burn::tensor::{Bytes, Device};
use flora_core::ParameterRecord;

use crate::control::OwnControl;
use crate::{TrainingConfig, homing};

/// The state of a client.
#[derive(Default)]
pub(crate) struct StateSlot {
    pub(crate) optimizer: Option<ModuleOptimizer>,
    /// The last trained parameters.
    pub(crate) own: Option<ParameterRecord>,
    pub(crate) control: Option<OwnControl>,
    /// Number of steps whose noise is accounted for.
    pub(crate) spent: u64,
}

impl StateSlot {
    /// `None` for a client without state.
    pub(crate) fn pack(&self) -> Result<Option<Vec<u8>>, String> {
        let Self { optimizer, own, control, spent } = self;
        if optimizer.is_none() && own.is_none() && control.is_none() && *spent == 0 {
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
        if *spent > 0 {
            part(&spent.to_le_bytes());
        }
        Ok(Some(bytes))
    }

    /// Reads the bytes of [`pack`](Self::pack); `training` is the optimizer's configuration, `device` its device.
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
        let mut more = Vec::new();
        while !rest.is_empty() {
            more.push(part(&mut rest)?);
        }
        // The number of parts tells which.
        let (control, spent) = match more[..] {
            [] => (None, None),
            [spent] => (None, Some(spent)),
            [task, before, after] => (Some([task, before, after]), None),
            [task, before, after, spent] => (Some([task, before, after]), Some(spent)),
            _ => return Err(CUT.to_owned()),
        };
        let number = |bytes: &[u8]| bytes.try_into().map(u64::from_le_bytes).map_err(|_| CUT);
        let spent = spent.map(number).transpose()?.unwrap_or(0);
        let control = match control {
            None => None,
            Some([task, before, after]) => {
                let (before, after) = (record(before)?, record(after)?.ok_or(CUT)?);
                Some(OwnControl { task: number(task)?.cast_signed(), before, after })
            }
        };
        Ok(Self { optimizer, own, control, spent })
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

//! What clients keep from one round to the next while others train.

use std::borrow::Cow;
use std::path::Path;

use burn::optim::ModuleOptimizer;
use burn::tensor::Bytes;
use flora_core::ParameterRecord;

use crate::state_file::{Span, StateFile};
use crate::{TrainingConfig, TuningError};

/// Something that a client keeps.
#[derive(Debug, Default)]
pub(crate) enum Kept<T> {
    #[default]
    Nothing,
    Here(T),
    /// In the file of [`States`].
    There(Span),
}

/// Where clients keep things: with themselves, or all in one file.
#[derive(Debug, Default)]
pub(crate) struct States {
    file: Option<StateFile>,
}

/// What can be written and read back with the same bits.
pub(crate) trait Keep: Clone {
    fn pack(&self) -> Result<Bytes, TuningError>;

    /// `training` is what it was made for.
    fn unpack(bytes: Vec<u8>, training: &TrainingConfig) -> Result<Self, TuningError>;
}

impl States {
    /// In a file; see [`StateFile::create`].
    pub(crate) fn on_disk(folder: Option<&Path>) -> Result<Self, TuningError> {
        let file = StateFile::create(folder).map_err(TuningError::ClientState)?;
        Ok(Self { file: Some(file) })
    }

    /// Keep `value` in `slot`, in the place of what was there.
    pub(crate) fn keep<T: Keep>(&self, slot: &mut Kept<T>, value: T) -> Result<(), TuningError> {
        let Some(file) = &self.file else {
            *slot = Kept::Here(value);
            return Ok(());
        };
        // A write that fails half-way leaves nothing that counts.
        let earlier = match std::mem::take(slot) {
            Kept::There(span) => Some(span),
            _ => None,
        };
        let span = file.write(earlier, &value.pack()?).map_err(TuningError::ClientState)?;
        *slot = Kept::There(span);
        Ok(())
    }

    /// What is in `slot`, if anything. It is no longer there afterwards, or no longer counts: keep another,
    /// or [forget](Kept::forget) it.
    pub(crate) fn take<T: Keep>(
        &self,
        slot: &mut Kept<T>,
        training: &TrainingConfig,
    ) -> Result<Option<T>, TuningError> {
        match slot {
            // The room in the file stays, for what comes after it.
            Kept::There(span) => self.read(*span, training).map(Some),
            _ => match std::mem::take(slot) {
                Kept::Here(value) => Ok(Some(value)),
                _ => Ok(None),
            },
        }
    }

    /// What is in `slot`, if anything, and stays there.
    pub(crate) fn look<'a, T: Keep>(
        &self,
        slot: &'a Kept<T>,
        training: &TrainingConfig,
    ) -> Result<Option<Cow<'a, T>>, TuningError> {
        match slot {
            Kept::Nothing => Ok(None),
            Kept::Here(value) => Ok(Some(Cow::Borrowed(value))),
            Kept::There(span) => self.read(*span, training).map(|value| Some(Cow::Owned(value))),
        }
    }

    fn read<T: Keep>(&self, span: Span, training: &TrainingConfig) -> Result<T, TuningError> {
        let file = self.file.as_ref().expect("spans come from this file");
        T::unpack(file.read(span).map_err(TuningError::ClientState)?, training)
    }
}

impl<T> Kept<T> {
    pub(crate) fn is_nothing(&self) -> bool {
        matches!(self, Self::Nothing)
    }

    pub(crate) fn forget(&mut self) {
        *self = Self::Nothing;
    }
}

/// By parameter, whose identity all clients of a run share: see [`Cohort`](crate::Cohort).
impl Keep for ModuleOptimizer {
    fn pack(&self) -> Result<Bytes, TuningError> {
        self.into_bytes().map_err(unreadable)
    }

    fn unpack(bytes: Vec<u8>, training: &TrainingConfig) -> Result<Self, TuningError> {
        training.optimizer().from_bytes(Bytes::from_bytes_vec(bytes)).map_err(unreadable)
    }
}

impl Keep for ParameterRecord {
    fn pack(&self) -> Result<Bytes, TuningError> {
        Ok(Bytes::from_bytes_vec(self.to_safetensors()))
    }

    fn unpack(bytes: Vec<u8>, _training: &TrainingConfig) -> Result<Self, TuningError> {
        Ok(Self::from_safetensors(&bytes)?)
    }
}

fn unreadable(error: impl std::fmt::Display) -> TuningError {
    TuningError::ClientState(std::io::Error::other(error.to_string()))
}

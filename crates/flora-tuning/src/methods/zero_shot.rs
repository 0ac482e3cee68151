use super::{Method, MethodName, Start};
use crate::{Trainable, TuningError, TuningModel};

/// The unchanged model: nothing is trained or sent.
#[derive(Debug, Clone, Copy)]
pub struct ZeroShot;

impl Method for ZeroShot {
    fn name(&self) -> &str {
        MethodName::ZeroShot.as_str()
    }

    fn trainable(&self) -> Trainable {
        Trainable::Parts(&[])
    }

    fn attach(&self, base: TuningModel, _start: &Start<'_>) -> Result<TuningModel, TuningError> {
        Ok(base)
    }
}

use burn::module::Module;
use burn::tensor::Device;
use flora_core::{ParameterRecord, RecordError};
use flora_lora::named::{self, Entry, Place};
use flora_lora::{adapter_entry, adapter_record, load_adapter_record, num_adapter_parameters};

/// The trained, sent and aggregated parameters of a model.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Trainable {
    /// Its adapters, under PEFT's names.
    Adapters,
    /// Every weight, under the modules' names, such as `text_model.encoder.layers.0.mlp.fc1.weight` (a linear layer's
    /// matrix is `[input, output]`, burn's layout).
    Everything,
    /// The parameters whose names start with one of these prefixes, under the same names.
    Parts(&'static [&'static str]),
}

impl Trainable {
    /// The trained parameters of `module`.
    ///
    /// # Errors
    ///
    /// Two parameters of one name.
    pub fn record<M: Module>(self, module: &M) -> Result<ParameterRecord, RecordError> {
        match self {
            Self::Adapters => adapter_record(module),
            Self::Everything | Self::Parts(_) => named::collect(module, |place| self.entry(place)),
        }
    }

    /// The record's entry for the parameter at this place, if it is trained.
    pub(crate) fn entry(self, place: Place<'_>) -> Option<Entry> {
        let trained = match self {
            Self::Adapters => return adapter_entry(place),
            Self::Everything => true,
            Self::Parts(parts) => parts.iter().any(|part| place.name.starts_with(part)),
        };
        trained.then(|| Entry::plain(place.name))
    }

    /// `module` on `device` with gradients for these parameters only, on separate leaves. [`flora_lora::attach`] does
    /// the same for adapters.
    pub fn release<M: Module>(self, module: M, device: &Device) -> M {
        named::map(module.no_grad(), |place, parameter| {
            if self.entry(place).is_some() {
                parameter.release(device);
            }
        })
    }

    /// Loads the values of `record` into `module`. Parameter ids stay, so that an optimizer keeps its state.
    ///
    /// # Errors
    ///
    /// Names or shapes that are not exactly those of [`Trainable::record`] for this module, and values that are not
    /// finite.
    pub fn load<M: Module>(self, module: M, record: &ParameterRecord) -> Result<M, RecordError> {
        match self {
            Self::Adapters => load_adapter_record(module, record),
            Self::Everything | Self::Parts(_) => {
                named::assign(module, |place| self.entry(place), record)
            }
        }
    }

    /// Number of trained parameters.
    pub fn count<M: Module>(self, module: &M) -> usize {
        match self {
            Self::Adapters => num_adapter_parameters(module),
            Self::Everything | Self::Parts(_) => named::count(module, |place| self.entry(place)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::TuningModel;
    use burn::tensor::Device;
    use flora_clip::{Clip, ClipConfig};

    #[test]
    fn everything_travels_and_arrives() {
        let device = Device::flex();
        let model =
            |seed| TuningModel::new(Clip::random(&ClipConfig::clip_nano(), seed, &device), true);
        let (one, other) = (model(1), model(2));
        let record = Trainable::Everything.record(&one).unwrap();
        assert_eq!(record.num_parameters(), Trainable::Everything.count(&one));
        assert!(record.get("vision_model.encoder.layers.5.mlp.fc2.weight").is_some());
        assert_ne!(Trainable::Everything.record(&other).unwrap(), record);
        let other = Trainable::Everything.load(other, &record).unwrap();
        assert_eq!(Trainable::Everything.record(&other).unwrap(), record);
        let text_only = TuningModel::new(Clip::random(&ClipConfig::clip_nano(), 1, &device), false);
        assert!(Trainable::Everything.load(text_only, &record).is_err());
    }
}

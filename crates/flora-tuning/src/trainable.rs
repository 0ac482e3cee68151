use burn::module::{Module, ModuleMapper, ModuleVisitor, Param};
use burn::tensor::{Device, Tensor, TensorData};
use flora_core::{HostTensor, ParameterRecord, RecordError};
use flora_lora::{adapter_record, load_adapter_record, num_adapter_parameters};

/// What of a model is trained, sent and averaged.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Trainable {
    /// Its adapters, under PEFT's names.
    Adapters,
    /// Every weight, under the names that the modules give them, such as
    /// `text_model.encoder.layers.0.mlp.fc1.weight` (a linear layer's matrix is `[input, output]`, burn's
    /// layout).
    Everything,
    /// The parameters whose names start so, under the same names.
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
            Self::Everything | Self::Parts(_) => {
                let record = Ok(ParameterRecord::new());
                let mut taker = Taker { trainable: self, path: Vec::new(), record };
                module.visit(&mut taker);
                taker.record
            }
        }
    }

    /// Whether the parameter of this name is trained. Of adapters, whose names are PEFT's in a record and
    /// others in a module, it cannot be told.
    fn covers(self, name: &str) -> bool {
        match self {
            Self::Adapters => false,
            Self::Everything => true,
            Self::Parts(parts) => parts.iter().any(|part| name.starts_with(part)),
        }
    }

    /// `module` on `device` with gradients for these parameters, on leaves of their own, and for no others.
    /// [`flora_lora::attach`] does the same for adapters.
    pub fn release<M: Module>(self, module: M, device: &Device) -> M {
        module.no_grad().map(&mut Releaser { trainable: self, path: Vec::new(), device })
    }

    /// Put the values of `record` into `module`. Parameter identities stay, so that an optimizer
    /// keeps its state.
    ///
    /// # Errors
    ///
    /// Names or shapes that are not exactly those of [`Trainable::record`] for this module, and values
    /// that are not finite.
    pub fn load<M: Module>(self, module: M, record: &ParameterRecord) -> Result<M, RecordError> {
        match self {
            Self::Adapters => load_adapter_record(module, record),
            Self::Everything | Self::Parts(_) => {
                record.check_matches(&self.record(&module)?)?;
                record.check_finite()?;
                Ok(module.map(&mut Putter { path: Vec::new(), record }))
            }
        }
    }

    /// How many numbers are trained.
    pub fn count<M: Module>(self, module: &M) -> usize {
        match self {
            Self::Adapters => num_adapter_parameters(module),
            Self::Everything | Self::Parts(_) => {
                let mut counter = Counter { trainable: self, path: Vec::new(), count: 0 };
                module.visit(&mut counter);
                counter.count
            }
        }
    }
}

/// Counts without initialising what is lazy.
struct Counter {
    trainable: Trainable,
    path: Vec<String>,
    count: usize,
}

impl ModuleVisitor for Counter {
    fn enter_module(&mut self, name: &str, _container: &str) {
        self.path.push(name.to_owned());
    }

    fn exit_module(&mut self, _name: &str, _container: &str) {
        self.path.pop();
    }

    fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
        if self.trainable.covers(&self.path.join(".")) {
            self.count += param.lazy_shape().num_elements();
        }
    }
}

struct Releaser<'a> {
    trainable: Trainable,
    path: Vec<String>,
    device: &'a Device,
}

impl ModuleMapper for Releaser<'_> {
    fn enter_module(&mut self, name: &str, _container: &str) {
        self.path.push(name.to_owned());
    }

    fn exit_module(&mut self, _name: &str, _container: &str) {
        self.path.pop();
    }

    fn map_float<const D: usize>(&mut self, param: Param<Tensor<D>>) -> Param<Tensor<D>> {
        match self.trainable.covers(&self.path.join(".")) {
            true => param.fork(self.device).set_require_grad(true),
            false => param,
        }
    }
}

struct Taker {
    trainable: Trainable,
    path: Vec<String>,
    record: Result<ParameterRecord, RecordError>,
}

impl ModuleVisitor for Taker {
    fn enter_module(&mut self, name: &str, _container: &str) {
        self.path.push(name.to_owned());
    }

    fn exit_module(&mut self, _name: &str, _container: &str) {
        self.path.pop();
    }

    fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
        let name = self.path.join(".");
        let Ok(record) = &mut self.record else { return };
        if !self.trainable.covers(&name) {
            return;
        }
        let data = param.val().detach().into_data().convert::<f32>();
        let shape = data.shape().to_vec();
        let values = data.try_into_vec::<f32>().expect("just converted");
        let inserted =
            HostTensor::from_f32(shape, values).and_then(|tensor| record.insert(name, tensor));
        if let Err(error) = inserted {
            self.record = Err(error);
        }
    }
}

struct Putter<'a> {
    path: Vec<String>,
    record: &'a ParameterRecord,
}

impl ModuleMapper for Putter<'_> {
    fn enter_module(&mut self, name: &str, _container: &str) {
        self.path.push(name.to_owned());
    }

    fn exit_module(&mut self, _name: &str, _container: &str) {
        self.path.pop();
    }

    fn map_float<const D: usize>(&mut self, param: Param<Tensor<D>>) -> Param<Tensor<D>> {
        let Some(tensor) = self.record.get(&self.path.join(".")) else { return param };
        param.map(|old| {
            let data = TensorData::new(tensor.to_f32().into_owned(), tensor.shape().to_vec());
            Tensor::from_data(data, &old.device()).set_require_grad(old.is_require_grad())
        })
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

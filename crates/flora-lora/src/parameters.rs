//! The adapters alone, as named tensors in PEFT's names and layout.

use burn::module::{Module, ModuleMapper, ModuleVisitor, Param};
use burn::tensor::{Tensor, TensorData};
use flora_core::{HostTensor, ParameterRecord, RecordError};

/// The adapters of `module` as a record.
///
/// Names are those of PEFT without its `base_model.model.` prefix, such as
/// `text_model.encoder.layers.0.self_attn.out_proj.lora_A.weight` of shape `[r, d_input]` and
/// `….lora_B.weight` of shape `[d_output, r]` (the transposes of what [`LoraAdapter`] holds).
///
/// [`LoraAdapter`]: crate::LoraAdapter
///
/// # Errors
///
/// Two layers of one name: the module lists its layers wrongly.
pub fn adapter_record<M: Module>(module: &M) -> Result<ParameterRecord, RecordError> {
    let mut taker = Taker { path: Path::default(), record: Ok(ParameterRecord::new()) };
    module.visit(&mut taker);
    taker.record
}

/// Put the values of `record` into the adapters of `module`. Parameter identities stay, so that an
/// optimizer keeps its state.
///
/// # Errors
///
/// Names or shapes that are not exactly those of [`adapter_record`] for this module, and values
/// that are not finite.
pub fn load_adapter_record<M: Module>(
    module: M,
    record: &ParameterRecord,
) -> Result<M, RecordError> {
    record.check_matches(&adapter_record(&module)?)?;
    record.check_finite()?;
    Ok(module.map(&mut Putter { path: Path::default(), record }))
}

/// How many numbers the adapters of `module` hold.
pub fn num_adapter_parameters<M: Module>(module: &M) -> usize {
    struct Counter(Path, usize);
    impl ModuleVisitor for Counter {
        fn enter_module(&mut self, name: &str, _container: &str) {
            self.0.enter(name);
        }
        fn exit_module(&mut self, _name: &str, _container: &str) {
            self.0.exit();
        }
        fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
            if self.0.adapter_name().is_some() {
                self.1 += param.lazy_shape().num_elements();
            }
        }
    }
    let mut counter = Counter(Path::default(), 0);
    module.visit(&mut counter);
    counter.1
}

/// Where a visitor stands in the module tree.
#[derive(Default)]
struct Path(Vec<String>);

impl Path {
    fn enter(&mut self, name: &str) {
        self.0.push(name.to_owned());
    }

    fn exit(&mut self) {
        self.0.pop();
    }

    /// PEFT's name of the parameter here, if it belongs to an adapter.
    fn adapter_name(&self) -> Option<String> {
        let (matrix, layer) = self.0.split_last()?;
        let matrix = match matrix.as_str() {
            "lora_a" => "lora_A",
            "lora_b" => "lora_B",
            _ => return None,
        };
        let (_lora_field, layer) = layer.split_last()?;
        Some(format!("{}.{matrix}.weight", layer.join(".")))
    }
}

struct Taker {
    path: Path,
    record: Result<ParameterRecord, RecordError>,
}

impl ModuleVisitor for Taker {
    fn enter_module(&mut self, name: &str, _container: &str) {
        self.path.enter(name);
    }

    fn exit_module(&mut self, _name: &str, _container: &str) {
        self.path.exit();
    }

    fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
        let (Some(name), Ok(record)) = (self.path.adapter_name(), &mut self.record) else {
            return;
        };
        // `inner` of an autodiff tensor: reading must not touch the training graph.
        let tensor = param.val().detach().swap_dims(0, 1);
        let shape = tensor.dims().to_vec();
        let values =
            tensor.into_data().convert::<f32>().try_into_vec::<f32>().expect("just converted");
        let inserted =
            HostTensor::from_f32(shape, values).and_then(|tensor| record.insert(name, tensor));
        if let Err(error) = inserted {
            self.record = Err(error);
        }
    }
}

struct Putter<'a> {
    path: Path,
    record: &'a ParameterRecord,
}

impl ModuleMapper for Putter<'_> {
    fn enter_module(&mut self, name: &str, _container: &str) {
        self.path.enter(name);
    }

    fn exit_module(&mut self, _name: &str, _container: &str) {
        self.path.exit();
    }

    fn map_float<const D: usize>(&mut self, param: Param<Tensor<D>>) -> Param<Tensor<D>> {
        let Some(tensor) = self.path.adapter_name().and_then(|name| self.record.get(&name)) else {
            return param;
        };
        param.map(|old| {
            let device = old.device();
            let data = TensorData::new(tensor.to_f32().into_owned(), tensor.shape().to_vec());
            let new = Tensor::<D>::from_data(data, &device).swap_dims(0, 1);
            // A view would make every product with it strided: store the layout that is used.
            let new = Tensor::from_data(new.into_data(), &device);
            new.set_require_grad(old.is_require_grad())
        })
    }
}

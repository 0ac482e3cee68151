use std::path::Path;

use burn::module::{Module, ModuleVisitor, Param};
use burn::tensor::Tensor;
use flora_core::{Dtype, HostTensor, ParameterRecord, RecordError};

use super::Checkpoint;
use super::load::transpose;
use super::names::Names;
use crate::{Clip, ClipConfig, ClipError, ClipTokenizer, Preprocessor};

impl Checkpoint {
    /// Write a model as a folder that [`Checkpoint::open`] and `transformers.CLIPModel` read:
    /// `config.json`, `model.safetensors` with values of type `dtype`, `vocab.json`, `merges.txt`
    /// and `preprocessor_config.json`. Adapters are left out: merge them first if they belong in.
    ///
    /// # Errors
    ///
    /// What the file system reports, with the file's name, and a weight that is not finite or that
    /// `dtype` cannot hold, by name.
    pub fn save(
        folder: &Path,
        model: &Clip,
        config: &ClipConfig,
        tokenizer: &ClipTokenizer,
        preprocessor: &Preprocessor,
        dtype: Dtype,
    ) -> Result<(), ClipError> {
        std::fs::create_dir_all(folder)
            .map_err(|error| ClipError::file(folder, format!("cannot be made: {error}")))?;
        let weights = folder.join("model.safetensors");
        let failed = |error: RecordError| ClipError::file(&weights, error.to_string());
        let mut saver =
            Saver { names: Names::default(), record: Ok(ParameterRecord::new()), dtype };
        model.visit(&mut saver);
        // transformers refuses weights that do not say which framework's layout they have.
        let metadata = [("format".to_owned(), "pt".to_owned())].into();
        let record = saver.record.map_err(failed)?;
        // `load` refuses such weights: better no file than one that cannot be read.
        record.check_finite().map_err(failed)?;
        record.save_with(&weights, &metadata).map_err(failed)?;

        let mut document = serde_json::to_value(config).expect("plain data");
        document["architectures"] = serde_json::json!(["CLIPModel"]);
        let path = folder.join("config.json");
        let text = serde_json::to_string_pretty(&document).expect("plain JSON") + "\n";
        flora_core::files::write_atomic(&path, text.as_bytes())
            .map_err(|error| ClipError::file(&path, format!("cannot be written: {error}")))?;
        tokenizer.save(folder)?;
        preprocessor.save(folder)
    }
}

struct Saver {
    names: Names,
    record: Result<ParameterRecord, RecordError>,
    dtype: Dtype,
}

impl ModuleVisitor for Saver {
    fn enter_module(&mut self, name: &str, container: &str) {
        self.names.enter(name, container);
    }

    fn exit_module(&mut self, _name: &str, _container: &str) {
        self.names.exit();
    }

    fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
        let (Some(name), Ok(record)) = (self.names.in_file(), &mut self.record) else { return };
        let data = param.val().detach().into_data().convert::<f32>();
        let mut shape = data.shape().to_vec();
        let mut values = data.try_into_vec::<f32>().expect("just converted");
        if self.names.is_transposed() {
            values = transpose(&values, shape[0], shape[1]);
            shape.reverse();
        }
        if name == "logit_scale" {
            shape.clear();
        }
        let inserted = HostTensor::from_f32(shape, values)
            .and_then(|tensor| record.insert(name, tensor.cast(self.dtype)));
        if let Err(error) = inserted {
            self.record = Err(error);
        }
    }
}

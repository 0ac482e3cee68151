use std::collections::BTreeMap;
use std::path::Path;

use flora_core::{HostTensor, ParameterRecord};

use super::TrainedModel;
use crate::TuningError;

/// The file of a classifier beside the prompts.
const HEAD: &str = "classifier.safetensors";

impl TrainedModel {
    /// Writes the classifier beside the prompts into `folder`, for other tools, and returns the name of its file;
    /// `None` if there is none.
    ///
    /// The logits of an image are `x weight^T + bias`, with `weight` of shape `[classes, dim]`, and are added to those
    /// of the prompts. The metadata describe `x` and list the class names.
    ///
    /// # Errors
    ///
    /// Errors of the file system.
    pub fn save_head(&self, folder: &Path) -> Result<Option<&'static str>, TuningError> {
        let classifier = self.classifier(&self.provenance.classes)?;
        let Some(head) = classifier.model().head().filter(|_| !self.method().has_head()) else {
            return Ok(None);
        };
        let values = |values: burn::tensor::TensorData| -> Vec<f32> {
            values.convert::<f32>().try_into_vec().expect("just converted")
        };
        let weight = head.weight.val().transpose();
        let shape = weight.dims();
        let mut record = ParameterRecord::new();
        record.insert("weight", HostTensor::from_f32(shape, values(weight.into_data()))?)?;
        let bias = values(head.bias.val().into_data());
        record.insert("bias", HostTensor::from_f32([bias.len()], bias)?)?;
        let features = match &self.model.readout {
            Some(readout) => readout.to_string(),
            None => "the image feature, divided by its length".to_owned(),
        };
        let classes = serde_json::to_string(&self.provenance.classes).expect("texts");
        let facts = [
            ("classes", classes),
            ("features", features),
            ("template", self.provenance.template.clone()),
            ("base_sha256", self.provenance.base_sha256.clone()),
        ];
        let facts: BTreeMap<String, String> =
            facts.map(|(key, value)| (key.to_owned(), value)).into();
        record.save_with(folder.join(HEAD), &facts)?;
        Ok(Some(HEAD))
    }
}

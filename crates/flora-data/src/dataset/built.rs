//! The result of reading a description and the files that it names.

use flora_core::images::PassedOver;

use super::description::Description;
use super::{Sample, Source, Split};
use crate::Error;

/// The result of reading a layout.
#[derive(Debug)]
pub(super) struct Built {
    pub(super) classes: Vec<String>,
    pub(super) domains: Vec<String>,
    pub(super) samples: Vec<Sample>,
    pub(super) source: Source,
    /// Skipped files beside the images.
    pub(super) passed_over: PassedOver,
}

impl Built {
    /// Checks that every class and every split has an image.
    pub(super) fn check(&self, description: &Description) -> Result<(), Error> {
        let mut found = vec![false; self.classes.len()];
        for sample in &self.samples {
            found[sample.label()] = true;
        }
        if let Some(label) = found.iter().position(|found| !found) {
            return Err(description.class_count(
                format!(
                    "there are {} classes, but no image is of class {label} ({:?})",
                    found.len(),
                    self.classes[label]
                ),
                "add its images, or remove the class",
            ));
        }
        let split = |split| self.samples.iter().any(|sample| sample.official == Some(split));
        let (train, test) = (split(Split::Train), split(Split::Test));
        if self.samples.is_empty() || train != test {
            let lacking = if train { "for testing" } else { "for training" };
            let problem = format!("no image is {lacking}");
            return Err(description.field("layout", problem, "check its split settings"));
        }
        Ok(())
    }
}

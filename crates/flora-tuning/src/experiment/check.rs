//! Checks of an experiment's values.

use std::path::{Component, Path};

use flora_core::text::is_control;
use flora_data::PartitionConfig;

use super::{Experiment, LossKind};
use crate::{MethodName, methods};

/// Limit on views, which take time and space before the first round.
const MOST_VIEWS: usize = 100;

/// Limit on threads; a larger number is a mistake.
const MOST_THREADS: usize = 1024;

impl Experiment {
    /// Checks the values; an error names the field.
    pub(crate) fn check(&self) -> Result<(), String> {
        if !is_plain_name(&self.name) {
            return Err(format!(
                "name: {:?} is not a plain name; the run's folder is called after it, so choose one without slashes \
                 and control characters",
                self.name
            ));
        }
        if self.federation.threads > MOST_THREADS {
            let threads = self.federation.threads;
            return Err(format!("federation.threads: {threads} is more than {MOST_THREADS}"));
        }
        self.check_paths()?;
        self.check_views()?;
        self.training.check()?;
        methods::check(self)?;
        if self.training.patience.is_some() && self.data.validation.is_zero() {
            return Err("training.patience: early stopping needs validation images, otherwise the \
                        test images would decide when to stop; set data.validation, for example to 0.2"
                .into());
        }
        let contrasts = self.method.loss() == LossKind::Infonce && self.rounds() > 0;
        if contrasts && self.training.batch_size < 2 {
            return Err("training.batch_size: 1 leaves the infonce loss nothing to contrast; \
                        choose 2 or more, or method.loss = \"class-ce\""
                .into());
        }
        let fraction = self.federation.fraction;
        if !(fraction > 0.0 && fraction <= 1.0) {
            return Err(format!("federation.fraction: {fraction} is not in (0, 1]"));
        }
        let selection = self.federation.selection.check(self.federation.selector());
        selection.map_err(|error| error.to_string())?;
        self.federation.policy().check().map_err(|error| error.to_string())?;
        self.faults.check().map_err(|error| error.to_string())?;
        self.output.check()?;
        self.method.lora.check().map_err(|error| format!("method.{error}"))
    }

    /// Checks the views, which need epochs of training, and take space.
    fn check_views(&self) -> Result<(), String> {
        let views = self.data.views;
        if views > MOST_VIEWS {
            return Err(format!(
                "data.views: {views}; choose at most {MOST_VIEWS}, each of which takes the time and space of all \
                 training \
                 images"
            ));
        }
        let name = self.method.name;
        if views > 0 && (name.is_closed_form() || name == MethodName::ZeroShot) {
            return Err(format!(
                "data.views: {} has no epochs that could see one view after the other; leave it out",
                name.as_str()
            ));
        }
        Ok(())
    }

    /// Rejects empty paths: the system would use the current folder, which is never intended.
    fn check_paths(&self) -> Result<(), String> {
        let data = &self.data;
        let paths = [
            ("model.path", Some(Path::new(&self.model.path))),
            ("data.path", Some(&data.path)),
            ("data.root", data.root.as_deref()),
            ("data.cache", data.cache.as_deref()),
            ("partition.path", saved_partition(&self.partition)),
            ("method.init_adapter", self.method.init_adapter.as_deref()),
            ("method.closed_form.start", self.method.closed_form.start.as_deref()),
            ("method.head", self.method.head.as_deref()),
        ];
        for (field, path) in paths {
            if path.is_some_and(|path| path.as_os_str().is_empty()) {
                let problem = match field {
                    "model.path" | "data.path" | "partition.path" => "name a file or a folder",
                    _ => "name a folder, or leave it out",
                };
                return Err(format!("{field}: is empty; {problem}"));
            }
            // They are written in TOML, for resuming the run.
            if let Some(path) = path.filter(|path| path.to_str().is_none()) {
                let path = flora_core::text::path(path);
                return Err(format!(
                    "{field}: {path} is not UTF-8, and cannot be written into experiment.toml; rename it"
                ));
            }
        }
        Ok(())
    }
}

/// The file of a saved partition.
pub(crate) fn saved_partition(partition: &PartitionConfig) -> Option<&Path> {
    match partition {
        PartitionConfig::File { path } => Some(path),
        PartitionConfig::FewShot { of, .. } | PartitionConfig::BaseToNovel { of } => {
            saved_partition(of)
        }
        _ => None,
    }
}

/// Whether the name is a valid folder name: no path, no parent, and visible.
pub(crate) fn is_plain_name(name: &str) -> bool {
    let parts = Path::new(name).components().collect::<Vec<_>>();
    let is_visible = !name.trim().is_empty() && !name.contains(is_control);
    matches!(parts[..], [Component::Normal(_)]) && !name.contains(['/', '\\']) && is_visible
}

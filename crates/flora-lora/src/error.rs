use flora_core::RecordError;

use crate::TargetModules;

/// Errors of adapters.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum LoraError {
    /// A field of [`LoraConfig`](crate::LoraConfig) has an invalid value.
    #[error("lora.{field}: {problem}")]
    Config {
        /// The field's name.
        field: &'static str,
        /// The problem and the remedy.
        problem: String,
    },
    /// No layer of the module matches the configuration.
    #[error(
        "lora.target_modules: no layer matches {targets}{} in the {towers} tower(s); \
         the adaptable layers are named like {example:?}",
        excluded.as_ref().map(|excluded| format!(" without {excluded}")).unwrap_or_default()
    )]
    NoTarget {
        /// The requested layers.
        targets: TargetModules,
        /// The excluded layers.
        excluded: Option<TargetModules>,
        /// The towers that were searched.
        towers: String,
        /// The name of a layer that could have matched.
        example: String,
    },
    /// The rank exceeds the limit of a layer.
    #[error(
        "lora.r: rank {rank} exceeds the smaller side of {layer} ({limit}); choose r <= {limit}"
    )]
    Rank {
        /// The layer's name.
        layer: String,
        /// The requested rank.
        rank: usize,
        /// The largest possible rank of the layer.
        limit: usize,
    },
    /// A record does not fit the module's adapters.
    #[error(transparent)]
    Record(#[from] RecordError),
    /// A layer and an adapter do not match.
    #[error("layer `{layer}`: {problem}")]
    Layer {
        /// The layer's name.
        layer: String,
        /// The problem and the remedy.
        problem: String,
    },
    /// A tensor that does not belong to a LoRA adapter.
    #[error("tensor `{name}`: {problem}")]
    Tensor {
        /// The tensor's name.
        name: String,
        /// The problem.
        problem: String,
    },
    /// An adapter's file cannot be used.
    #[error("{path}: {problem}")]
    AdapterFile {
        /// The file, or the folder.
        path: String,
        /// The problem and the remedy.
        problem: String,
    },
    /// A field of `adapter_config.json` is invalid or unsupported.
    #[error("{path}: {field}: {problem}")]
    AdapterConfig {
        /// The file.
        path: String,
        /// The field's name, as PEFT writes it.
        field: String,
        /// The problem and the remedy.
        problem: String,
    },
    /// A file could not be read or written.
    #[error("{path}: {source}")]
    Io {
        /// The file.
        path: String,
        /// The operating system's error.
        source: std::io::Error,
    },
}

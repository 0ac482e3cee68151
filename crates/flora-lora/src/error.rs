use flora_core::RecordError;

use crate::TargetModules;

/// What can go wrong with adapters.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum LoraError {
    /// A field of [`LoraConfig`](crate::LoraConfig) has a value that makes no sense.
    #[error("lora.{field}: {problem}")]
    Config {
        /// The field's name.
        field: &'static str,
        /// What is wrong with it and what would be right.
        problem: String,
    },
    /// No layer of the module matches the configuration.
    #[error(
        "lora.target_modules: nothing matches {targets}{} in the {towers} tower(s); \
         the adaptable layers are named like {example:?}",
        excluded.as_ref().map(|excluded| format!(" without {excluded}")).unwrap_or_default()
    )]
    NoTarget {
        /// What was asked for.
        targets: TargetModules,
        /// What was to be left out of that.
        excluded: Option<TargetModules>,
        /// Where it was looked for.
        towers: String,
        /// The name of a layer that could have matched.
        example: String,
    },
    /// The rank exceeds what a layer can hold.
    #[error(
        "lora.r: rank {rank} exceeds the smaller side of {layer} ({limit}); choose r <= {limit}"
    )]
    Rank {
        /// The layer's name.
        layer: String,
        /// The rank asked for.
        rank: usize,
        /// The largest rank possible there.
        limit: usize,
    },
    /// A record does not fit the module's adapters.
    #[error(transparent)]
    Record(#[from] RecordError),
    /// A layer and an adapter do not go together.
    #[error("layer `{layer}`: {problem}")]
    Layer {
        /// The layer's name.
        layer: String,
        /// What is wrong and what would be right.
        problem: String,
    },
    /// A tensor has no place in a LoRA adapter.
    #[error("tensor `{name}`: {problem}")]
    Tensor {
        /// The tensor's name.
        name: String,
        /// What is wrong with it.
        problem: String,
    },
    /// An adapter's file cannot be used.
    #[error("{path}: {problem}")]
    AdapterFile {
        /// The file, or the folder.
        path: String,
        /// What is wrong with it and what to do.
        problem: String,
    },
    /// A field of `adapter_config.json` has no meaning here, or one that flora lacks.
    #[error("{path}: {field}: {problem}")]
    AdapterConfig {
        /// The file.
        path: String,
        /// The field's name, as PEFT writes it.
        field: String,
        /// What is wrong with it and what to do.
        problem: String,
    },
    /// A file could not be read or written.
    #[error("{path}: {source}")]
    Io {
        /// The file.
        path: String,
        /// What the operating system said.
        source: std::io::Error,
    },
}

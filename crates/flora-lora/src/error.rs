use flora_core::RecordError;

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
        "lora.target_modules: nothing matches {targets:?} in the {towers} tower(s); \
         the adaptable layers are named like {example:?}"
    )]
    NoTarget {
        /// What was asked for.
        targets: Vec<String>,
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
    /// A file could not be written.
    #[error("{path}: {source}")]
    Io {
        /// The file.
        path: String,
        /// What the operating system said.
        source: std::io::Error,
    },
}

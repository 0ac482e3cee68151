/// A device name that cannot be used.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[non_exhaustive]
pub enum DeviceError {
    /// The backend exists but this program was built without it.
    #[error(
        "--device {name}: this program was built without it; build it again with \
         `cargo build --release --features {feature}`, or choose one of: {available}"
    )]
    NotCompiled {
        /// The requested name.
        name: String,
        /// The Cargo feature that enables it.
        feature: &'static str,
        /// The devices that were compiled in.
        available: String,
    },
    /// The backend does not exist.
    #[error("--device {name}: no such device; choose one of: {available}{hint}")]
    Unknown {
        /// The requested name.
        name: String,
        /// The devices that were compiled in.
        available: String,
        /// A suggestion of a similar name.
        hint: String,
    },
    /// The text after the colon is not the number of an adapter.
    #[error("--device {name}: {problem}")]
    Index {
        /// The requested name.
        name: String,
        /// The problem and the remedy.
        problem: String,
    },
    /// The adapter does not exist, or burn cannot address it.
    #[error("--device {name}: looked for {looked_for}, and found {found}\n{remedy}")]
    NoAdapter {
        /// The requested name.
        name: String,
        /// A description of the requested adapter.
        looked_for: String,
        /// A description of the available adapters.
        found: String,
        /// The remedy.
        remedy: String,
    },
}

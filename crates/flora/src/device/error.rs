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
        /// The Cargo feature that has it.
        feature: &'static str,
        /// The devices that were compiled in.
        available: String,
    },
    /// There is no such backend.
    #[error("--device {name}: no such device; choose one of: {available}{hint}")]
    Unknown {
        /// The requested name.
        name: String,
        /// The devices that were compiled in.
        available: String,
        /// A name that is nearly the one asked for, in words.
        hint: String,
    },
    /// What follows the colon is no number of an adapter.
    #[error("--device {name}: {problem}")]
    Index {
        /// The requested name.
        name: String,
        /// The problem and the remedy.
        problem: String,
    },
    /// The adapter is not there, or burn cannot address it.
    #[error("--device {name}: looked for {looked_for}, and found {found}\n{remedy}")]
    NoAdapter {
        /// The requested name.
        name: String,
        /// Which adapter this means, in words.
        looked_for: String,
        /// Which adapters there are, in words.
        found: String,
        /// The remedy.
        remedy: String,
    },
}

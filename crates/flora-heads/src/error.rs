use flora_core::RecordError;

/// Errors of moments and heads.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum HeadsError {
    /// A setting of a head is invalid.
    #[error("{field} is {value}: {problem}")]
    Setting {
        /// The setting's name.
        field: &'static str,
        /// Its value.
        value: f64,
        /// The valid values.
        problem: &'static str,
    },
    /// A feature or a table has a wrong number of values.
    #[error("{what} has {actual} values, expected {expected} ({because})")]
    Length {
        /// The name of the input.
        what: &'static str,
        /// The number of values it has.
        actual: usize,
        /// The number of values expected.
        expected: usize,
        /// The reason for the expected number.
        because: String,
    },
    /// The class does not exist.
    #[error("image {image} has class {class}, but there are {classes} classes, counted from 0")]
    Class {
        /// Position of the image in the input.
        image: usize,
        /// Its class.
        class: usize,
        /// The number of classes.
        classes: usize,
    },
    /// A weight is not a positive number.
    #[error("an image's weight is {0}: a weight is finite and above 0")]
    Weight(f64),
    /// A total weight is negative or not finite.
    #[error("the total weight of the images is {0}: it is finite and not below 0")]
    Total(f64),
    /// A feature holds NaN or an infinity.
    #[error(
        "image {image}: value {position} of its feature is {value}: every value must be finite; \
         look for a damaged image or for weights that overflowed"
    )]
    NotFinite {
        /// Position of the image in the input.
        image: usize,
        /// Position in the feature.
        position: usize,
        /// The value.
        value: f32,
    },
    /// The text feature of a class holds NaN or an infinity.
    #[error(
        "the text of class {class}: value {position} of its feature is {value}: every value must be \
         finite"
    )]
    Text {
        /// The class.
        class: usize,
        /// Position in the feature.
        position: usize,
        /// The value.
        value: f32,
    },
    /// A sum does not fit in f32, the format of records.
    #[error("`{name}` holds {value:e}, which does not fit in f32: scale the features down")]
    TooLarge {
        /// The tensor's name.
        name: &'static str,
        /// The sum.
        value: f64,
    },
    /// Moments of different sizes cannot be added.
    #[error(
        "moments of {dim} dimensions and {classes} classes cannot be combined with moments of {other_dim} \
         dimensions and {other_classes} classes: both sides need the same model and class list"
    )]
    Mismatch {
        /// Dimensions on the left.
        dim: usize,
        /// Classes on the left.
        classes: usize,
        /// Dimensions on the right.
        other_dim: usize,
        /// Classes on the right.
        other_classes: usize,
    },
    /// Sums would be subtracted that were never added.
    #[error(
        "{what} would become {value}: these moments are not part of the sums that they are \
         subtracted from"
    )]
    NotContained {
        /// The sum.
        what: String,
        /// The value that it would have.
        value: f64,
    },
    /// Sums that no images can have.
    #[error("`{name}` holds {value} at {position}: {problem}")]
    Impossible {
        /// The tensor's name.
        name: &'static str,
        /// Flat index, row-major.
        position: usize,
        /// The value.
        value: f64,
        /// Why no images have such sums.
        problem: &'static str,
    },
    /// The matrix cannot be factorised, even without its negative eigenvalues.
    #[error("{0}: the features' second moments are too ill-conditioned; raise lambda")]
    Singular(&'static str),
    /// A record does not fit.
    #[error(transparent)]
    Record(#[from] RecordError),
}

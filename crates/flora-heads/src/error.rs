use flora_core::RecordError;

/// What can go wrong with moments and heads.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum HeadsError {
    /// A setting of a head makes no sense.
    #[error("{field} is {value}: {problem}")]
    Setting {
        /// The setting's name.
        field: &'static str,
        /// Its value.
        value: f64,
        /// What would be right.
        problem: &'static str,
    },
    /// A feature or a table has the wrong number of values.
    #[error("{what} has {actual} values, expected {expected} ({because})")]
    Length {
        /// What was given.
        what: &'static str,
        /// How many values it has.
        actual: usize,
        /// How many it should have.
        expected: usize,
        /// Where the expected number comes from.
        because: String,
    },
    /// A class that does not exist.
    #[error("image {image} has class {class}, but there are {classes} classes, counted from 0")]
    Class {
        /// Position of the image in what was given.
        image: usize,
        /// Its class.
        class: usize,
        /// The number of classes.
        classes: usize,
    },
    /// A weight that is not a positive number.
    #[error("an image's weight is {0}: a weight is finite and above 0")]
    Weight(f64),
    /// A number of images that is negative or not finite.
    #[error("the total weight of the images is {0}: it is finite and not below 0")]
    Total(f64),
    /// A feature holds NaN or an infinity.
    #[error(
        "image {image}: value {position} of its feature is {value}: every value must be finite; \
         look for a damaged image or for weights that overflowed"
    )]
    NotFinite {
        /// Position of the image in what was given.
        image: usize,
        /// Position in the feature.
        position: usize,
        /// The value.
        value: f32,
    },
    /// The feature of a class's text holds NaN or an infinity.
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
    /// A sum does not fit in f32, which is how records store numbers.
    #[error("`{name}` holds {value:e}, which does not fit in f32: scale the features down")]
    TooLarge {
        /// The tensor's name.
        name: &'static str,
        /// The sum.
        value: f64,
    },
    /// Moments of different sizes do not add up.
    #[error(
        "moments of {dim} dimensions and {classes} classes do not go with moments of {other_dim} \
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
    /// Sums would be taken away that were never added.
    #[error(
        "{what} would become {value}: these moments are not a part of the sums that they are \
         taken from"
    )]
    NotContained {
        /// Which sum.
        what: String,
        /// What it would become.
        value: f64,
    },
    /// Sums that no images have.
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
    /// The matrix has no factor, not even after its negative eigenvalues were removed.
    #[error("{0}: the features' second moments are too ill-conditioned; raise lambda")]
    Singular(&'static str),
    /// A record does not fit.
    #[error(transparent)]
    Record(#[from] RecordError),
}

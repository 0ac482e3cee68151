mod gda;
mod lda;
mod ncm;
mod ridge;
mod within;

pub use gda::Gda;
pub use lda::Lda;
pub use ncm::Ncm;
pub use ridge::Ridge;

use crate::{HeadsError, LinearClassifier, Moments};

/// The text classifier, which a head starts from: each row is the class's text feature times `scale`, without bias.
fn text_classifier(
    moments: &Moments,
    texts: &[f32],
    scale: f64,
) -> Result<LinearClassifier, HeadsError> {
    check("prior", scale, true, "it must be finite")?;
    let (dim, classes) = (moments.dim(), moments.classes());
    if texts.len() != classes * dim {
        return Err(HeadsError::Length {
            what: "the table of text features",
            actual: texts.len(),
            expected: classes * dim,
            because: format!("{classes} classes of {dim} dimensions"),
        });
    }
    if let Some(at) = texts.iter().position(|value| !value.is_finite()) {
        return Err(HeadsError::Text { class: at / dim, position: at % dim, value: texts[at] });
    }
    let weight = texts.iter().map(|&value| (f64::from(value) * scale) as f32).collect();
    Ok(LinearClassifier { dim, classes, weight, bias: vec![0.0; classes] })
}

/// The classes that have images.
fn seen(moments: &Moments) -> Vec<usize> {
    (0..moments.classes()).filter(|&class| moments.class_counts()[class] > 0.0).collect()
}

/// Rejects a setting that is not finite or not `valid`.
fn check(
    field: &'static str,
    value: f64,
    valid: bool,
    problem: &'static str,
) -> Result<(), HeadsError> {
    if value.is_finite() && valid {
        return Ok(());
    }
    Err(HeadsError::Setting { field, value, problem })
}

//! Progress of computing image features.

use flora_clip::Preprocessor;
use flora_core::workers::Workers;
use flora_data::Dataset;
use flora_federation::Event;
use flora_inference::{InferenceError, Notice, unusable_images};

use crate::{Observer, TuningError};

/// Reports notices to `observer` while image features are computed.
pub(crate) fn notices(observer: &mut dyn Observer) -> impl FnMut(Notice) {
    |notice| match notice {
        Notice::Progress { done, total } => observer.progress("images", done, total),
        Notice::Note(message) => observer.event(&Event::Note { message }),
        Notice::Warning(message) => observer.event(&Event::Warning { message }),
    }
}

/// Decodes every image once, so that all damaged files are reported before the first round.
pub(crate) fn check_pictures(
    dataset: &Dataset,
    preprocessor: &Preprocessor,
    workers: &Workers,
    observer: &mut dyn Observer,
) -> Result<(), TuningError> {
    let problems = unusable_images(dataset, Some(preprocessor), workers, &mut |done, total| {
        observer.progress("checking images", done, total);
    });
    if problems.is_empty() {
        return Ok(());
    }
    Err(InferenceError::Unreadable { problems, kept: 0, rows: dataset.len(), partial: None }.into())
}

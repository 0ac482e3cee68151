//! What an observer hears while the images are looked at.

use flora_core::workers::Workers;
use flora_data::Dataset;
use flora_federation::Event;
use flora_inference::Notice;

use crate::{Observer, TuningError};

/// Tells `observer` what is worth telling while image features are computed.
pub(crate) fn notices(observer: &mut dyn Observer) -> impl FnMut(Notice) {
    |notice| match notice {
        Notice::Progress { done, total } => observer.progress("images", done, total),
        Notice::Warning(message) => observer.event(&Event::Warning { message }),
    }
}

/// Decode every image once, so that a damaged file is told before the first round.
pub(crate) fn check_pictures(
    dataset: &Dataset,
    workers: &Workers,
    observer: &mut dyn Observer,
) -> Result<(), TuningError> {
    let all: Vec<usize> = (0..dataset.len()).collect();
    let check = |index| dataset.image(index).map(drop);
    workers.try_map(all, check, |done| {
        observer.progress("checking images", done, dataset.len());
    })?;
    Ok(())
}

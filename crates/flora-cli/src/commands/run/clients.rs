//! Where a run's clients are: in this process, or elsewhere.

use std::path::Path;

use flora::federation::RunStatus;
use flora::report::RunFolder;
use flora::tuning::{Experiment, Prepared, prepare};

use crate::device::Place;
use crate::failure::Failure;
use crate::progress::Progress;
use crate::signals::Signals;

/// Makes ready what an experiment says, with clients that are where it knows to find them.
pub(in crate::commands) trait Clients {
    /// What may ask the run to stop.
    fn signals(&mut self) -> Result<Signals, Failure> {
        Signals::hear()
    }

    /// Prepares a run; `resumed` is the folder of one that goes on.
    fn prepare(
        &mut self,
        experiment: Experiment,
        place: &Place,
        resumed: Option<&Path>,
        progress: &mut Progress,
    ) -> Result<Prepared, Failure>;

    /// The run's folder is there, and may be told what the run must remember.
    fn remember(&mut self, folder: &RunFolder) -> Result<(), Failure> {
        let _ = folder;
        Ok(())
    }

    /// Whether they are in this process: their images must then be those that the run began with, and what they
    /// remember lies with the run's states.
    fn are_here(&self) -> bool {
        true
    }

    /// What is typed before the folder of a run to go on with it.
    fn resume_command(&self) -> String {
        "flora run --resume".to_owned()
    }

    /// The run is over, for the time being.
    fn ended(&mut self, status: RunStatus, why: Option<&str>) {
        let _ = (status, why);
    }
}

/// In this process.
pub(super) struct Here;

impl Clients for Here {
    fn prepare(
        &mut self,
        experiment: Experiment,
        place: &Place,
        _resumed: Option<&Path>,
        progress: &mut Progress,
    ) -> Result<Prepared, Failure> {
        let prepared = prepare(experiment, &place.device, progress).map_err(Failure::input)?;
        // Image features take more memory than what follows.
        crate::MEMORY.release();
        Ok(prepared)
    }
}

/// In the folder of a run whose clients are sites: what it must remember of them.
pub(in crate::commands) const SERVED: &str = "serve.json";

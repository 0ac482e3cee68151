//! Location of a run's clients: in this process, or on other machines.

use std::path::Path;

use flora::federation::RunStatus;
use flora::report::RunFolder;
use flora::tuning::{Experiment, Prepared, prepare};

use crate::device::Place;
use crate::failure::Failure;
use crate::progress::Progress;
use crate::signals::Signals;

/// Prepares an experiment with its clients, wherever they are.
pub(in crate::commands) trait Clients {
    /// The signals that stop the run.
    fn signals(&mut self) -> Result<Signals, Failure> {
        Signals::hear()
    }

    /// Prepares a run; `resumed` is the folder of a run to resume.
    fn prepare(
        &mut self,
        experiment: Experiment,
        place: &Place,
        resumed: Option<&Path>,
        progress: &mut Progress,
    ) -> Result<Prepared, Failure>;

    /// Called once the run's folder exists, to store anything that a resume needs.
    fn remember(&mut self, folder: &RunFolder) -> Result<(), Failure> {
        let _ = folder;
        Ok(())
    }

    /// Whether the clients are in this process: their images must then be those at the start of the run, and their
    /// states are stored with the run's.
    fn are_here(&self) -> bool {
        true
    }

    /// The command that resumes a run, without its folder.
    fn resume_command(&self) -> String {
        "flora run --resume".to_owned()
    }

    /// Called when the run ends or stops.
    fn ended(&mut self, status: RunStatus, why: Option<&str>) {
        let _ = (status, why);
    }
}

/// Clients in this process.
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
        // Image features take more memory than the later steps.
        crate::MEMORY.release();
        Ok(prepared)
    }
}

/// The file in the folder of a served run with the data to resume it.
pub(in crate::commands) const SERVED: &str = "serve.json";

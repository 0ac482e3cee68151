use crate::wire::control::{
    Fab, ListRunsRequest, ListRunsResponse, Run, StartRunRequest, StartRunResponse, StopRunRequest,
};
use crate::wire::message::Empty;
use crate::{Link, LinkError};

/// The Control service, through which runs begin and end. It has no authentication, so a SuperLink's proxy keeps it
/// closed.
#[derive(Debug, Clone)]
pub struct ControlService(Link);

impl ControlService {
    /// The service behind `link`.
    pub fn new(link: Link) -> Self {
        Self(link)
    }

    /// Begins a run of an app, and returns its id.
    ///
    /// # Errors
    /// The SuperLink refuses, or does not answer.
    pub fn start_run(&self, fab: Fab) -> Result<u64, LinkError> {
        let path = "/v1/control/start-run";
        let request = StartRunRequest { fab: Some(fab) };
        let response: StartRunResponse = self.0.call(path, &Vec::new, &request)?;
        response.run_id.ok_or_else(|| LinkError::Refused {
            url: self.0.url().to_owned(),
            path: path.to_owned(),
            status: 200,
            code: None,
            detail: response.note.unwrap_or_else(|| "it gives no run id".to_owned()),
        })
    }

    /// All runs that the SuperLink knows.
    ///
    /// # Errors
    /// The SuperLink refuses, or does not answer.
    pub fn runs(&self) -> Result<Vec<Run>, LinkError> {
        let request = ListRunsRequest { run_id: None };
        let response: ListRunsResponse =
            self.0.call("/v1/control/list-runs", &Vec::new, &request)?;
        Ok(response.run_dict.into_values().collect())
    }

    /// Ends a run.
    ///
    /// # Errors
    /// The SuperLink refuses, or does not answer.
    pub fn stop_run(&self, run: u64) -> Result<(), LinkError> {
        let request = StopRunRequest { run_id: run };
        let Empty {} = self.0.call("/v1/control/stop-run", &Vec::new, &request)?;
        Ok(())
    }
}

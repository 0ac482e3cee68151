//! Conversion of failures to helpful errors.

use super::wire::{Answer, Failure};
use crate::{HubConfig, HubError, HubModel};

/// The repository and the hub, for every message.
#[derive(Clone, Copy)]
pub(super) struct Context<'a> {
    pub(super) model: &'a HubModel,
    pub(super) config: &'a HubConfig,
}

impl Context<'_> {
    /// The error for a missing answer.
    pub(super) fn unreachable(&self, failure: Failure) -> HubError {
        match failure {
            Failure::Connection(problem) => HubError::Unreachable {
                repository: self.model.repository(),
                endpoint: self.config.endpoint.clone(),
                problem,
            },
            Failure::Protocol(problem) => self.answer(problem),
        }
    }

    /// The error for an invalid answer.
    pub(super) fn answer(&self, problem: String) -> HubError {
        HubError::Answer {
            repository: self.model.repository(),
            endpoint: self.config.endpoint.clone(),
            problem,
        }
    }

    /// The error for an unsuccessful answer, to a request for `file` or, without one, for the listing.
    pub(super) fn status(&self, answer: &Answer, file: Option<&str>) -> HubError {
        let (repository, endpoint) = (self.model.repository(), self.config.endpoint.clone());
        match answer.status {
            status @ (401 | 403) => HubError::Refused {
                repository,
                endpoint,
                status,
                token: self.config.token.is_some(),
            },
            404 => {
                let revision = self.model.revision_or_main();
                // The hub says which of the two it is; a mirror may not.
                let what = match (file, answer.header("x-error-code")) {
                    (Some(file), _) => format!("file {file}, though it lists it"),
                    (None, Some("RevisionNotFound")) => format!("revision {revision} of it"),
                    (None, Some("RepoNotFound")) => "such repository".into(),
                    (None, _) => format!("such repository, or no revision {revision} of it"),
                };
                HubError::Unknown { repository, endpoint, what }
            }
            status => {
                let when = if is_passing(status) { "; try again later" } else { "" };
                self.answer(format!("unexpected answer, HTTP status {status}{when}"))
            }
        }
    }
}

/// Whether the same request may succeed soon.
pub(super) fn is_passing(status: u16) -> bool {
    matches!(status, 408 | 429 | 500..=599)
}

//! The Control service, used by `flwr`.

use std::collections::HashMap;

/// Begins a run.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct StartRunRequest {
    /// The app.
    #[prost(message, optional, tag = "1")]
    pub fab: Option<Fab>,
}

/// An app as a zip file.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct Fab {
    /// SHA-256 of the file, in hexadecimal.
    #[prost(string, tag = "1")]
    pub hash_str: String,
    /// The file.
    #[prost(bytes = "vec", tag = "2")]
    pub content: Vec<u8>,
}

/// The new run.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct StartRunResponse {
    /// The run.
    #[prost(uint64, optional, tag = "1")]
    pub run_id: Option<u64>,
    /// A remark by the SuperLink.
    #[prost(string, optional, tag = "2")]
    pub note: Option<String>,
}

/// Ends a run.
#[derive(Clone, Copy, PartialEq, Eq, prost::Message)]
pub struct StopRunRequest {
    /// The run.
    #[prost(uint64, tag = "1")]
    pub run_id: u64,
}

/// Asks for runs.
#[derive(Clone, Copy, PartialEq, Eq, prost::Message)]
pub struct ListRunsRequest {
    /// Only this one.
    #[prost(uint64, optional, tag = "1")]
    pub run_id: Option<u64>,
}

/// The runs.
#[derive(Clone, PartialEq, prost::Message)]
pub struct ListRunsResponse {
    /// By their ids.
    #[prost(map = "uint64, message", tag = "1")]
    pub run_dict: HashMap<u64, Run>,
    /// The SuperLink's clock, in ISO 8601.
    #[prost(string, tag = "2")]
    pub now: String,
}

/// A run on the SuperLink.
#[derive(Clone, PartialEq, prost::Message)]
pub struct Run {
    /// Its id.
    #[prost(uint64, tag = "1")]
    pub run_id: u64,
    /// The app's publisher and name.
    #[prost(string, tag = "2")]
    pub fab_id: String,
    /// The run's progress.
    #[prost(message, optional, tag = "10")]
    pub status: Option<RunStatus>,
}

/// The progress of a run.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct RunStatus {
    /// `pending`, `starting`, `running` or `finished`.
    #[prost(string, tag = "1")]
    pub status: String,
    /// `completed`, `failed` or `stopped`.
    #[prost(string, tag = "2")]
    pub sub_status: String,
    /// Details for people.
    #[prost(string, tag = "3")]
    pub details: String,
}

//! The Runtime service: what a server asks.

use super::control::Run;
use super::message::{Message, ObjectTree};

/// Asks for a task to do.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct AcquireTaskRequest {
    /// `flwr-serverapp`.
    #[prost(string, repeated, tag = "1")]
    pub supported_task_types: Vec<String>,
    /// SHA-256 of the apps whose tasks are wanted, whatever their type.
    #[prost(string, repeated, tag = "2")]
    pub agentapp_fab_hashes: Vec<String>,
}

/// A task, if there is any.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct AcquireTaskResponse {
    /// The task.
    #[prost(message, optional, tag = "1")]
    pub task: Option<Task>,
    /// What shows in every further request that it is ours.
    #[prost(string, tag = "2")]
    pub token: String,
}

/// The server's part of a run.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct Task {
    /// Its id.
    #[prost(uint64, tag = "1")]
    pub task_id: u64,
    /// `flwr-serverapp`.
    #[prost(string, tag = "2")]
    pub r#type: String,
    /// The run.
    #[prost(uint64, tag = "3")]
    pub run_id: u64,
}

/// What the task is to be done with. Asking for it begins the run.
#[derive(Clone, PartialEq, prost::Message)]
pub struct PullTaskInputResponse {
    /// Handed back with the result.
    #[prost(bytes = "vec", tag = "1")]
    pub context: Vec<u8>,
    /// The run.
    #[prost(message, optional, tag = "2")]
    pub run: Option<Run>,
    /// The task.
    #[prost(uint64, tag = "5")]
    pub task_id: u64,
}

/// How the task ended.
#[derive(Clone, PartialEq, prost::Message)]
pub struct PushTaskOutputRequest {
    /// As it came.
    #[prost(bytes = "vec", tag = "1")]
    pub context: Vec<u8>,
    /// `completed`, `failed` or `stopped`.
    #[prost(string, tag = "2")]
    pub sub_status: String,
    /// For people.
    #[prost(string, tag = "3")]
    pub details: String,
}

/// Who is there.
#[derive(Clone, PartialEq, prost::Message)]
pub struct GetNodesResponse {
    /// The nodes.
    #[prost(message, repeated, tag = "1")]
    pub nodes: Vec<NodeInfo>,
}

/// A node, as the SuperLink knows it.
#[derive(Clone, PartialEq, prost::Message)]
pub struct NodeInfo {
    /// Its id.
    #[prost(uint64, tag = "1")]
    pub node_id: u64,
    /// `online`, `offline` and so on.
    #[prost(string, tag = "4")]
    pub status: String,
    /// PEM of its public key.
    #[prost(bytes = "vec", tag = "11")]
    pub public_key: Vec<u8>,
}

/// Sends instructions.
#[derive(Clone, PartialEq, prost::Message)]
pub struct PushMessagesRequest {
    /// The instructions.
    #[prost(message, repeated, tag = "2")]
    pub messages_list: Vec<Message>,
    /// The objects of each.
    #[prost(message, repeated, tag = "3")]
    pub message_object_trees: Vec<ObjectTree>,
}

/// Which objects are to be sent.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct PushMessagesResponse {
    /// An id for each message; empty for one that was not taken.
    #[prost(string, repeated, tag = "1")]
    pub message_ids: Vec<String>,
    /// Those that the SuperLink does not have.
    #[prost(string, repeated, tag = "2")]
    pub objects_to_push: Vec<String>,
    /// To be named with each object.
    #[prost(string, tag = "3")]
    pub session_id: String,
}

/// Asks for the answers to instructions.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct PullMessagesRequest {
    /// The instructions.
    #[prost(string, repeated, tag = "2")]
    pub message_ids: Vec<String>,
}

/// The answers that are there, which are not given again.
#[derive(Clone, PartialEq, prost::Message)]
pub struct PullMessagesResponse {
    /// The answers.
    #[prost(message, repeated, tag = "1")]
    pub messages_list: Vec<Message>,
}

/// Lines for `flwr log`.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct PushLogsRequest {
    /// By whom.
    #[prost(message, optional, tag = "1")]
    pub node: Option<super::message::Node>,
    /// The run.
    #[prost(uint64, tag = "2")]
    pub run_id: u64,
    /// The lines.
    #[prost(string, repeated, tag = "3")]
    pub logs: Vec<String>,
}

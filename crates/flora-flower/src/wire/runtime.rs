//! The Runtime service, used by servers.

use super::control::Run;
use super::message::{Message, ObjectTree};

/// Asks for a task.
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
    /// The token that authenticates every further request.
    #[prost(string, tag = "2")]
    pub token: String,
}

/// The server's task of a run.
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

/// The input of the task. Asking for it begins the run.
#[derive(Clone, PartialEq, prost::Message)]
pub struct PullTaskInputResponse {
    /// Returned with the result.
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
    /// The context of the input, unchanged.
    #[prost(bytes = "vec", tag = "1")]
    pub context: Vec<u8>,
    /// `completed`, `failed` or `stopped`.
    #[prost(string, tag = "2")]
    pub sub_status: String,
    /// Details for people.
    #[prost(string, tag = "3")]
    pub details: String,
}

/// The nodes of the run.
#[derive(Clone, PartialEq, prost::Message)]
pub struct GetNodesResponse {
    /// The nodes.
    #[prost(message, repeated, tag = "1")]
    pub nodes: Vec<NodeInfo>,
}

/// A node on the SuperLink.
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
    /// An id for each message; empty for one that was refused.
    #[prost(string, repeated, tag = "1")]
    pub message_ids: Vec<String>,
    /// The objects that the SuperLink lacks.
    #[prost(string, repeated, tag = "2")]
    pub objects_to_push: Vec<String>,
    /// The session to name with each object.
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

/// The available answers, which are delivered once.
#[derive(Clone, PartialEq, prost::Message)]
pub struct PullMessagesResponse {
    /// The answers.
    #[prost(message, repeated, tag = "1")]
    pub messages_list: Vec<Message>,
}

/// Lines for `flwr log`.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct PushLogsRequest {
    /// The sender.
    #[prost(message, optional, tag = "1")]
    pub node: Option<super::message::Node>,
    /// The run.
    #[prost(uint64, tag = "2")]
    pub run_id: u64,
    /// The lines.
    #[prost(string, repeated, tag = "3")]
    pub logs: Vec<String>,
}

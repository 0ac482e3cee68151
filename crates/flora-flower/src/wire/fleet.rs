//! The Fleet service, used by nodes.

use std::collections::HashMap;

use super::message::{Message, Node, ObjectTree};

/// Registers a key.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct RegisterNodeRequest {
    /// PEM of the public key, as in the header.
    #[prost(bytes = "vec", tag = "1")]
    pub public_key: Vec<u8>,
}

/// Brings the node of a registered key online.
#[derive(Clone, PartialEq, prost::Message)]
pub struct ActivateNodeRequest {
    /// PEM of the public key, as in the header.
    #[prost(bytes = "vec", tag = "1")]
    pub public_key: Vec<u8>,
    /// Seconds between heartbeats: 10 to 1800.
    #[prost(double, tag = "2")]
    pub heartbeat_interval: f64,
}

/// A node's id, in a request and in a response.
pub use super::message::Node as NodeId;

/// A heartbeat.
#[derive(Clone, PartialEq, prost::Message)]
pub struct HeartbeatRequest {
    /// Which node.
    #[prost(message, optional, tag = "1")]
    pub node: Option<Node>,
    /// Seconds until the next one; after twice this time the node counts as offline.
    #[prost(double, tag = "2")]
    pub heartbeat_interval: f64,
}

/// Whether the heartbeat was accepted.
#[derive(Clone, Copy, PartialEq, Eq, prost::Message)]
pub struct HeartbeatResponse {
    /// Whether it was accepted.
    #[prost(bool, tag = "1")]
    pub success: bool,
}

/// Asks for a message.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct PullMessagesRequest {
    /// The node that asks.
    #[prost(message, optional, tag = "1")]
    pub node: Option<Node>,
}

/// No message or one, which is delivered once.
#[derive(Clone, PartialEq, prost::Message)]
pub struct PullMessagesResponse {
    /// The messages.
    #[prost(message, repeated, tag = "2")]
    pub messages_list: Vec<Message>,
}

/// Announces an answer.
#[derive(Clone, PartialEq, prost::Message)]
pub struct PushMessagesRequest {
    /// The sender.
    #[prost(message, optional, tag = "1")]
    pub node: Option<Node>,
    /// The answer.
    #[prost(message, repeated, tag = "2")]
    pub messages_list: Vec<Message>,
    /// Its objects.
    #[prost(message, repeated, tag = "3")]
    pub message_object_trees: Vec<ObjectTree>,
    /// Seconds that the client worked.
    #[prost(double, repeated, tag = "4")]
    pub clientapp_runtime_list: Vec<f64>,
}

/// Which objects are to be sent.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct PushMessagesResponse {
    /// By message id.
    #[prost(map = "string, uint32", tag = "2")]
    pub results: HashMap<String, u32>,
    /// The objects that the SuperLink lacks. If there are none, the answer was dropped.
    #[prost(string, repeated, tag = "3")]
    pub objects_to_push: Vec<String>,
    /// The session to name with each object.
    #[prost(string, tag = "4")]
    pub session_id: String,
}

//! Messages between a server and a node, and the objects that they are made of.

/// A message. It has either `content` or `error`.
#[derive(Clone, PartialEq, prost::Message)]
pub struct Message {
    /// Sender, receiver and subject.
    #[prost(message, optional, tag = "1")]
    pub metadata: Option<Metadata>,
    /// Present and empty for a message whose content is sent as objects.
    #[prost(message, optional, tag = "2")]
    pub content: Option<HasContent>,
    /// The reason for a missing answer.
    #[prost(message, optional, tag = "3")]
    pub error: Option<Error>,
}

/// A marker: the content is sent as objects.
#[derive(Clone, Copy, PartialEq, prost::Message)]
pub struct HasContent {}

/// Sender, receiver and subject.
#[derive(Clone, PartialEq, prost::Message)]
pub struct Metadata {
    /// The run.
    #[prost(uint64, tag = "1")]
    pub run_id: u64,
    /// The id of the message's object; empty within that object.
    #[prost(string, tag = "2")]
    pub message_id: String,
    /// The sender: a node, or [`SUPERLINK`] for the server.
    #[prost(uint64, tag = "3")]
    pub src_node_id: u64,
    /// The receiver.
    #[prost(uint64, tag = "4")]
    pub dst_node_id: u64,
    /// The message that this one answers; empty for an instruction.
    #[prost(string, tag = "5")]
    pub reply_to_message_id: String,
    /// The round, or whatever the server groups messages by.
    #[prost(string, tag = "6")]
    pub group_id: String,
    /// Seconds after `created_at` for which the message is valid.
    #[prost(double, tag = "7")]
    pub ttl: f64,
    /// `train`, `evaluate` or `query`, possibly followed by `.name`.
    #[prost(string, tag = "8")]
    pub message_type: String,
    /// Seconds since 1970-01-01 UTC.
    #[prost(double, tag = "9")]
    pub created_at: f64,
    /// The sender's task.
    #[prost(uint64, optional, tag = "10")]
    pub src_task_id: Option<u64>,
    /// The receiver's task.
    #[prost(uint64, optional, tag = "11")]
    pub dst_task_id: Option<u64>,
}

/// The id of the server's side.
pub const SUPERLINK: u64 = 1;

/// The reason for a missing answer.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct Error {
    /// Flower's number for the kind: 2 for a client that failed, 5 for a node that is offline.
    #[prost(sint64, tag = "1")]
    pub code: i64,
    /// Details for people.
    #[prost(string, tag = "2")]
    pub reason: String,
}

/// The ids of an object and of its descendants.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct ObjectTree {
    /// SHA-256 of the object, in hexadecimal.
    #[prost(string, tag = "1")]
    pub object_id: String,
    /// The objects that it refers to.
    #[prost(message, repeated, tag = "2")]
    pub children: Vec<ObjectTree>,
}

/// A node's id.
#[derive(Clone, Copy, PartialEq, Eq, prost::Message)]
pub struct Node {
    /// The id.
    #[prost(uint64, tag = "1")]
    pub node_id: u64,
}

/// Stores an object.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct PushObjectRequest {
    /// The sender.
    #[prost(message, optional, tag = "1")]
    pub node: Option<Node>,
    /// The run.
    #[prost(uint64, tag = "2")]
    pub run_id: u64,
    /// The object.
    #[prost(string, tag = "3")]
    pub object_id: String,
    /// Its bytes.
    #[prost(bytes = "vec", tag = "4")]
    pub object_content: Vec<u8>,
    /// The session from `push-messages`.
    #[prost(string, tag = "5")]
    pub session_id: String,
}

/// Whether it was stored.
#[derive(Clone, Copy, PartialEq, Eq, prost::Message)]
pub struct PushObjectResponse {
    /// If not, the messages must be pushed again.
    #[prost(bool, tag = "1")]
    pub stored: bool,
}

/// Asks for an object.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct PullObjectRequest {
    /// The node that asks.
    #[prost(message, optional, tag = "1")]
    pub node: Option<Node>,
    /// The run.
    #[prost(uint64, tag = "2")]
    pub run_id: u64,
    /// The object.
    #[prost(string, tag = "3")]
    pub object_id: String,
}

/// An object, if it is there.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct PullObjectResponse {
    /// Whether the id is known.
    #[prost(bool, tag = "1")]
    pub object_found: bool,
    /// Whether its bytes have arrived.
    #[prost(bool, tag = "2")]
    pub object_available: bool,
    /// The bytes.
    #[prost(bytes = "vec", tag = "3")]
    pub object_content: Vec<u8>,
}

/// Confirms that a message was received completely: its objects may be dropped.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct ConfirmMessageReceivedRequest {
    /// The receiver.
    #[prost(message, optional, tag = "1")]
    pub node: Option<Node>,
    /// The run.
    #[prost(uint64, tag = "2")]
    pub run_id: u64,
    /// The message.
    #[prost(string, tag = "3")]
    pub message_object_id: String,
}

/// An empty answer.
#[derive(Clone, Copy, PartialEq, Eq, prost::Message)]
pub struct Empty {}

//! TensorFlow's messages, as far as scalars need them:
//! [event.proto](https://github.com/tensorflow/tensorboard/blob/master/tensorboard/compat/proto/event.proto) and
//! [summary.proto](https://github.com/tensorflow/tensorboard/blob/master/tensorboard/compat/proto/summary.proto).

use prost::{Message, Oneof};

/// What a record holds.
#[derive(Clone, PartialEq, Message)]
pub(super) struct Event {
    /// Seconds since 1970-01-01 UTC.
    #[prost(double, tag = "1")]
    pub(super) wall_time: f64,
    #[prost(int64, tag = "2")]
    pub(super) step: i64,
    #[prost(oneof = "What", tags = "3, 5, 7")]
    pub(super) what: Option<What>,
}

#[derive(Clone, PartialEq, Oneof)]
pub(super) enum What {
    /// `brain.Event:2`, in the first event of a file.
    #[prost(string, tag = "3")]
    FileVersion(String),
    #[prost(message, tag = "5")]
    Summary(Summary),
    #[prost(message, tag = "7")]
    SessionLog(SessionLog),
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct Summary {
    #[prost(message, repeated, tag = "1")]
    pub(super) value: Vec<Value>,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct Value {
    #[prost(string, tag = "1")]
    pub(super) tag: String,
    /// One of several kinds of values there; optional, so that a zero is written.
    #[prost(float, optional, tag = "2")]
    pub(super) simple_value: Option<f32>,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct SessionLog {
    #[prost(int32, tag = "1")]
    pub(super) status: i32,
}

impl SessionLog {
    /// The run begins, or begins again, at the event's step.
    pub(super) const START: i32 = 1;
}

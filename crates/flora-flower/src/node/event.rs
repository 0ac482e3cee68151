use flora_federation::Kind;

/// Progress events of a node.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub enum NodeEvent {
    /// The node is registered with the SuperLink, and online.
    Online {
        /// The node's id on the SuperLink.
        node_id: u64,
        /// Whether the SuperLink knew its key before.
        known: bool,
    },
    /// The SuperLink does not answer. The request is retried.
    Lost {
        /// The problem.
        problem: String,
    },
    /// The SuperLink answers again.
    Back {
        /// The length of the outage in seconds.
        seconds: f64,
    },
    /// A message arrived.
    Received {
        /// The requested work.
        kind: Kind,
        /// The run.
        run_id: u64,
        /// Whether an earlier process received it and did not finish it.
        again: bool,
    },
    /// The message was answered.
    Answered {
        /// The requested work.
        kind: Kind,
        /// Seconds of work.
        seconds: f64,
        /// Bytes of the objects that were sent.
        bytes: u64,
    },
    /// The message was answered with a refusal or a failure.
    Failed {
        /// The requested work.
        kind: Kind,
        /// The reason.
        problem: String,
    },
    /// The message was not answered, because its reply is no longer expected.
    Dropped {
        /// The reason.
        why: String,
    },
    /// The node is offline.
    Offline,
}

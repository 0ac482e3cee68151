use flora_federation::Kind;

/// What a node does, for whoever watches it.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub enum NodeEvent {
    /// It is known to the SuperLink, and online.
    Online {
        /// Its id there.
        node_id: u64,
        /// Whether the SuperLink knew its key before.
        known: bool,
    },
    /// The SuperLink does not answer. It is asked again.
    Lost {
        /// What happened.
        problem: String,
    },
    /// The SuperLink answers again.
    Back {
        /// For how many seconds it did not.
        seconds: f64,
    },
    /// A message came.
    Received {
        /// What it asks for.
        kind: Kind,
        /// The run.
        run_id: u64,
        /// Whether it came to an earlier process, which did not finish it.
        again: bool,
    },
    /// It was answered.
    Answered {
        /// What was asked for.
        kind: Kind,
        /// Seconds of work.
        seconds: f64,
        /// Bytes of the objects that were sent.
        bytes: u64,
    },
    /// It was answered with a refusal or a failure.
    Failed {
        /// What was asked for.
        kind: Kind,
        /// Why.
        problem: String,
    },
    /// It was not answered: nobody waits for it any more.
    Dropped {
        /// Why.
        why: String,
    },
    /// It is offline.
    Offline,
}

use flora_federation::ClientInfo;

/// What becomes of the sites, for whoever watches.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum SiteEvent {
    /// A site is online that was not.
    Online {
        /// What it is called.
        name: String,
        /// The fingerprint of its key.
        key: String,
    },
    /// It takes part.
    Joined(ClientInfo),
    /// It does not take part.
    Refused {
        /// What it is called.
        name: String,
        /// Why.
        problem: String,
    },
    /// It is offline.
    Away {
        /// What it is called.
        name: String,
    },
    /// It is online again.
    Back {
        /// What it is called.
        name: String,
    },
    /// A task is sent once more, because it or its answer was lost.
    Again {
        /// For whom.
        name: String,
        /// What was lost.
        problem: String,
    },
    /// It no longer had what its client remembered of the run, and trained without.
    Forgot {
        /// What it is called.
        name: String,
    },
    /// It was restarted before it had answered a task, and has done the task anew.
    Restarted {
        /// What it is called.
        name: String,
    },
    /// The SuperLink did not answer, and does again.
    SuperLinkBack {
        /// What happened.
        problem: String,
        /// For how many seconds.
        seconds: u64,
    },
}

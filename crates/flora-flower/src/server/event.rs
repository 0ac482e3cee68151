use flora_federation::ClientInfo;

/// Progress events about the sites.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum SiteEvent {
    /// A site has come online.
    Online {
        /// The site's name.
        name: String,
        /// The fingerprint of its key.
        key: String,
    },
    /// A site takes part.
    Joined(ClientInfo),
    /// A site does not take part.
    Refused {
        /// The site's name.
        name: String,
        /// The reason.
        problem: String,
    },
    /// A site is offline.
    Away {
        /// The site's name.
        name: String,
    },
    /// A site is online again.
    Back {
        /// The site's name.
        name: String,
    },
    /// A task is sent again, because it or its reply was lost.
    Again {
        /// The site's name.
        name: String,
        /// The reason.
        problem: String,
    },
    /// A site lost its client's state of the run, and trained without it.
    Forgot {
        /// The site's name.
        name: String,
    },
    /// A site was restarted before it had answered a task, and has repeated the task.
    Restarted {
        /// The site's name.
        name: String,
    },
    /// The SuperLink answers again after an outage.
    SuperLinkBack {
        /// The problem.
        problem: String,
        /// The length of the outage in seconds.
        seconds: u64,
    },
}

//! Who is there, by key.

use std::collections::BTreeMap;
use std::time::Instant;

use flora_federation::ClientInfo;

use crate::PublicKey;

/// A site: known by its key, whatever node id the SuperLink gives it.
#[derive(Debug, Clone)]
pub(super) struct Member {
    pub(super) name: String,
    pub(super) node_id: u64,
    pub(super) stage: Stage,
    /// Since when it is not online.
    pub(super) away: Option<Instant>,
    /// It was away for longer than anybody waits, and is waited for no more.
    pub(super) given_up: bool,
}

/// How far a site is on its way into the run.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Stage {
    /// It is online.
    New,
    /// It was asked this, and has not answered.
    Asked { message: String, what: Question },
    /// It said what it has.
    Profiled,
    /// It takes part.
    Joined(ClientInfo),
    /// It does not, and why.
    Out(String),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Question {
    Hello,
    Join,
}

/// By their public keys.
pub(super) type Members = BTreeMap<PublicKey, Member>;

impl Member {
    pub(super) fn new(name: String, node_id: u64) -> Self {
        Self { name, node_id, stage: Stage::New, away: None, given_up: false }
    }

    pub(super) fn joined(&self) -> Option<&ClientInfo> {
        match &self.stage {
            Stage::Joined(info) => Some(info),
            _ => None,
        }
    }
}

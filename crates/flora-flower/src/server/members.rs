//! The known sites, by key.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use flora_federation::ClientInfo;

use crate::PublicKey;

/// A site, identified by its key, whatever node id the SuperLink gives it.
#[derive(Debug, Clone)]
pub(super) struct Member {
    pub(super) name: String,
    pub(super) node_id: u64,
    pub(super) stage: Stage,
    /// Since when it is offline.
    pub(super) away: Option<Instant>,
    /// It was offline for longer than the grace period, and is no longer waited for.
    pub(super) given_up: bool,
}

/// A site's progress towards taking part.
#[derive(Debug, Clone)]
pub(super) enum Stage {
    /// The site is online.
    New,
    /// A question was sent and not answered.
    Asked(Watched),
    /// The site has reported its data.
    Profiled,
    /// The site takes part.
    Joined(ClientInfo),
    /// The site does not take part: why, and since when. The problem may be solved while the server waits for others.
    Out(String, Instant),
    /// The site is not allowed to take part.
    Stranger,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Question {
    Hello,
    Join,
}

/// A message that awaits a reply. A SuperLink delivers each message once, and never reports a failed delivery. A node
/// handles messages in order: if it answers a later one, an earlier one without a reply is lost.
#[derive(Debug, Clone)]
pub(super) struct Watched {
    /// The id of the message.
    pub(super) message: String,
    since: Instant,
    /// The id of the later message, if one was sent.
    probe: Option<String>,
    probes: u32,
    /// Whether the later message was answered.
    is_passed: bool,
}

/// After this time without a reply, and again after twice the time, and so on, the later message is sent.
const PROBE: Duration = Duration::from_secs(45);

impl Watched {
    pub(super) fn new(message: String) -> Self {
        let since = Instant::now();
        Self { message, since, probe: None, probes: 0, is_passed: false }
    }

    /// The ids of the messages that await replies.
    pub(super) fn ids(&self) -> impl Iterator<Item = String> {
        [Some(self.message.clone()), self.probe.clone()].into_iter().flatten()
    }

    /// Whether it is time to send the later message.
    pub(super) fn is_due(&self) -> bool {
        self.probe.is_none() && self.since.elapsed() > PROBE * 2_u32.pow(self.probes.min(8))
    }

    pub(super) fn probe(&mut self, message: String) {
        self.probe = Some(message);
        self.probes += 1;
    }

    /// Handles a reply; returns whether it answers the later message. Any reply shows that the node reached that
    /// message, unless it `is_lost` itself.
    pub(super) fn hear(&mut self, asked: &str, is_lost: bool) -> bool {
        let is_probe = self.probe.as_deref() == Some(asked);
        if is_probe {
            self.probe = None;
            self.is_passed |= !is_lost;
        }
        is_probe
    }

    /// Whether the message is lost. Call it after handling all available replies.
    pub(super) fn is_lost(&self) -> bool {
        self.is_passed
    }
}

/// Sites by public key.
pub(super) type Members = BTreeMap<PublicKey, Member>;

/// The site with this name.
pub(super) fn named<'a>(members: &'a mut Members, name: &str) -> Option<&'a mut Member> {
    members.values_mut().find(|member| member.name == name)
}

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

    /// Whether it has been offline for longer than `grace`.
    pub(super) fn is_given_up(&mut self, grace: Duration) -> bool {
        self.given_up |= self.away.is_some_and(|away| away.elapsed() > grace);
        self.given_up
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_is_lost_once_a_later_one_is_answered() {
        let mut watched = Watched::new("task".into());
        assert!(!watched.is_due() && !watched.is_lost());
        watched.since = Instant::now().checked_sub(PROBE * 2).unwrap();
        assert!(watched.is_due());
        watched.probe("probe".into());
        assert!(!watched.is_due());
        assert_eq!(watched.ids().collect::<Vec<_>>(), ["task", "probe"]);
        assert!(!watched.hear("another", false) && !watched.is_lost());
        // The later message was itself lost, which shows nothing.
        assert!(watched.hear("probe", true) && !watched.is_lost());
        watched.probe("again".into());
        assert!(watched.hear("again", false) && watched.is_lost());
    }
}

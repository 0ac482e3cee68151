//! Rounds, aggregation, privacy and compression of an experiment.

use flora_compression::Codec;
use flora_data::Participants;
use flora_federation::{
    BelowQuorum, ClientSelector, RoundPolicy, Selection, SelectionConfig, Share,
};
use flora_privacy::PrivacyConfig;
use flora_secagg::Config as SecureConfig;
use flora_strategies::StrategyConfig;
use serde::{Deserialize, Serialize};

use crate::ClientState;

/// Rounds, aggregation, privacy and compression.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct FederationConfig {
    /// The aggregation strategy.
    pub strategy: StrategyConfig,
    /// The clients that train; all clients are tested.
    pub participants: Participants,
    /// The selection of clients in a round.
    #[serde(skip_serializing_if = "SelectionConfig::is_fraction")]
    pub selection: SelectionConfig,
    /// Share of the clients that train in a round, in `(0, 1]`.
    pub fraction: f64,
    /// The minimum number of clients that train in a round.
    pub min_clients: usize,
    /// Seconds to wait for replies in a round; by default, the server waits for all clients.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub deadline: Option<f64>,
    /// The minimum number of accepted replies.
    pub quorum: usize,
    /// The consequence of fewer replies: `fail`, `retry` or `skip`.
    pub below_quorum: BelowQuorum,
    /// Number of times that `retry` repeats a round before the run fails.
    pub retries: usize,
    /// The largest accepted L2 norm of an update; see [`RoundPolicy::max_update_norm`].
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_update_norm: Option<f64>,
    /// Compression of clients' replies.
    #[serde(skip_serializing_if = "Codec::is_lossless")]
    pub upload: Codec,
    /// Compression of the model sent to clients; the server keeps its own in full precision (FedLPP).
    #[serde(skip_serializing_if = "Codec::is_lossless")]
    pub download: Codec,
    /// Whether clients add the error of the last compression to their next update. By default they do if the
    /// coordinates of an update keep their meaning from round to round.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error_feedback: Option<bool>,
    /// Differential privacy.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub privacy: Option<PrivacyConfig>,
    /// Secure aggregation: replies are masked, so that the server learns their sum and no single one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub secure: Option<SecureConfig>,
    /// Threads that run clients: 0 for one per processor. Affects the time, never the result.
    pub threads: usize,
    /// Also test each client's own adapters after it trained.
    pub evaluate_local: bool,
    /// Where idle clients store their optimizers. Affects memory and time, never the result.
    #[serde(skip_serializing_if = "ClientState::is_auto")]
    pub client_state: ClientState,
}

impl Default for FederationConfig {
    fn default() -> Self {
        let policy = RoundPolicy::default();
        Self {
            strategy: StrategyConfig::default(),
            participants: Participants::All,
            selection: SelectionConfig::default(),
            fraction: 1.0,
            min_clients: 1,
            deadline: policy.deadline,
            quorum: policy.quorum,
            below_quorum: policy.below_quorum,
            retries: policy.retries,
            max_update_norm: policy.max_update_norm,
            upload: Codec::F32,
            download: Codec::F32,
            error_feedback: None,
            privacy: None,
            secure: None,
            threads: 0,
            evaluate_local: true,
            client_state: ClientState::Auto,
        }
    }
}

impl FederationConfig {
    /// The constant share of the clients for a [`selection`](Self::selection) by `fraction`.
    pub fn selector(&self) -> ClientSelector {
        ClientSelector { fraction: self.fraction, min_clients: self.min_clients }
    }

    /// The selection of clients in a round.
    pub fn selection(&self) -> Box<dyn Selection> {
        self.selection.selection(self.selector())
    }

    /// The round policy. If a strategy needs several replies, the quorum is at least their number.
    pub fn policy(&self) -> RoundPolicy {
        let &Self { deadline, below_quorum, retries, .. } = self;
        // Whether an update is rejected must not depend on other updates, and it is clipped anyway.
        let max_update_norm = match self.privacy {
            Some(PrivacyConfig::Central(_)) => Some(f64::MAX),
            // Noise may have any norm.
            Some(PrivacyConfig::Local(_)) => self.max_update_norm.or(Some(f64::MAX)),
            _ => self.max_update_norm,
        };
        let quorum = match self.quorum {
            // A wrong element type is refused by any strategy.
            0 => 0,
            quorum => quorum.max(self.strategy.fewest()),
        };
        RoundPolicy { deadline, quorum, below_quorum, retries, max_update_norm }
    }

    /// Whether clients add the error of the last compression to their next update.
    pub(crate) fn has_feedback(&self) -> bool {
        self.error_feedback.unwrap_or(self.strategy.keeps_coordinates())
    }

    /// The part of the trained parameters that is sent.
    pub fn share(&self) -> Share {
        match self.participants {
            Participants::LocalOnly => Share::Nothing,
            _ => match self.strategy.shares() {
                Some(part) => Share::Matching(vec![part.to_owned()]),
                None => Share::All,
            },
        }
    }
}

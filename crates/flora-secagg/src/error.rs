use thiserror::Error;

use crate::{ClientId, Stage};

/// Errors of setups, clients and servers.
#[derive(Debug, Clone, PartialEq, Error)]
#[non_exhaustive]
pub enum SecaggError {
    /// An invalid setting.
    #[error("{field}: {problem}")]
    Setting {
        /// The setting's name.
        field: &'static str,
        /// The problem, and the valid range.
        problem: String,
    },
    /// A setup that this client's policy refuses.
    #[error("the setup is refused: {0}")]
    Policy(String),
    /// A setup that, according to the client's own memory, is not for a later attempt.
    #[error("{session} is refused: {problem}")]
    Past {
        /// The attempt that was offered.
        session: String,
        /// The conflict with the last attempt.
        problem: String,
    },
    /// A value of an update outside the range, or one that is not a number.
    #[error(
        "lane {lane}: the value is {value}, and the range is [-{range}, {range}]; widen the range or scale \
         the update"
    )]
    Range {
        /// The position in the update, from zero.
        lane: usize,
        /// The value; after the rotation, if updates are rotated.
        value: f64,
        /// The largest magnitude that fits.
        range: f64,
    },
    /// An update with a larger norm than the setup allows.
    #[error(
        "the update has a norm of {norm}, and {most} is the most; raise the norm or scale the update"
    )]
    Norm {
        /// The L2 norm.
        norm: f64,
        /// The largest that fits.
        most: f64,
    },
    /// An update of the wrong length.
    #[error("the update has {found} values; the setup expects {expected}")]
    Length {
        /// Values in the setup.
        expected: usize,
        /// Values in the update.
        found: usize,
    },
    /// A weight above the largest.
    #[error("the weight is {weight}, more than the maximum of {most}")]
    Weight {
        /// The client's weight.
        weight: u64,
        /// The setup's `max_weight`.
        most: u64,
    },
    /// A step out of order, or a repeated step.
    #[error("a message of the stage \"{found}\" arrived in the stage \"{expected}\"")]
    Stage {
        /// The stage that the receiver is in.
        expected: Stage,
        /// The stage that the message belongs to.
        found: Stage,
    },
    /// A client's message is refused, on its way to the server or relayed by it.
    #[error("client {client}, stage \"{stage}\": {fault}")]
    Peer {
        /// The sender.
        client: ClientId,
        /// The stage it belongs to.
        stage: Stage,
        /// The problem.
        fault: Fault,
    },
    /// A request of the server is refused.
    #[error("the server, stage \"{stage}\": {fault}")]
    Server {
        /// The stage it belongs to.
        stage: Stage,
        /// The problem.
        fault: Fault,
    },
    /// Too few clients are left; the sum stays hidden.
    #[error(
        "stage \"{stage}\": {found} of the {needed} clients needed{}; missing: {}",
        about.map(|client| format!(" for client {client}")).unwrap_or_default(),
        listed(missing)
    )]
    TooFew {
        /// The stage that ended.
        stage: Stage,
        /// The client whose secrets cannot be opened, or none if the whole sum has too few clients.
        about: Option<ClientId>,
        /// How many are left.
        found: usize,
        /// How many are needed.
        needed: usize,
        /// The clients that did not answer.
        missing: Vec<ClientId>,
    },
    /// The sum cannot come from honest lanes: a client sent a vector that is not its lanes and masks.
    #[error(
        "lane {lane} of the sum is {value}, and {clients} clients reach {most} at most: a masked vector was wrong"
    )]
    Sum {
        /// The position; the last lane is the weight.
        lane: usize,
        /// The sum found there.
        value: u32,
        /// Clients in the sum.
        clients: usize,
        /// The largest sum that this number of clients can reach.
        most: u64,
    },
    /// All weights are zero, so there is no mean.
    #[error("the total weight is zero: there is no mean")]
    NoWeight,
    /// Bytes that are not a message or a saved state.
    #[error("{what}: {problem}")]
    Bytes {
        /// The expected kind of data.
        what: &'static str,
        /// The problem.
        problem: String,
    },
    /// The operating system provides no random bytes.
    #[error("the operating system's random generator failed: {0}")]
    Random(String),
}

/// The problem with a message.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum Fault {
    /// The message belongs to another run, round, attempt or setup.
    #[error("it belongs to {found}, but this is {expected}")]
    Session {
        /// Where it belongs.
        found: String,
        /// Where it arrived.
        expected: String,
    },
    /// The message was sent by one client under the name of another.
    #[error("it names client {0} as its sender")]
    Sender(ClientId),
    /// The message is for another client.
    #[error("it is addressed to client {0}")]
    Receiver(ClientId),
    /// Not in the roster, or not in the directory of identities.
    #[error("this client is unknown")]
    Unknown,
    /// In the roster, but not one of the neighbours.
    #[error("it is not a neighbour of client {0}")]
    Stranger(ClientId),
    /// A second message of one stage, or one client listed twice.
    #[error("it arrived twice")]
    Twice,
    /// An identity key other than the known one.
    #[error("its identity key is not the known one")]
    Identity,
    /// A signature that the identity key did not make.
    #[error("its signature does not verify")]
    Signature,
    /// A signature that is not by the identity key, or not of the receiver's set of survivors and task.
    #[error(
        "it did not sign this client's survivors and task: the server sent clients different models, settings or sets \
         of survivors, or the signature is forged"
    )]
    Task,
    /// A public key that another client uses, or that the client also uses for its other purpose.
    #[error("it shares a public key with client {0}")]
    SharedKey(ClientId),
    /// A public key of small order: the agreed secret would be known to everybody.
    #[error("its public key is of small order")]
    WeakKey,
    /// A bundle that does not open.
    #[error("its bundle for client {0} does not open: tampered, replayed, or sealed for another")]
    Sealed(ClientId),
    /// A share that is not the one its dealer committed to.
    #[error("the share of client {dealer}'s secret is not the one that was committed to")]
    Share {
        /// The client that dealt the share.
        dealer: ClientId,
    },
    /// Shares that match their commitments but give another secret: the dealer dealt wrong shares.
    #[error("the shares it dealt do not give the secret it committed to")]
    Dealt,
    /// Not the list of clients that was asked for.
    #[error("it names the wrong clients: {0}")]
    Clients(String),
    /// A reply of a client that did not answer in the stage before.
    #[error("it was not asked, because it dropped out earlier")]
    Unasked,
    /// A set of survivors, or a number of lanes, of the wrong size or form.
    #[error("{0}")]
    Form(String),
    /// A second, different request to open shares.
    #[error("shares were already opened for another request, and only one request is answered")]
    Replay,
}

fn listed(clients: &[ClientId]) -> String {
    match clients {
        [] => "nobody".to_owned(),
        _ => clients.iter().map(ToString::to_string).collect::<Vec<_>>().join(", "),
    }
}

impl SecaggError {
    pub(crate) fn setting(field: &'static str, problem: impl Into<String>) -> Self {
        Self::Setting { field, problem: problem.into() }
    }

    pub(crate) fn peer(client: ClientId, stage: Stage, fault: Fault) -> Self {
        Self::Peer { client, stage, fault }
    }
}

/// Shorthand for results of this crate.
pub type Result<T, E = SecaggError> = std::result::Result<T, E>;

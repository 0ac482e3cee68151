//! The client: one reply to each request.

#[cfg(test)]
mod dealer;
mod stages;
mod state;

use std::collections::BTreeMap;

use ed25519_dalek::{SigningKey, VerifyingKey};
use rand_chacha::rand_core::CryptoRng;

use crate::{
    Answer, Ask, ClientId, Directory, Fault, Opening, Policy, PublicKeys, Request, Response,
    Result, SecaggError, Setup, Stage, Survivors, Tag,
    crypto::{Digest, Key},
    secrets::Secrets,
};

/// A client's contribution.
#[derive(Debug, Clone, Copy)]
pub struct Update<'a> {
    /// The update, with the setup's number of values.
    pub values: &'a [f32],
    /// Its weight in the mean, usually the number of examples.
    pub weight: u64,
    /// A digest of the task: of everything that the server sent and that the update depends on, such as the model. It
    /// must be the same for all clients. Masks cancel only between clients with the same digest, so a server that
    /// sends clients different models gets no sum.
    pub task: [u8; 32],
}

/// One client in one attempt.
pub struct Client {
    setup: Setup,
    id: ClientId,
    identity: SigningKey,
    directory: Directory,
    neighbours: Vec<ClientId>,
    state: State,
}

/// The data for later stages. Everything else is erased.
enum State {
    Fresh,
    Advertised { secrets: Secrets, keys: PublicKeys },
    Dealt { seed: Key, own: Opening, peers: BTreeMap<ClientId, Peer> },
    Masked { own: Opening, held: BTreeMap<ClientId, Held>, task: Digest },
    Signed { own: Opening, held: BTreeMap<ClientId, Held>, task: Digest, survivors: Survivors },
    Done { request: Digest, openings: Vec<Opening> },
}

/// A neighbour whose keys arrived.
struct Peer {
    identity: VerifyingKey,
    /// From which the mask of both follows, if both have the same task.
    pair: Key,
    /// Of the bundle that comes from it.
    incoming: Key,
}

/// A neighbour whose bundle arrived.
struct Held {
    identity: VerifyingKey,
    /// The share of its seed.
    seed: Opening,
    /// The share of its mask key.
    key: Opening,
}

impl State {
    /// The stage of the next reply.
    fn stage(&self) -> Stage {
        match self {
            Self::Fresh => Stage::Keys,
            Self::Advertised { .. } => Stage::Shares,
            Self::Dealt { .. } => Stage::Masked,
            Self::Masked { .. } => Stage::Signed,
            Self::Signed { .. } => Stage::Opened,
            Self::Done { .. } => Stage::Over,
        }
    }
}

impl Client {
    /// A client for one attempt. `identity` is its long-term key.
    ///
    /// # Errors
    ///
    /// A setup that `policy` refuses or that does not name `id`, and a directory that has another key for `id`.
    pub fn new(
        setup: Setup,
        id: ClientId,
        identity: SigningKey,
        directory: Directory,
        policy: &Policy,
    ) -> Result<Self> {
        policy.check(&setup)?;
        let fault = |fault| Err(SecaggError::peer(id, Stage::Keys, fault));
        if setup.position(id).is_none() {
            return fault(Fault::Unknown);
        }
        if directory.keys().get(&id).is_some_and(|known| *known != identity.verifying_key()) {
            return fault(Fault::Identity);
        }
        let neighbours = setup.neighbours(id);
        Ok(Self { setup, id, identity, directory, neighbours, state: State::Fresh })
    }

    /// Answers `request`. `update` is needed for [`Ask::Bundles`] and ignored otherwise.
    ///
    /// An error leaves the client unchanged, so that a correct request or update can follow. Each reply moves it to
    /// the next stage. Only the last request may be repeated; the same one gets the same reply.
    ///
    /// [Save](Self::save) the state **before the reply is sent**. A client that is restored to an earlier state could
    /// answer a second, different request, and two vectors under the same masks reveal their difference.
    ///
    /// # Errors
    ///
    /// An invalid request, with the client it is about.
    pub fn answer(
        &mut self,
        request: &Request,
        update: Option<Update<'_>>,
        rng: &mut impl CryptoRng,
    ) -> Result<Response> {
        let found = request.body.stage();
        let refuse = |fault| Err(SecaggError::Server { stage: found, fault });
        let tag = Tag::of(&self.setup);
        if request.tag != tag {
            return refuse(Fault::Session {
                found: request.tag.to_string(),
                expected: tag.to_string(),
            });
        }
        if request.to != self.id {
            return refuse(Fault::Receiver(request.to));
        }
        let expected = self.stage();
        let again = expected == Stage::Over && found == Stage::Opened;
        if found != expected && !again {
            return Err(SecaggError::Stage { expected, found });
        }
        let body = match &request.body {
            Ask::Setup(setup) => Answer::Keys(self.advertise(setup, rng)?),
            Ask::Keys(keys) => Answer::Shares(self.deal(keys, rng)?),
            Ask::Bundles(bundles) => {
                let update = update.ok_or_else(|| {
                    SecaggError::setting("update", "it is asked for and was not given")
                })?;
                self.mask(bundles, update, rng)?
            }
            Ask::Survivors(survivors) => Answer::Signed(self.sign(survivors)?),
            Ask::Signatures(signatures) => Answer::Opened(self.open(signatures)?),
        };
        Ok(Response { tag, from: self.id, body })
    }

    /// The stage of the next reply.
    pub fn stage(&self) -> Stage {
        self.state.stage()
    }

    /// This client's number.
    pub fn id(&self) -> ClientId {
        self.id
    }

    /// The setup.
    pub fn setup(&self) -> &Setup {
        &self.setup
    }

    /// The identity keys, including those first seen in this attempt.
    pub fn directory(&self) -> &Directory {
        &self.directory
    }

    fn peer(&self, client: ClientId, fault: Fault) -> SecaggError {
        SecaggError::peer(client, self.stage(), fault)
    }

    fn server(&self, fault: Fault) -> SecaggError {
        SecaggError::Server { stage: self.stage(), fault }
    }

    /// Checks that a list is of neighbours, each once and in order. `last` is the one before.
    fn in_order(&self, last: &mut Option<ClientId>, client: ClientId) -> Result<()> {
        if self.neighbours.binary_search(&client).is_err() {
            let unknown = self.setup.position(client).is_none();
            return Err(
                self.peer(client, if unknown { Fault::Unknown } else { Fault::Stranger(self.id) })
            );
        }
        match last.replace(client) {
            Some(before) if before == client => Err(self.peer(client, Fault::Twice)),
            Some(before) if before > client => {
                Err(self.server(Fault::Clients(format!("{client} after {before}"))))
            }
            _ => Ok(()),
        }
    }

    /// Checks that the neighbours in `there` and the client itself are enough to open a secret.
    fn enough(&self, there: impl Fn(ClientId) -> bool) -> Result<()> {
        let (found, missing): (Vec<_>, Vec<_>) =
            self.neighbours.iter().partition(|client| there(**client));
        match found.len() + 1 < self.setup.threshold() {
            true => Err(SecaggError::TooFew {
                stage: self.stage(),
                about: Some(self.id),
                found: found.len() + 1,
                needed: self.setup.threshold(),
                missing,
            }),
            false => Ok(()),
        }
    }
}

use std::collections::BTreeMap;

use ed25519_dalek::{SigningKey, VerifyingKey};

use crate::{
    ClientId, Fault, PublicKeys, Setup, Survivors,
    crypto::{self, Digest, Signed},
    secrets,
};

/// The identity keys of the clients. A server that can choose them can place itself between all clients, so they should
/// come from elsewhere: out of band, or from an authority.
#[derive(Debug, Clone, PartialEq)]
pub enum Directory {
    /// Only these keys are accepted; a client without one is refused.
    Known(BTreeMap<ClientId, VerifyingKey>),
    /// A client without a known key is identified by the key that it sends first; keep
    /// [`Client::directory`](crate::Client::directory) for the rounds to come. **The server is trusted once**: in the
    /// first round in which it names a client, it can send a key of its own, and from then on impersonate that client.
    /// It cannot do so later.
    FirstUse(BTreeMap<ClientId, VerifyingKey>),
}

impl Directory {
    /// The known keys.
    pub fn keys(&self) -> &BTreeMap<ClientId, VerifyingKey> {
        match self {
            Self::Known(keys) | Self::FirstUse(keys) => keys,
        }
    }

    /// The identity that these keys must be [signed](PublicKeys::by) by.
    pub(crate) fn identity(&self, keys: &PublicKeys) -> Result<VerifyingKey, Fault> {
        match self.keys().get(&keys.client) {
            Some(known) if known.to_bytes() == keys.identity => Ok(*known),
            Some(_) => Err(Fault::Identity),
            None if matches!(self, Self::Known(_)) => Err(Fault::Unknown),
            None => VerifyingKey::from_bytes(&keys.identity).map_err(|_| Fault::Identity),
        }
    }

    /// Keeps an identity whose signature was verified.
    pub(crate) fn pin(&mut self, client: ClientId, identity: VerifyingKey) {
        if let Self::FirstUse(keys) = self {
            keys.entry(client).or_insert(identity);
        }
    }
}

/// The label of a signature of public keys.
const KEYS: &str = "keys";

impl PublicKeys {
    /// Signs both keys for this setup.
    pub(crate) fn sign(&mut self, identity: &SigningKey, setup: &Digest) {
        self.signature = crypto::sign(
            identity,
            KEYS,
            setup,
            &[&secrets::number(self.client), &self.mask, &self.sealing],
        );
    }

    /// Their signature, which should be by this identity.
    pub(crate) fn by(&self, identity: VerifyingKey, setup: &Digest) -> Signed {
        let parts: [&[u8]; 3] = [&secrets::number(self.client), &self.mask, &self.sealing];
        Signed::new(identity, KEYS, setup, &parts, &self.signature)
    }

    /// Whether the client signed this set and this task.
    pub(crate) fn signed(
        &self,
        setup: &Setup,
        task: &Digest,
        survivors: &Survivors,
        signature: &[u8; 64],
    ) -> bool {
        let Ok(identity) = VerifyingKey::from_bytes(&self.identity) else { return false };
        survivors.signed_by(self.client, identity, (setup, task), signature).verifies()
    }
}

/// The label of a signature of survivors and a task.
const SURVIVORS: &str = "survivors of a task";

impl Survivors {
    /// The client's signature: this is the set that it was shown in this setup, and the task that it trained on.
    pub(crate) fn sign(
        &self,
        client: ClientId,
        identity: &SigningKey,
        (setup, task): (&Setup, &Digest),
    ) -> [u8; 64] {
        let parts: [&[u8]; 3] = [&secrets::number(client), task, &self.0];
        crypto::sign(identity, SURVIVORS, setup.digest(), &parts)
    }

    /// A client's signature of this set and this task, which should be by this identity.
    pub(crate) fn signed_by(
        &self,
        client: ClientId,
        identity: VerifyingKey,
        (setup, task): (&Setup, &Digest),
        signature: &[u8; 64],
    ) -> Signed {
        let parts: [&[u8]; 3] = [&secrets::number(client), task, &self.0];
        Signed::new(identity, SURVIVORS, setup.digest(), &parts, signature)
    }
}

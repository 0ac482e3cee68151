use std::collections::BTreeMap;

use ed25519_dalek::{SigningKey, VerifyingKey};

use crate::{
    ClientId, Fault, PublicKeys, Setup, Survivors,
    crypto::{self, Digest},
    secrets,
};

/// The identity keys of the clients. A server that can choose them can stand between all clients, so they should come
/// from elsewhere: out of band, or from an authority.
#[derive(Debug, Clone, PartialEq)]
pub enum Directory {
    /// Only these keys count, and a client without one is refused.
    Known(BTreeMap<ClientId, VerifyingKey>),
    /// A client without a key gets the one that it shows first; keep [`Client::directory`](crate::Client::directory)
    /// for the rounds to come. **The server is trusted once**: it can show a key of its own in the first round in
    /// which it names a client, and from then on that client is not who it seems. It cannot do so later.
    FirstUse(BTreeMap<ClientId, VerifyingKey>),
}

impl Directory {
    /// The known keys.
    pub fn keys(&self) -> &BTreeMap<ClientId, VerifyingKey> {
        match self {
            Self::Known(keys) | Self::FirstUse(keys) => keys,
        }
    }

    /// The client's identity, if these keys are signed by it.
    pub(crate) fn verified(
        &self,
        setup: &Digest,
        keys: &PublicKeys,
    ) -> Result<VerifyingKey, Fault> {
        let identity = match self.keys().get(&keys.client) {
            Some(known) if known.to_bytes() == keys.identity => *known,
            Some(_) => return Err(Fault::Identity),
            None if matches!(self, Self::Known(_)) => return Err(Fault::Unknown),
            None => VerifyingKey::from_bytes(&keys.identity).map_err(|_| Fault::Identity)?,
        };
        let parts: [&[u8]; 3] = [&secrets::number(keys.client), &keys.mask, &keys.sealing];
        match crypto::verify(&identity, KEYS, setup, &parts, &keys.signature) {
            true => Ok(identity),
            false => Err(Fault::Signature),
        }
    }

    /// Keeps the identity of one that was [`verified`](Self::verified).
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

    /// Whether the client signed this set.
    pub(crate) fn signed(
        &self,
        setup: &Setup,
        survivors: &Survivors,
        signature: &[u8; 64],
    ) -> bool {
        let Ok(identity) = VerifyingKey::from_bytes(&self.identity) else { return false };
        survivors.signed_by(self.client, &identity, setup, signature)
    }
}

/// The label of a signature of survivors.
const SURVIVORS: &str = "survivors";

impl Survivors {
    /// The client's signature: this is the set that it was shown in this setup.
    pub(crate) fn sign(&self, client: ClientId, identity: &SigningKey, setup: &Setup) -> [u8; 64] {
        crypto::sign(identity, SURVIVORS, setup.digest(), &[&secrets::number(client), &self.0])
    }

    pub(crate) fn signed_by(
        &self,
        client: ClientId,
        identity: &VerifyingKey,
        setup: &Setup,
        signature: &[u8; 64],
    ) -> bool {
        crypto::verify(
            identity,
            SURVIVORS,
            setup.digest(),
            &[&secrets::number(client), &self.0],
            signature,
        )
    }
}

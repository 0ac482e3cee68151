use std::{collections::BTreeMap, mem};

use curve25519_dalek::Scalar;
use ed25519_dalek::VerifyingKey;
use rand_chacha::rand_core::CryptoRng;
use zeroize::Zeroizing;

use super::{Client, Held, Peer, State, Update};
use crate::{
    Answer, Bundle, ClientId, Fault, Opening, PublicKeys, Result, SecaggError, Setup, Shares,
    Survivors,
    crypto::{self, Sign, Signed},
    message::SEALED,
    secrets::{self, End, Kind, Secrets},
    shamir,
};

impl Client {
    /// Stage 0: two fresh keys, signed.
    pub(super) fn advertise(
        &mut self,
        setup: &Setup,
        rng: &mut impl CryptoRng,
    ) -> Result<PublicKeys> {
        if *setup != self.setup {
            return Err(self.server(Fault::Form("another setup than the client has".into())));
        }
        let secrets = Secrets::random(rng);
        let mut keys = PublicKeys {
            client: self.id,
            identity: self.identity.verifying_key().to_bytes(),
            mask: secrets::public(&secrets::mask_key(&secrets.mask, self.setup.digest(), self.id)),
            sealing: secrets::public(&secrets.sealing),
            signature: [0; 64],
        };
        keys.sign(&self.identity, self.setup.digest());
        self.state = State::Advertised { secrets, keys: keys.clone() };
        Ok(keys)
    }

    /// The neighbours' identities, if all keys are signed by them and no key is there twice.
    fn identities(&self, own: &PublicKeys, all: &[PublicKeys]) -> Result<Vec<VerifyingKey>> {
        let mut last = None;
        let identities = all.iter().map(|keys| {
            self.in_order(&mut last, keys.client)?;
            self.directory.identity(keys).map_err(|fault| self.peer(keys.client, fault))
        });
        let identities = identities.collect::<Result<Vec<_>>>()?;
        let digest = self.setup.digest();
        let signed: Vec<Signed> = all
            .iter()
            .zip(&identities)
            .map(|(keys, identity)| keys.by(*identity, digest))
            .collect();
        if let Some(wrong) = crypto::first_wrong(&signed) {
            return Err(self.peer(all[wrong].client, Fault::Signature));
        }
        let mut seen = BTreeMap::from([(own.mask, self.id), (own.sealing, self.id)]);
        for keys in all {
            for key in [keys.mask, keys.sealing] {
                if let Some(other) = seen.insert(key, keys.client) {
                    return Err(self.peer(keys.client, Fault::SharedKey(other)));
                }
            }
        }
        self.enough(|client| all.binary_search_by_key(&client, |keys| keys.client).is_ok())?;
        Ok(identities)
    }

    /// Stage 1: shares of both secrets for each neighbour, sealed.
    pub(super) fn deal(&mut self, all: &[PublicKeys], rng: &mut impl CryptoRng) -> Result<Shares> {
        let State::Advertised { secrets, keys: own } = &self.state else {
            unreachable!("the stage was checked")
        };
        let (digest, id) = (self.setup.digest(), self.id);
        let identities = self.identities(own, all)?;
        let points: Vec<u64> = all
            .iter()
            .map(|keys| keys.client)
            .chain([id])
            .map(|client| self.setup.point(client))
            .collect();
        let seeds = shamir::deal(&secrets.seed, self.setup.threshold(), &points, rng);
        // The last point is its own, for the seed alone: one that drops out does not answer.
        let keys = shamir::deal(&secrets.mask, self.setup.threshold(), &points[..all.len()], rng);
        let mask_key = secrets::mask_key(&secrets.mask, digest, id);
        let mut blind = || -> [u8; 16] {
            let mut bytes = [0; 16];
            rng.fill_bytes(&mut bytes);
            bytes
        };
        let mut peers = BTreeMap::new();
        let mut bundles = Vec::with_capacity(all.len());
        for (i, (theirs, identity)) in all.iter().zip(identities).enumerate() {
            let to = theirs.client;
            let weak = || self.peer(to, Fault::WeakKey);
            let pair =
                secrets::pair_key(&mask_key, End(id, &own.mask), End(to, &theirs.mask), digest);
            let both = [End(id, &own.sealing), End(to, &theirs.sealing)];
            let sealing = secrets::sealing_keys(&secrets.sealing, both[0], both[1], digest);
            let (pair, [outgoing, incoming]) = (pair.ok_or_else(weak)?, sealing.ok_or_else(weak)?);
            let opened = [(Kind::Seed, &seeds[i]), (Kind::Key, &keys[i])].map(|(kind, share)| {
                let blind = blind();
                (
                    share.as_bytes(),
                    blind,
                    secrets::share_commitment(digest, kind, [id, to], share.as_bytes(), &blind),
                )
            });
            let [(seed_share, seed_blind, seed), (key_share, key_blind, key)] = &opened;
            let plain =
                Zeroizing::new([&seed_share[..], seed_blind, &key_share[..], key_blind].concat());
            let mut nonce = [0; 12];
            nonce.copy_from_slice(&blind()[..12]);
            let sealed = crypto::seal(
                &outgoing,
                &nonce,
                &secrets::bound(digest, id, to, [seed, key]),
                &plain,
            );
            let sealed: [u8; SEALED] = sealed.try_into().expect("of that length");
            bundles.push(Bundle { peer: to, nonce, sealed, seed: *seed, key: *key });
            peers.insert(to, Peer { identity, pair, incoming });
        }
        let own = Opening { dealer: id, share: seeds[all.len()].to_bytes(), blind: blind() };
        let shares = Shares {
            seed: secrets::seed_commitment(digest, id, &secrets.seed),
            own: own.commitment(&self.setup, Kind::Seed, id),
            bundles,
        };
        let seed = secrets::seed_key(&secrets.seed, digest, id);
        peers.iter().for_each(|(client, peer)| self.directory.pin(*client, peer.identity));
        self.state = State::Dealt { seed, own, peers };
        Ok(shares)
    }

    /// Opens a bundle and checks both shares against their commitments.
    fn opened(&self, bundle: &Bundle, peer: &Peer) -> Result<Held> {
        let (digest, dealer) = (self.setup.digest(), bundle.peer);
        let bound = secrets::bound(digest, dealer, self.id, [&bundle.seed, &bundle.key]);
        let plain = crypto::open(&peer.incoming, &bundle.nonce, &bound, &bundle.sealed)
            .ok_or_else(|| self.peer(dealer, Fault::Sealed(self.id)))?;
        let part = |bytes: &[u8]| Opening {
            dealer,
            share: bytes[..32].try_into().expect("32 bytes"),
            blind: bytes[32..48].try_into().expect("16 bytes"),
        };
        let (seed, key) = (part(&plain[..48]), part(&plain[48..]));
        for (opening, kind, commitment) in
            [(&seed, Kind::Seed, bundle.seed), (&key, Kind::Key, bundle.key)]
        {
            if opening.commitment(&self.setup, kind, self.id) != commitment
                || opening.scalar().is_none()
            {
                return Err(self.peer(dealer, Fault::Share { dealer }));
            }
        }
        Ok(Held { identity: peer.identity, seed, key })
    }

    /// Stage 2: the lanes, masked with every neighbour whose bundle arrived, and with the self mask. `rng` is used for
    /// rounding only; [`Secure`](crate::Secure) relies on this.
    pub(super) fn mask(
        &mut self,
        bundles: &[Bundle],
        update: Update<'_>,
        rng: &mut impl CryptoRng,
    ) -> Result<Answer> {
        let State::Dealt { seed, own, peers } = &self.state else {
            unreachable!("the stage was checked")
        };
        let (expected, found) = (self.setup.length(), update.values.len());
        if expected != found {
            return Err(SecaggError::Length { expected, found });
        }
        let (rotation, layout) = (self.setup.rotation(), self.setup.layout());
        let grid = self.setup.grid();
        let mut lanes = grid.encode(update.values, update.weight, rotation.as_ref(), rng)?;
        let mut held = BTreeMap::new();
        let mut last = None;
        for bundle in bundles {
            self.in_order(&mut last, bundle.peer)?;
            // A neighbour that was not there when keys were shown has no mask with this client.
            let peer =
                peers.get(&bundle.peer).ok_or_else(|| self.peer(bundle.peer, Fault::Unknown))?;
            held.insert(bundle.peer, self.opened(bundle, peer)?);
        }
        self.enough(|client| held.contains_key(&client))?;
        let (digest, task) = (self.setup.digest(), update.task);
        crypto::mask_lanes(&mut lanes, layout.as_ref(), seed, Sign::Plus);
        for client in held.keys() {
            let sign = if *client > self.id { Sign::Plus } else { Sign::Minus };
            let key = secrets::pair_mask(&peers[client].pair, digest, &task);
            crypto::mask_lanes(&mut lanes, layout.as_ref(), &key, sign);
        }
        self.state = State::Masked { own: own.clone(), held, task };
        Ok(match layout {
            Some(layout) => Answer::Packed { task, lanes: layout.pack(&lanes) },
            None => Answer::Masked { task, lanes },
        })
    }

    /// Stage 3: the set of survivors, signed with the task, if it hides this client's update well enough.
    pub(super) fn sign(&mut self, survivors: &Survivors) -> Result<[u8; 64]> {
        let State::Masked { held, task, .. } = &self.state else {
            unreachable!("the stage was checked")
        };
        let inside =
            |client: ClientId| self.setup.position(client).is_some_and(|i| survivors.contains(i));
        if !survivors.fits(self.setup.clients().len()) {
            return Err(self.server(Fault::Form(
                "the set of survivors is not one of the setup's clients".into(),
            )));
        }
        if !inside(self.id) {
            return Err(self.server(Fault::Clients(format!(
                "client {} masked, and is not among them",
                self.id
            ))));
        }
        if let Some(client) =
            self.neighbours.iter().find(|client| inside(**client) && !held.contains_key(client))
        {
            return Err(self.server(Fault::Clients(format!(
                "client {client} survives, and its bundle never came"
            ))));
        }
        let (found, needed) = (survivors.count(), self.setup.minimum());
        if found < needed {
            let missing =
                self.setup.clients().iter().copied().filter(|client| !inside(*client)).collect();
            return Err(SecaggError::TooFew {
                stage: self.stage(),
                about: None,
                found,
                needed,
                missing,
            });
        }
        self.enough(inside)?;
        let signature = survivors.sign(self.id, &self.identity, (&self.setup, task));
        let State::Masked { own, held, task } = mem::replace(&mut self.state, State::Fresh) else {
            unreachable!()
        };
        self.state = State::Signed { own, held, task, survivors: survivors.clone() };
        Ok(signature)
    }

    /// Stage 4: the shares that remove the masks, if enough neighbours signed the same set and the same task.
    pub(super) fn open(&mut self, signatures: &[(ClientId, [u8; 64])]) -> Result<Vec<Opening>> {
        let asked: Vec<[u8; 8]> =
            signatures.iter().map(|(client, _)| secrets::number(*client)).collect();
        let parts: Vec<&[u8]> =
            asked.iter().zip(signatures).flat_map(|(id, (_, s))| [&id[..], &s[..]]).collect();
        let asked = crypto::hash("request", &parts);
        let (own, held, task, survivors) = match &self.state {
            State::Done { request, openings } if *request == asked => return Ok(openings.clone()),
            State::Done { .. } => return Err(self.server(Fault::Replay)),
            State::Signed { own, held, task, survivors } => (own, held, task, survivors),
            _ => unreachable!("the stage was checked"),
        };
        let inside = |client: ClientId| survivors.contains(self.setup.point(client) as usize - 1);
        let (mut last, mut signed) = (None, Vec::with_capacity(signatures.len()));
        for (client, signature) in signatures {
            self.in_order(&mut last, *client)?;
            let Some(peer) = held.get(client).filter(|_| inside(*client)) else {
                return Err(self
                    .server(Fault::Clients(format!("client {client} signs, and is no survivor"))));
            };
            let of = (&self.setup, task);
            signed.push(survivors.signed_by(*client, peer.identity, of, signature));
        }
        if let Some(wrong) = crypto::first_wrong(&signed) {
            return Err(self.peer(signatures[wrong].0, Fault::Task));
        }
        self.enough(|client| {
            signatures.binary_search_by_key(&client, |(client, _)| *client).is_ok()
        })?;
        let mut openings: Vec<Opening> = held
            .iter()
            .map(|(client, held)| if inside(*client) { &held.seed } else { &held.key })
            .chain([own])
            .cloned()
            .collect();
        openings.sort_unstable_by_key(|opening| opening.dealer);
        self.state = State::Done { request: asked, openings: openings.clone() };
        Ok(openings)
    }
}

impl Opening {
    pub(crate) fn scalar(&self) -> Option<Scalar> {
        Scalar::from_canonical_bytes(self.share).into_option()
    }

    pub(crate) fn commitment(&self, setup: &Setup, kind: Kind, holder: ClientId) -> [u8; 32] {
        secrets::share_commitment(
            setup.digest(),
            kind,
            [self.dealer, holder],
            &self.share,
            &self.blind,
        )
    }
}

//! A client's secrets, and the keys and commitments derived from them.

use curve25519_dalek::Scalar;
use rand_chacha::rand_core::CryptoRng;
use x25519_dalek::{PublicKey, StaticSecret};
use zeroize::Zeroizing;

use crate::{
    ClientId,
    crypto::{self, Digest, Key},
};

/// The secrets of one attempt.
pub(crate) struct Secrets {
    /// The mask key is derived from it; shared among the neighbours.
    pub(crate) mask: Zeroizing<Scalar>,
    /// The seed of the self mask; shared among the neighbours.
    pub(crate) seed: Zeroizing<Scalar>,
    /// The key that bundles are sealed with.
    pub(crate) sealing: StaticSecret,
}

impl Secrets {
    pub(crate) fn random(rng: &mut impl CryptoRng) -> Self {
        Self {
            mask: Zeroizing::new(Scalar::random(rng)),
            seed: Zeroizing::new(Scalar::random(rng)),
            sealing: StaticSecret::random_from_rng(rng),
        }
    }
}

/// The kind of a dealer's secret.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Seed = 0,
    Key = 1,
}

pub(crate) fn number(client: ClientId) -> [u8; 8] {
    client.0.to_le_bytes()
}

/// The secret half of a client's mask key.
///
/// A hash of the shared scalar, not the scalar itself: X25519 sets bit 254 of its secrets, which a number modulo the
/// group's order does not have.
pub(crate) fn mask_key(secret: &Scalar, setup: &Digest, client: ClientId) -> StaticSecret {
    StaticSecret::from(*crypto::derive(secret.as_bytes(), setup, "mask key", &[&number(client)]))
}

/// The key of a client's self mask.
pub(crate) fn seed_key(seed: &Scalar, setup: &Digest, client: ClientId) -> Key {
    crypto::derive(seed.as_bytes(), setup, "self mask", &[&number(client)])
}

/// A client and one of its public keys.
#[derive(Clone, Copy)]
pub(crate) struct End<'a>(pub(crate) ClientId, pub(crate) &'a [u8; 32]);

/// The key that a pair agrees on, the same from both ends; `None` if the other key is of small order.
pub(crate) fn pair_key(
    secret: &StaticSecret,
    mine: End<'_>,
    theirs: End<'_>,
    setup: &Digest,
) -> Option<Key> {
    let shared = crypto::agree(secret, theirs.1)?;
    let (low, high) = if mine.0 < theirs.0 { (mine, theirs) } else { (theirs, mine) };
    Some(crypto::derive(
        &shared,
        setup,
        "pair mask",
        &[&number(low.0), &number(high.0), low.1, high.1],
    ))
}

/// The key of the mask of a pair in which this end trained on `task`. Ends with different tasks have different masks,
/// which do not cancel.
pub(crate) fn pair_mask(pair: &Key, setup: &Digest, task: &Digest) -> Key {
    crypto::derive(pair, setup, "task mask", &[task])
}

/// The keys with which bundles to and from another client are sealed; `None` if its key is of small order.
pub(crate) fn sealing_keys(
    secret: &StaticSecret,
    mine: End<'_>,
    theirs: End<'_>,
    setup: &Digest,
) -> Option<[Key; 2]> {
    let shared = crypto::agree(secret, theirs.1)?;
    let key = |from: End<'_>, to: End<'_>| {
        crypto::derive(&shared, setup, "bundle", &[&number(from.0), &number(to.0), from.1, to.1])
    };
    Some([key(mine, theirs), key(theirs, mine)])
}

/// The commitment to a share. A share alone is as random as a key; the blinding hides it from anyone who guesses the
/// polynomial of others.
pub(crate) fn share_commitment(
    setup: &Digest,
    kind: Kind,
    [dealer, holder]: [ClientId; 2],
    share: &[u8; 32],
    blind: &[u8; 16],
) -> Digest {
    crypto::hash("share", &[setup, &[kind as u8], &number(dealer), &number(holder), share, blind])
}

/// The commitment to a seed, which has 252 random bits and needs no blinding.
pub(crate) fn seed_commitment(setup: &Digest, dealer: ClientId, seed: &Scalar) -> Digest {
    crypto::hash("seed", &[setup, &number(dealer), seed.as_bytes()])
}

/// The associated data of a bundle: setup, sender, receiver, and the commitments that travel in the clear.
pub(crate) fn bound(
    setup: &Digest,
    from: ClientId,
    to: ClientId,
    commitments: [&Digest; 2],
) -> Vec<u8> {
    [&setup[..], &number(from), &number(to), commitments[0], commitments[1]].concat()
}

/// The public half of an X25519 key.
pub(crate) fn public(secret: &StaticSecret) -> [u8; 32] {
    PublicKey::from(secret).to_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand_chacha::{ChaCha20Rng, rand_core::SeedableRng};
    use std::collections::BTreeSet;

    #[test]
    fn pairs_agree_and_every_key_has_one_purpose_one_direction_and_one_setup() {
        let mut rng = ChaCha20Rng::seed_from_u64(1);
        let secrets: Vec<Secrets> = (0..3).map(|_| Secrets::random(&mut rng)).collect();
        let mut seen = BTreeSet::new();
        for setup in [[1; 32], [2; 32]] {
            let id = |i: usize| ClientId(i as u64);
            let keys: Vec<StaticSecret> =
                (0..3).map(|i| mask_key(&secrets[i].mask, &setup, id(i))).collect();
            for (i, j) in [(0, 1), (0, 2), (1, 2)] {
                let public = [public(&keys[i]), public(&keys[j])];
                let ends = [End(id(i), &public[0]), End(id(j), &public[1])];
                let pair = pair_key(&keys[i], ends[0], ends[1], &setup).unwrap();
                assert_eq!(pair, pair_key(&keys[j], ends[1], ends[0], &setup).unwrap());
                let [out, back] = sealing_keys(&keys[i], ends[0], ends[1], &setup).unwrap();
                let [there, from] = sealing_keys(&keys[j], ends[1], ends[0], &setup).unwrap();
                assert_eq!([&out, &back], [&from, &there]);
                seen.extend([pair, out, back].map(|key| *key));
            }
            for i in 0..3 {
                seen.insert(*seed_key(&secrets[i].seed, &setup, id(i)));
                seen.insert(*seed_key(&secrets[i].mask, &setup, id(i)));
                seen.insert(keys[i].to_bytes());
            }
        }
        assert_eq!(seen.len(), 2 * (3 * 3 + 3 * 3));
    }
}

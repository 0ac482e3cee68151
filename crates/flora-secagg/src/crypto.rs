//! Cryptographic primitives. A label and the setup's digest enter every call, so that a key, stream, signature or
//! commitment made for one purpose or round is invalid for any other.
//!
//! X25519 (RFC 7748), Ed25519 (RFC 8032), HKDF-SHA-256 (RFC 5869), ChaCha20 and ChaCha20-Poly1305 (RFC 8439).

use chacha20::{
    ChaCha20,
    cipher::{KeyIvInit, StreamCipher},
};
use chacha20poly1305::{
    ChaCha20Poly1305, KeyInit,
    aead::{Aead, Payload},
};
use ed25519_dalek::{Signature, Signer, SigningKey, VerifyingKey, verify_batch};
use hkdf::Hkdf;
use sha2::{Digest as _, Sha256};
use x25519_dalek::{PublicKey, StaticSecret};
use zeroize::Zeroizing;

use crate::packing::Layout;

/// A SHA-256 digest.
pub(crate) type Digest = [u8; 32];

/// A key of a cipher, which is erased when it is dropped.
pub(crate) type Key = Zeroizing<[u8; 32]>;

/// The prefix of every label.
const PREFIX: &[u8] = b"flora-secagg/1 ";

/// Whether a mask is added or subtracted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Sign {
    Plus,
    Minus,
}

/// `SHA-256(prefix || label || 0 || parts)`. Each label has parts of fixed lengths, except for the last one.
pub(crate) fn hash(label: &str, parts: &[&[u8]]) -> Digest {
    let mut hash = Sha256::new();
    hash.update(PREFIX);
    hash.update(label);
    hash.update([0]);
    parts.iter().for_each(|part| hash.update(part));
    hash.finalize().into()
}

/// 32 bytes of HKDF-SHA-256 with `secret` as input, the setup's digest as salt and `prefix || label || 0 || parts` as
/// info.
pub(crate) fn derive(secret: &[u8; 32], setup: &Digest, label: &str, parts: &[&[u8]]) -> Key {
    let mut info = vec![PREFIX, label.as_bytes(), &[0]];
    info.extend_from_slice(parts);
    let mut key = Zeroizing::new([0; 32]);
    Hkdf::<Sha256>::new(Some(setup), secret)
        .expand_multi_info(&info, &mut *key)
        .expect("32 bytes are few");
    key
}

/// The secret of both ends, or nothing if `theirs` is of small order (RFC 7748, section 6.1).
pub(crate) fn agree(mine: &StaticSecret, theirs: &[u8; 32]) -> Option<Key> {
    let shared = mine.diffie_hellman(&PublicKey::from(*theirs));
    shared.was_contributory().then(|| Zeroizing::new(shared.to_bytes()))
}

/// Adds the mask of `key` to lanes, or subtracts it, by the layout of the lanes.
pub(crate) fn mask_lanes(lanes: &mut [u32], layout: Option<&Layout>, key: &Key, sign: Sign) {
    match layout {
        Some(layout) => layout.mask(lanes, key, sign),
        None => mask(lanes, key, sign),
    }
}

/// Adds the ChaCha20 stream of `key`, as little-endian words with nonce zero and counter zero, to `lanes` modulo
/// 2^32, or subtracts it. A key is used for one stream only.
pub(crate) fn mask(lanes: &mut [u32], key: &Key, sign: Sign) {
    // Small enough for the first cache, and a multiple of the blocks that the vector unit makes at once.
    const PIECE: usize = 4096;
    let mut stream = Stream::<PIECE>::new(key);
    for lanes in lanes.chunks_mut(PIECE / 4) {
        let piece = stream.next(4 * lanes.len());
        let words = piece.as_chunks::<4>().0.iter().map(|word| u32::from_le_bytes(*word));
        match sign {
            Sign::Plus => {
                lanes.iter_mut().zip(words).for_each(|(lane, word)| *lane = lane.wrapping_add(word))
            }
            Sign::Minus => {
                lanes.iter_mut().zip(words).for_each(|(lane, word)| *lane = lane.wrapping_sub(word))
            }
        }
    }
}

/// The ChaCha20 stream of a key, with nonce zero and counter zero, in pieces of at most `N` bytes. They are erased
/// when it is dropped.
pub(crate) struct Stream<const N: usize> {
    cipher: ChaCha20,
    piece: Zeroizing<[u8; N]>,
}

impl<const N: usize> Stream<N> {
    pub(crate) fn new(key: &Key) -> Self {
        let cipher = ChaCha20::new((&**key).into(), &[0; 12].into());
        Self { cipher, piece: Zeroizing::new([0; N]) }
    }

    /// The next `count` bytes, and what was there before up to `N`.
    pub(crate) fn next(&mut self, count: usize) -> &[u8; N] {
        self.cipher.write_keystream(&mut self.piece[..count]);
        &self.piece
    }
}

/// Encrypts with ChaCha20-Poly1305.
pub(crate) fn seal(key: &Key, nonce: &[u8; 12], bound: &[u8], plain: &[u8]) -> Vec<u8> {
    let payload = Payload { msg: plain, aad: bound };
    ChaCha20Poly1305::new((&**key).into())
        .encrypt(nonce.into(), payload)
        .expect("a bundle is short")
}

/// Decrypts, or nothing if a bit differs.
pub(crate) fn open(
    key: &Key,
    nonce: &[u8; 12],
    bound: &[u8],
    sealed: &[u8],
) -> Option<Zeroizing<Vec<u8>>> {
    let payload = Payload { msg: sealed, aad: bound };
    ChaCha20Poly1305::new((&**key).into()).decrypt(nonce.into(), payload).ok().map(Zeroizing::new)
}

fn message(label: &str, setup: &Digest, parts: &[&[u8]]) -> Vec<u8> {
    [&[PREFIX, label.as_bytes(), &[0], setup][..], parts].concat().concat()
}

/// The Ed25519 signature of `prefix || label || 0 || setup || parts`.
pub(crate) fn sign(
    identity: &SigningKey,
    label: &str,
    setup: &Digest,
    parts: &[&[u8]],
) -> [u8; 64] {
    identity.sign(&message(label, setup, parts)).to_bytes()
}

/// A signature, and the content that it should sign.
pub(crate) struct Signed {
    identity: VerifyingKey,
    message: Vec<u8>,
    signature: Signature,
}

impl Signed {
    /// `signature` by `identity` as [`sign`] makes it.
    pub(crate) fn new(
        identity: VerifyingKey,
        label: &str,
        setup: &Digest,
        parts: &[&[u8]],
        signature: &[u8; 64],
    ) -> Self {
        let message = message(label, setup, parts);
        Self { identity, message, signature: Signature::from_bytes(signature) }
    }

    /// Whether it is one of [`sign`], with the strict rules: no signature of a weak key, one form for each.
    pub(crate) fn verifies(&self) -> bool {
        self.identity.verify_strict(&self.message, &self.signature).is_ok()
    }
}

/// The first of these signatures that does not [verify](Signed::verifies).
///
/// They are verified together, by a random combination of their equations, in less than half of the time that they take
/// one by one; only if that fails is each verified separately. Without the key of an identity, the probability of
/// passing is 2^-128. The owner of a key can make signatures that pass here but not under the strict rules; it gains
/// nothing by this, because it could also sign correctly. The server verifies by the strict rules, so that one client's
/// signature cannot prevent another client from answering.
pub(crate) fn first_wrong(all: &[Signed]) -> Option<usize> {
    let messages: Vec<&[u8]> = all.iter().map(|signed| &signed.message[..]).collect();
    let signatures: Vec<Signature> = all.iter().map(|signed| signed.signature).collect();
    let identities: Vec<VerifyingKey> = all.iter().map(|signed| signed.identity).collect();
    let is_weak = identities.iter().any(VerifyingKey::is_weak);
    match !is_weak && verify_batch(&messages, &signatures, &identities).is_ok() {
        true => None,
        false => all.iter().position(|signed| !signed.verifies()),
    }
}

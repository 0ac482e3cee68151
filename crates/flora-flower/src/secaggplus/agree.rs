//! Key agreement as in Flower's `generate_shared_key`: ECDH on P-384, HKDF-SHA256 without salt and info, base64.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE;
use hkdf::Hkdf;
use p384::pkcs8::{DecodePublicKey, EncodePrivateKey, EncodePublicKey, LineEnding};
use p384::{PublicKey, SecretKey, ecdh};
use sha2::Sha256;
use zeroize::Zeroizing;

use super::{Random, SecAggError};

/// The size of a private key.
pub(super) const SCALAR: usize = 48;

/// Numbers beyond the order of the curve are drawn again: once in 2^190 draws, unless the source is broken.
const DRAWS: usize = 8;

/// A private key. Its memory is overwritten when it is dropped.
pub(super) struct Secret(SecretKey);

/// The shared secret of two nodes. Its base64 text of 44 bytes is both the key of [`Fernet`](super::fernet) and the
/// seed of masks.
pub(super) struct SharedKey(Zeroizing<[u8; 32]>);

impl Secret {
    pub(super) fn generate(random: &mut Random<'_>) -> Result<Self, SecAggError> {
        let mut bytes = Zeroizing::new([0; SCALAR]);
        for _ in 0..DRAWS {
            random(&mut *bytes).map_err(SecAggError::Random)?;
            if let Some(secret) = Self::from_bytes(&*bytes) {
                return Ok(secret);
            }
        }
        Err(SecAggError::Random(getrandom::Error::UNEXPECTED))
    }

    pub(super) fn from_bytes(bytes: &[u8]) -> Option<Self> {
        (bytes.len() == SCALAR).then(|| SecretKey::from_slice(bytes).ok())?.map(Self)
    }

    pub(super) fn to_bytes(&self) -> Zeroizing<Vec<u8>> {
        Zeroizing::new(Zeroizing::new(self.0.to_bytes()).to_vec())
    }

    pub(super) fn public(&self) -> PublicKey {
        self.0.public_key()
    }

    /// PKCS#8, the form from which shares are made: the server parses the reconstructed text.
    pub(super) fn to_pem(&self) -> Zeroizing<String> {
        self.0.to_pkcs8_pem(LineEnding::LF).expect("a key on this curve has that form")
    }

    pub(super) fn shared_key(&self, other: &PublicKey) -> SharedKey {
        let point = ecdh::diffie_hellman(self.0.to_nonzero_scalar(), other.as_affine());
        SharedKey(derive(point.raw_secret_bytes()))
    }
}

impl SharedKey {
    pub(super) fn bytes(&self) -> &[u8; 32] {
        &self.0
    }

    /// The seed of masks. It consists of letters, so it has at most 28 bits; see the module documentation.
    pub(super) fn seed(&self) -> Zeroizing<String> {
        Zeroizing::new(URL_SAFE.encode(*self.0))
    }
}

fn derive(secret: &[u8]) -> Zeroizing<[u8; 32]> {
    let mut key = Zeroizing::new([0; 32]);
    Hkdf::<Sha256>::new(None, secret).expand(&[], &mut *key).expect("32 bytes are one block");
    key
}

pub(super) fn public_to_pem(key: &PublicKey) -> String {
    key.to_public_key_pem(LineEnding::LF).expect("a key on this curve has that form")
}

/// A neighbour's key: a point of the curve other than zero.
pub(super) fn public_from_pem(pem: &[u8]) -> Option<PublicKey> {
    PublicKey::from_public_key_pem(std::str::from_utf8(pem).ok()?).ok()
}

#[cfg(test)]
mod tests {
    use super::super::fixture::Primitives;
    use super::*;

    /// RFC 5869, test case 3; its output has ten bytes more.
    #[test]
    fn hkdf_is_that_of_the_rfc() {
        let expected = "8da4e775a563c18f715f802a063c5a31b8a11f5c5ee1879ec3454e5f3c738d2d";
        assert_eq!(flora_core::hex::encode(&*derive(&[0x0b; 22])), expected);
    }

    #[test]
    fn keys_and_their_agreement_are_those_of_flower() {
        for case in Primitives::load().agreements {
            let [a, b] = [&case.a, &case.b].map(|key| Secret::from_bytes(&key.scalar).unwrap());
            for (secret, key) in [(&a, &case.a), (&b, &case.b)] {
                assert_eq!(secret.to_pem().as_bytes(), &*key.private);
                assert_eq!(public_to_pem(&secret.public()).as_bytes(), &*key.public);
                assert_eq!(public_from_pem(&key.public), Some(secret.public()));
                assert_eq!(&*secret.to_bytes(), &*key.scalar);
            }
            for (secret, other) in [(&a, &case.b), (&b, &case.a)] {
                let shared = secret.shared_key(&public_from_pem(&other.public).unwrap());
                assert_eq!(shared.seed().as_bytes(), &*case.shared);
            }
        }
    }

    #[test]
    fn what_is_no_key_on_the_curve_is_refused() {
        let (mut zeros, mut ones) =
            (|bytes: &mut [u8]| fill(bytes, 0), |bytes: &mut [u8]| fill(bytes, 255));
        fn fill(bytes: &mut [u8], value: u8) -> Result<(), getrandom::Error> {
            bytes.fill(value);
            Ok(())
        }
        assert!(Secret::generate(&mut zeros).is_err() && Secret::generate(&mut ones).is_err());
        assert!(Secret::from_bytes(&[1; 47]).is_none() && Secret::from_bytes(&[1; 32]).is_none());
        for pem in &Primitives::load().not_keys {
            assert_eq!(public_from_pem(pem), None, "{}", String::from_utf8_lossy(pem));
        }
    }
}

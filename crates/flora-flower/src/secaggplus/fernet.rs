//! [Fernet](https://github.com/fernet/spec) tokens: AES-128-CBC, then HMAC-SHA256, then base64.

use aes::Aes128;
use aes::cipher::block_padding::Pkcs7;
use aes::cipher::{BlockModeDecrypt, BlockModeEncrypt, KeyIvInit};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE;
use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;
use zeroize::Zeroizing;

const VERSION: u8 = 0x80;
/// Version and time.
const HEAD: usize = 9;
const BLOCK: usize = 16;
const TAG: usize = 32;

/// Encrypts `plaintext`. `iv` must be random.
pub(super) fn encrypt(key: &[u8; 32], plaintext: &[u8], iv: [u8; BLOCK], seconds: u64) -> String {
    let (signing, cipher) = split(key);
    let mut token = vec![VERSION];
    token.extend(seconds.to_be_bytes());
    token.extend(iv);
    let encryptor = cbc::Encryptor::<Aes128>::new(&(*cipher).into(), &iv.into());
    token.extend(encryptor.encrypt_padded_vec::<Pkcs7>(plaintext));
    let tag = mac(signing, &token).finalize().into_bytes();
    token.extend(tag);
    URL_SAFE.encode(token)
}

/// Decrypts a token; `None` if it was not made with this key. The time is ignored, as in Flower: a token is only useful
/// in its own round, which has new keys.
pub(super) fn decrypt(key: &[u8; 32], token: &[u8]) -> Option<Zeroizing<Vec<u8>>> {
    let (signing, cipher) = split(key);
    let token = URL_SAFE.decode(token).ok()?;
    let (signed, tag) = token.split_last_chunk::<TAG>()?;
    // In constant time, and before anything is decrypted.
    mac(signing, signed).verify_slice(tag).ok()?;
    let (head, rest) = signed.split_first_chunk::<HEAD>()?;
    let (iv, ciphertext) = rest.split_first_chunk::<BLOCK>()?;
    if head[0] != VERSION {
        return None;
    }
    let decryptor = cbc::Decryptor::<Aes128>::new(&(*cipher).into(), &(*iv).into());
    Some(Zeroizing::new(decryptor.decrypt_padded_vec::<Pkcs7>(ciphertext).ok()?))
}

fn split(key: &[u8; 32]) -> (&[u8; 16], &[u8; 16]) {
    let (signing, cipher) = key.split_first_chunk().expect("it has 32");
    (signing, cipher.first_chunk().expect("16 are left"))
}

fn mac(key: &[u8; 16], bytes: &[u8]) -> Hmac<Sha256> {
    let mut mac = Hmac::<Sha256>::new_from_slice(key).expect("a key of any length does");
    mac.update(bytes);
    mac
}

#[cfg(test)]
mod tests {
    use super::super::fixture::Primitives;
    use super::*;

    fn key(text: &str) -> [u8; 32] {
        URL_SAFE.decode(text).unwrap().try_into().unwrap()
    }

    #[test]
    fn tokens_are_those_of_the_specification() {
        let vectors = Primitives::load().fernet;
        for case in &vectors.generate {
            let key = key(&case.secret);
            let iv = case.iv.as_slice().try_into().unwrap();
            assert_eq!(encrypt(&key, case.src.as_bytes(), iv, case.seconds), case.token);
            assert_eq!(
                decrypt(&key, case.token.as_bytes()).unwrap().as_slice(),
                case.src.as_bytes()
            );
        }
        for case in &vectors.invalid {
            // Tokens that are invalid only by their time are accepted.
            let is_about_time = case.desc.starts_with("far-future") || case.desc == "expired TTL";
            let read = decrypt(&key(&case.secret), case.token.as_bytes());
            assert_eq!(read.is_some(), is_about_time, "{}", case.desc);
        }
        assert_eq!(vectors.invalid.len(), 8);
    }

    #[test]
    fn every_flipped_bit_and_every_length_is_read_or_refused() {
        let key = [7; 32];
        for length in 0..50 {
            let text = vec![length as u8; length];
            let token = encrypt(&key, &text, [3; 16], 5);
            assert_eq!(*decrypt(&key, token.as_bytes()).unwrap(), text);
            assert!(decrypt(&[8; 32], token.as_bytes()).is_none());
        }
        let token = encrypt(&key, b"a share", [3; 16], 5);
        let bytes = URL_SAFE.decode(&token).unwrap();
        for bit in 0..8 * bytes.len() {
            let mut other = bytes.clone();
            other[bit / 8] ^= 1 << (bit % 8);
            assert!(decrypt(&key, URL_SAFE.encode(other).as_bytes()).is_none(), "{bit}");
        }
        for end in 0..token.len() {
            assert!(decrypt(&key, &token.as_bytes()[..end]).is_none(), "{end}");
        }
        // Correctly signed, but too short for a token.
        for length in 0..HEAD + BLOCK {
            let mut short = vec![VERSION; length];
            short.extend(mac(split(&key).0, &short).finalize().into_bytes());
            assert!(decrypt(&key, URL_SAFE.encode(short).as_bytes()).is_none(), "{length}");
        }
    }
}

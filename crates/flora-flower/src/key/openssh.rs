//! OpenSSH's private key file (PROTOCOL.key in its sources), with one key and without a passphrase.

use p384::SecretKey;
use zeroize::Zeroizing;

use super::public::Curve;
use super::{PublicKey, pem};

const MAGIC: &[u8] = b"openssh-key-v1\0";
const NONE: &[u8] = b"none";
/// The block size that OpenSSH pads unencrypted keys to.
const BLOCK: usize = 8;

/// Why a file is refused.
pub(super) enum Problem {
    Encrypted,
    Format(&'static str),
}

/// The text of the file.
pub(super) fn write_private(
    secret: &SecretKey,
    public: &PublicKey,
    comment: &str,
) -> Zeroizing<String> {
    let blob = public.blob();
    let scalar = Zeroizing::new(secret.to_bytes());
    // Large enough not to grow: reallocation would leave unerased copies of the key behind.
    let mut inner = Zeroizing::new(Vec::with_capacity(512 + comment.len()));
    // The check number occurs twice, to detect wrong passphrases. Its value does not matter.
    for _ in 0..2 {
        inner.extend_from_slice(&blob[blob.len() - 4..]);
    }
    put(&mut inner, Curve::P384.key_type().as_bytes());
    put(&mut inner, Curve::P384.name().as_bytes());
    put(&mut inner, public.point());
    // An integer without leading zeros, but with one where it would be negative otherwise.
    let start = scalar.iter().position(|&byte| byte != 0).unwrap_or(scalar.len());
    let digits = &scalar[start..];
    let sign: &[u8] = if digits.first().is_some_and(|&byte| byte >= 0x80) { &[0] } else { &[] };
    inner.extend_from_slice(&length(sign.len() + digits.len()));
    inner.extend_from_slice(sign);
    inner.extend_from_slice(digits);
    put(&mut inner, comment.as_bytes());
    for pad in (1..).take(inner.len().next_multiple_of(BLOCK) - inner.len()) {
        inner.push(pad);
    }

    let mut file = Zeroizing::new(Vec::with_capacity(1024 + comment.len()));
    file.extend_from_slice(MAGIC);
    put(&mut file, NONE);
    put(&mut file, NONE);
    put(&mut file, b"");
    file.extend_from_slice(&1_u32.to_be_bytes());
    put(&mut file, &blob);
    put(&mut file, &inner);
    pem::write("OPENSSH PRIVATE KEY", &file, 70)
}

/// Reads the key from a file's bytes.
pub(super) fn read_private(bytes: &[u8]) -> Result<SecretKey, Problem> {
    let damaged = || Problem::Format("it is a damaged OpenSSH key");
    let mut file = Reader(bytes.strip_prefix(MAGIC).ok_or_else(damaged)?);
    let cipher = file.string().ok_or_else(damaged)?;
    let derivation = file.string().ok_or_else(damaged)?;
    if cipher != NONE || derivation != NONE {
        return Err(Problem::Encrypted);
    }
    file.string().ok_or_else(damaged)?;
    if file.number().ok_or_else(damaged)? != 1 {
        return Err(Problem::Format("it holds more than one key"));
    }
    let blob = file.string().ok_or_else(damaged)?;
    let Some(point) = PublicKey::point_of(Curve::P384, blob) else {
        return Err(Problem::Format("it is not an ECDSA key on the curve P-384"));
    };
    let mut inner = Reader(file.string().ok_or_else(damaged)?);
    let checks = (inner.number(), inner.number());
    let is_right = checks.0.is_some()
        && checks.0 == checks.1
        && inner.string() == Some(Curve::P384.key_type().as_bytes())
        && inner.string() == Some(Curve::P384.name().as_bytes())
        && inner.string() == Some(point);
    let digits = inner.string().filter(|_| is_right).ok_or_else(damaged)?;
    let start = digits.iter().position(|&byte| byte != 0).unwrap_or(digits.len());
    let digits = &digits[start..];
    let mut scalar = Zeroizing::new([0_u8; 48]);
    let place = scalar.len().checked_sub(digits.len()).ok_or_else(damaged)?;
    scalar[place..].copy_from_slice(digits);
    let secret = SecretKey::from_slice(&*scalar).map_err(|_| damaged())?;
    let is_pair = p384::PublicKey::from_sec1_bytes(point).is_ok_and(|it| it == secret.public_key());
    if is_pair { Ok(secret) } else { Err(Problem::Format("its two halves do not belong together")) }
}

/// Appends an SSH string: its length, and its bytes.
pub(super) fn put(bytes: &mut Vec<u8>, string: &[u8]) {
    bytes.extend_from_slice(&length(string.len()));
    bytes.extend_from_slice(string);
}

fn length(length: usize) -> [u8; 4] {
    u32::try_from(length).expect("keys and comments are short").to_be_bytes()
}

/// The bytes that are not read yet.
pub(super) struct Reader<'a>(pub(super) &'a [u8]);

impl<'a> Reader<'a> {
    fn number(&mut self) -> Option<u32> {
        let (number, rest) = self.0.split_first_chunk()?;
        self.0 = rest;
        Some(u32::from_be_bytes(*number))
    }

    pub(super) fn string(&mut self) -> Option<&'a [u8]> {
        let length = usize::try_from(self.number()?).ok()?;
        let (string, rest) = self.0.split_at_checked(length)?;
        self.0 = rest;
        Some(string)
    }
}

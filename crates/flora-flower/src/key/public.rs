use base64::Engine;
use base64::engine::general_purpose::{STANDARD, STANDARD_NO_PAD};
use flora_core::hex;
use sha2::{Digest, Sha256};

use super::openssh::{Reader, put};
use super::{KeyError, pem, plain};

/// The public half of a key: a point on one of the three curves that Flower and OpenSSH both support.
///
/// flora's own keys are on P-384. Points of the other curves are stored and compared, but not used.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct PublicKey {
    curve: Curve,
    /// Uncompressed: 4, then both coordinates.
    point: Vec<u8>,
    pem: String,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Curve {
    P256,
    P384,
    P521,
}

impl Curve {
    const ALL: [Self; 3] = [Self::P256, Self::P384, Self::P521];

    /// OpenSSH's name.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::P256 => "nistp256",
            Self::P384 => "nistp384",
            Self::P521 => "nistp521",
        }
    }

    /// OpenSSH's name of keys on the curve.
    pub(super) fn key_type(self) -> &'static str {
        match self {
            Self::P256 => "ecdsa-sha2-nistp256",
            Self::P384 => "ecdsa-sha2-nistp384",
            Self::P521 => "ecdsa-sha2-nistp521",
        }
    }

    /// Bytes of an uncompressed point.
    fn point_bytes(self) -> usize {
        match self {
            Self::P256 => 65,
            Self::P384 => 97,
            Self::P521 => 133,
        }
    }

    /// The bytes before the point in a DER `SubjectPublicKeyInfo` (RFC 5480): lengths, the object identifiers of EC
    /// keys and of the curve, and the header of a bit string.
    fn prefix(self) -> &'static [u8] {
        match self {
            Self::P256 => {
                b"\x30\x59\x30\x13\x06\x07\x2a\x86\x48\xce\x3d\x02\x01\
                  \x06\x08\x2a\x86\x48\xce\x3d\x03\x01\x07\x03\x42\x00"
            }
            Self::P384 => {
                b"\x30\x76\x30\x10\x06\x07\x2a\x86\x48\xce\x3d\x02\x01\
                  \x06\x05\x2b\x81\x04\x00\x22\x03\x62\x00"
            }
            Self::P521 => {
                b"\x30\x81\x9b\x30\x10\x06\x07\x2a\x86\x48\xce\x3d\x02\x01\
                  \x06\x05\x2b\x81\x04\x00\x23\x03\x81\x86\x00"
            }
        }
    }

    fn check(self, point: &[u8]) -> Result<(), KeyError> {
        let is_point = match self {
            Self::P384 => p384::PublicKey::from_sec1_bytes(point).is_ok(),
            _ => true,
        };
        if is_point && point.len() == self.point_bytes() && point[0] == 4 {
            return Ok(());
        }
        Err(KeyError::Public(format!("it is not an uncompressed point on {}", self.name())))
    }
}

impl PublicKey {
    pub(super) fn new(curve: Curve, point: Vec<u8>) -> Self {
        let pem = pem::write("PUBLIC KEY", &[curve.prefix(), &point].concat(), 64).to_string();
        Self { curve, point, pem }
    }

    /// Reads the form that nodes send: a PEM `SubjectPublicKeyInfo`.
    ///
    /// # Errors
    ///
    /// [`KeyError::Public`] for anything but an EC key on P-256, P-384 or P-521.
    pub fn from_pem(bytes: &[u8]) -> Result<Self, KeyError> {
        let public = |problem: &str| KeyError::Public(problem.to_owned());
        let text = std::str::from_utf8(bytes).map_err(|_| public("it is not a text"))?;
        let block = pem::blocks(text).next().filter(|block| block.label == "PUBLIC KEY");
        let der = block.and_then(|block| block.bytes);
        let der = der.ok_or_else(|| public("it is not a PEM block `PUBLIC KEY`"))?;
        let found = Curve::ALL.iter().find_map(|&curve| {
            der.strip_prefix(curve.prefix()).map(|point| (curve, point.to_vec()))
        });
        let (curve, point) = found.ok_or_else(|| public("it is not on P-256, P-384 or P-521"))?;
        curve.check(&point)?;
        Ok(Self::new(curve, point))
    }

    /// Reads a line `ecdsa-sha2-nistp384 AAAA... COMMENT`, as in `.pub` files; returns the comment, too.
    ///
    /// # Errors
    ///
    /// [`KeyError::Public`] for anything else, such as a key of another type.
    pub fn from_openssh(line: &str) -> Result<(Self, String), KeyError> {
        let public = |problem: &str| KeyError::Public(problem.to_owned());
        let line = line.trim();
        let (key_type, rest) = line.split_once([' ', '\t']).unwrap_or((line, ""));
        let rest = rest.trim_start();
        let (packed, comment) = rest.split_once([' ', '\t']).unwrap_or((rest, ""));
        let curve = Curve::ALL.into_iter().find(|curve| curve.key_type() == key_type);
        let curve = curve.ok_or_else(|| {
            public("it does not begin with ecdsa-sha2-nistp384 (the types for P-256 and P-521 are read, too)")
        })?;
        let blob = STANDARD.decode(packed).map_err(|_| public("its second word is not base64"))?;
        let point = Self::point_of(curve, &blob);
        let point = point.ok_or_else(|| public("its second word is damaged, or cut off"))?;
        curve.check(point)?;
        Ok((Self::new(curve, point.to_vec()), comment.trim().to_owned()))
    }

    /// The point in OpenSSH's binary form.
    pub(super) fn point_of(curve: Curve, blob: &[u8]) -> Option<&[u8]> {
        let mut reader = Reader(blob);
        let is_right = reader.string()? == curve.key_type().as_bytes()
            && reader.string()? == curve.name().as_bytes();
        let point = reader.string()?;
        (is_right && reader.0.is_empty()).then_some(point)
    }

    /// OpenSSH's binary form (RFC 5656).
    pub(super) fn blob(&self) -> Vec<u8> {
        let mut blob = Vec::new();
        put(&mut blob, self.curve.key_type().as_bytes());
        put(&mut blob, self.curve.name().as_bytes());
        put(&mut blob, &self.point);
        blob
    }

    pub(super) fn point(&self) -> &[u8] {
        &self.point
    }

    /// The PEM `SubjectPublicKeyInfo` that nodes send, with LF line endings.
    pub fn pem(&self) -> &str {
        &self.pem
    }

    /// A line for `.pub` files and [`Names`](crate::names::Names), without a line ending. Control characters of
    /// `comment` are left out.
    pub fn openssh(&self, comment: &str) -> String {
        let line = format!("{} {}", self.curve.key_type(), STANDARD.encode(self.blob()));
        match plain(comment).trim() {
            "" => line,
            comment => format!("{line} {comment}"),
        }
    }

    /// `SHA256:` and the digest, as shown by `ssh-keygen -l`.
    pub fn fingerprint(&self) -> String {
        format!("SHA256:{}", STANDARD_NO_PAD.encode(Sha256::digest(self.blob())))
    }

    /// The first 8 hexadecimal digits of the digest that [`fingerprint`](Self::fingerprint) shows in base64. Use it to
    /// distinguish nodes, not to authenticate one.
    pub fn short_id(&self) -> String {
        hex::encode(&Sha256::digest(self.blob())[..4])
    }
}

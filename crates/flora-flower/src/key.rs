//! Keys, by which nodes are identified.
//!
//! A node signs each request with an ECDSA key on P-384, the curve of Flower's own nodes. Keys are stored in OpenSSH's
//! format. So `ssh-keygen` creates, shows and changes them, and `flower supernode register` accepts their public
//! halves.

mod error;
mod openssh;
mod pem;
mod public;

use std::io::{self, Write};
use std::path::{Path, PathBuf};

use p384::SecretKey;
use p384::ecdsa::signature::hazmat::PrehashSigner;
use p384::ecdsa::{Signature, SigningKey};
use p384::elliptic_curve::Generate;
use p384::elliptic_curve::sec1::ToSec1Point;
use p384::pkcs8::DecodePrivateKey;
use sha2::{Digest, Sha256};
use zeroize::Zeroizing;

pub use error::KeyError;
pub use public::PublicKey;

use public::Curve;

/// Private keys are smaller than this.
const MOST_BYTES: u64 = 1 << 16;

/// The private key of a node. It has no `Debug`, and its memory is overwritten when it is dropped.
pub struct NodeKey {
    secret: SecretKey,
    signing: SigningKey,
    public: PublicKey,
}

impl NodeKey {
    /// Generates a key from the system's random numbers.
    ///
    /// # Errors
    ///
    /// [`KeyError::Random`] if the system has none.
    pub fn generate() -> Result<Self, KeyError> {
        let secret =
            SecretKey::try_generate().map_err(|error| KeyError::Random(error.to_string()))?;
        Ok(Self::new(secret))
    }

    fn new(secret: SecretKey) -> Self {
        let point = secret.public_key().to_sec1_point(false);
        let public = PublicKey::new(Curve::P384, point.as_bytes().to_vec());
        let signing = SigningKey::from(&secret);
        Self { secret, signing, public }
    }

    /// Reads a key: a file of `ssh-keygen -t ecdsa -b 384`, or PKCS#8 or SEC 1 as PEM.
    ///
    /// # Errors
    ///
    /// A file that cannot be read, that others than its owner may read, that is encrypted, or that holds anything but a
    /// key on P-384.
    pub fn load(path: &Path) -> Result<Self, KeyError> {
        let read = |source| KeyError::Read { path: path.to_owned(), source };
        let metadata = std::fs::metadata(path).map_err(read)?;
        check_mode(path, &metadata)?;
        if !metadata.is_file() || metadata.len() > MOST_BYTES {
            return Err(KeyError::format(path, "it is not a file with a single key"));
        }
        let bytes = Zeroizing::new(std::fs::read(path).map_err(read)?);
        let text = std::str::from_utf8(&bytes);
        let text = text.map_err(|_| KeyError::format(path, "it is not a text"))?;
        if text.contains("Proc-Type: 4,ENCRYPTED") {
            return Err(KeyError::Encrypted { path: path.to_owned() });
        }
        // `openssl ecparam -genkey` writes the curve's name in its own block before the key.
        let mut blocks = pem::blocks(text).filter(|block| block.label != "EC PARAMETERS");
        let block = blocks.next().ok_or_else(|| KeyError::format(path, "it holds no PEM block"))?;
        let der = block.bytes.ok_or_else(|| KeyError::format(path, "its PEM block is damaged"))?;
        let curve = |_| KeyError::format(path, "it is not a private key on the curve P-384");
        let secret = match block.label {
            "OPENSSH PRIVATE KEY" => {
                openssh::read_private(&der).map_err(|problem| match problem {
                    openssh::Problem::Encrypted => KeyError::Encrypted { path: path.to_owned() },
                    openssh::Problem::Format(problem) => KeyError::format(path, problem),
                })?
            }
            "PRIVATE KEY" => SecretKey::from_pkcs8_der(&der).map_err(curve)?,
            "EC PRIVATE KEY" => SecretKey::from_sec1_der(&der).map_err(|_| {
                KeyError::format(path, "it is not a private key on the curve P-384")
            })?,
            "ENCRYPTED PRIVATE KEY" => return Err(KeyError::Encrypted { path: path.to_owned() }),
            other => {
                return Err(KeyError::format(
                    path,
                    format!("it holds a `{other}`, not a private key"),
                ));
            }
        };
        Ok(Self::new(secret))
    }

    /// Reads the key at `path`, or generates one if there is none; returns whether it was generated. The public half is
    /// written beside it, as `PATH.pub` with `comment`, unless it exists.
    ///
    /// If several processes do this at once, one generates the key, and all of them use it.
    ///
    /// # Errors
    ///
    /// Those of [`load`](Self::load), and files that cannot be written.
    pub fn load_or_create(path: &Path, comment: &str) -> Result<(Self, bool), KeyError> {
        let is_there = path.try_exists();
        let is_there =
            is_there.map_err(|source| KeyError::Read { path: path.to_owned(), source })?;
        let (key, created) = match is_there {
            true => (Self::load(path)?, false),
            false => {
                let key = Self::generate()?;
                let text = openssh::write_private(&key.secret, &key.public, &plain(comment));
                match write_new(path, text.as_bytes(), true)? {
                    true => (key, true),
                    false => (Self::load(path)?, false),
                }
            }
        };
        let line = format!("{}\n", key.public.openssh(comment));
        write_new(&public_path(path), line.as_bytes(), false)?;
        Ok((key, created))
    }

    /// The public half.
    pub fn public_key(&self) -> &PublicKey {
        &self.public
    }

    /// The DER form of an ECDSA signature over the SHA-256 of `bytes`. Flower hashes with SHA-256 on every curve;
    /// SHA-384 would be usual for P-384.
    pub fn sign(&self, bytes: &[u8]) -> Vec<u8> {
        let digest = Sha256::digest(bytes);
        let signature: Signature =
            self.signing.sign_prehash(&digest).expect("32 bytes are enough for this curve");
        signature.to_der().as_bytes().to_vec()
    }
}

/// The path of the public half of the key in the file `key`: `KEY.pub`, as with ssh.
pub fn public_path(key: &Path) -> PathBuf {
    let mut name = key.as_os_str().to_owned();
    name.push(".pub");
    name.into()
}

/// Writes a file atomically, unless one of this name exists; returns whether it was written.
fn write_new(path: &Path, bytes: &[u8], private: bool) -> Result<bool, KeyError> {
    let write = |source| KeyError::Write { path: path.to_owned(), source };
    let folder = match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    };
    if path.try_exists().map_err(write)? {
        return Ok(false);
    }
    std::fs::create_dir_all(folder).map_err(write)?;
    let mut file = builder(private).tempfile_in(folder).map_err(write)?;
    file.write_all(bytes).and_then(|()| file.as_file().sync_all()).map_err(write)?;
    match file.persist_noclobber(path) {
        Ok(_) => Ok(true),
        Err(error) if error.error.kind() == io::ErrorKind::AlreadyExists => Ok(false),
        Err(error) => Err(write(error.error)),
    }
}

/// The prefix `.flora-` as in `flora_core::files`, whose files are not private.
fn builder(private: bool) -> tempfile::Builder<'static, 'static> {
    let mut builder = tempfile::Builder::new();
    builder.prefix(".flora-");
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        let mode = if private { 0o600 } else { 0o644 };
        builder.permissions(std::fs::Permissions::from_mode(mode));
    }
    #[cfg(not(unix))]
    let _ = private;
    builder
}

/// A comment in one line.
fn plain(comment: &str) -> String {
    comment.chars().filter(|it| !it.is_control()).collect()
}

#[cfg(unix)]
fn check_mode(path: &Path, metadata: &std::fs::Metadata) -> Result<(), KeyError> {
    use std::os::unix::fs::PermissionsExt;
    let mode = metadata.permissions().mode() & 0o777;
    match mode & 0o077 {
        0 => Ok(()),
        _ => Err(KeyError::Open { path: path.to_owned(), mode }),
    }
}

#[cfg(not(unix))]
fn check_mode(_: &Path, _: &std::fs::Metadata) -> Result<(), KeyError> {
    Ok(())
}

use std::path::Path;
use std::time::SystemTime;

use hmac::{Hmac, KeyInit, Mac};
use sha2::{Digest, Sha256};
use zeroize::Zeroizing;

use crate::ServerError;

/// The secret that a SuperLink with `--superexec-auth-secret-file` shares with the processes that may serve runs. It
/// has no `Debug`, and its memory is overwritten when it is dropped.
#[derive(Clone)]
pub struct SuperExecSecret(Zeroizing<Vec<u8>>);

/// Flower's name for this use of the secret.
const CONTEXT: &[u8] = b"superexec-auth-v1";

/// No secret is larger than this.
const MOST_BYTES: u64 = 1 << 16;

impl SuperExecSecret {
    /// Reads the file of the secret. All of its bytes count, including a final line ending, as in Flower.
    ///
    /// # Errors
    ///
    /// [`ServerError::Secret`]: a file that cannot be read, is empty, is not a file of a secret, or is readable by
    /// others than its owner and its group.
    pub fn load(path: &Path) -> Result<Self, ServerError> {
        let wrong = |problem: String| ServerError::Secret { path: path.to_owned(), problem };
        let cannot = |error: std::io::Error| wrong(format!("cannot be read: {error}"));
        let metadata = std::fs::metadata(path).map_err(cannot)?;
        if !metadata.is_file() || metadata.len() > MOST_BYTES {
            return Err(wrong("is not the file of a secret".to_owned()));
        }
        #[cfg(unix)]
        {
            use std::os::unix::fs::PermissionsExt;
            // The SuperLink's user may be another member of the same group.
            if metadata.permissions().mode() & 0o007 != 0 {
                return Err(wrong(
                    "everybody on this machine may read it: run `chmod o= FILE`".to_owned(),
                ));
            }
        }
        let bytes = Zeroizing::new(std::fs::read(path).map_err(cannot)?);
        if bytes.is_empty() {
            return Err(wrong("is empty".to_owned()));
        }
        Ok(Self(bytes))
    }

    /// The header fields that prove knowledge of the secret for a request with this body to `method`.
    pub(crate) fn headers(&self, method: &str, body: &[u8]) -> Vec<(&'static str, String)> {
        let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        let mut nonce = [0; 16];
        // Without a fresh nonce, the SuperLink refuses the request, which is reported.
        let _ = crate::random(&mut nonce);
        self.sign(method, body, now.as_secs(), &flora_core::hex::encode(&nonce))
    }

    fn sign(
        &self,
        method: &str,
        body: &[u8],
        seconds: u64,
        nonce: &str,
    ) -> Vec<(&'static str, String)> {
        let body = flora_core::hex::encode(&Sha256::digest(body));
        let key = Zeroizing::new(hmac(&self.0, CONTEXT));
        let text = format!("method={method}\nts={seconds}\nnonce={nonce}\nbody_sha256={body}");
        let signature = flora_core::hex::encode(&hmac(&*key, text.as_bytes()));
        vec![
            ("flwr-superexec-ts", seconds.to_string()),
            ("flwr-superexec-nonce", nonce.to_owned()),
            ("flwr-superexec-body-sha256", body),
            ("flwr-superexec-signature", signature),
        ]
    }
}

fn hmac(key: &[u8], bytes: &[u8]) -> [u8; 32] {
    let mut mac = Hmac::<Sha256>::new_from_slice(key).expect("HMAC takes keys of any length");
    mac.update(bytes);
    mac.finalize().into_bytes().into()
}

#[cfg(test)]
mod tests {
    use prost::Message;

    use super::*;
    use crate::wire::runtime::AcquireTaskRequest;

    /// The output of `flwr.supercore.auth` 1.42.0: `compute_superexec_signature(auth_secret=derive_auth_secret(b"a
    /// secret\0with bytes"), method="/flwr.proto.Runtime/AcquireTask", timestamp=1767225600, nonce=..., body_sha256=
    /// compute_request_body_sha256(AcquireTaskRequest(supported_task_types=["flwr-serverapp"])))`.
    #[test]
    fn a_request_is_signed_as_flower_signs_it() {
        let request = AcquireTaskRequest {
            supported_task_types: vec!["flwr-serverapp".to_owned()],
            agentapp_fab_hashes: Vec::new(),
        };
        let secret = SuperExecSecret(Zeroizing::new(b"a secret\0with bytes".to_vec()));
        let nonce = "00112233445566778899aabbccddeeff";
        let method = "/flwr.proto.Runtime/AcquireTask";
        let headers = secret.sign(method, &request.encode_to_vec(), 1_767_225_600, nonce);
        assert_eq!(
            headers,
            [
                ("flwr-superexec-ts", "1767225600".to_owned()),
                ("flwr-superexec-nonce", nonce.to_owned()),
                (
                    "flwr-superexec-body-sha256",
                    "fb980f48bf60a5d0f08429e91432dabfd066d69a2db28b2efc446cec34ee9ce1".to_owned()
                ),
                (
                    "flwr-superexec-signature",
                    "c22d9dc18e4fa4981fc607105bdef2286186b1ca301f182c8b525f67fd840749".to_owned()
                ),
            ]
        );
    }

    #[test]
    fn a_file_that_holds_no_secret_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let told = |path: &Path| SuperExecSecret::load(path).err().unwrap().to_string();
        assert!(told(folder.path()).contains("is not the file of a secret"));
        assert!(told(&folder.path().join("none")).contains("cannot be read"));
        let path = folder.path().join("secret");
        std::fs::write(&path, "").unwrap();
        #[cfg(unix)]
        {
            use std::os::unix::fs::PermissionsExt;
            let mode = |mode| std::fs::set_permissions(&path, PermissionsExt::from_mode(mode));
            mode(0o644).unwrap();
            assert!(told(&path).contains("chmod o="));
            mode(0o640).unwrap();
        }
        assert!(told(&path).contains("is empty"));
        std::fs::write(&path, "s\n").unwrap();
        assert_eq!(SuperExecSecret::load(&path).unwrap().0.as_slice(), b"s\n");
    }
}

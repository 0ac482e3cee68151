use std::net::{TcpStream, ToSocketAddrs};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime};

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{ClientConfig, ClientConnection, DigitallySignedStruct, Error, SignatureScheme};
use x509_cert::Certificate;
use x509_cert::der::Decode;

use super::{Check, is_local};
use crate::{Link, LinkConfig, LinkError};

const NAME: &str = "encryption";
const TIMEOUT: Duration = Duration::from_secs(5);
const DAY: u64 = 24 * 3600;
/// A certificate should be renewed at least this long before its end.
const SOON: u64 = 14 * DAY;

/// Checks how the connection is protected. `error` is the error of the previous request.
pub(super) fn check(config: &LinkConfig, link: &Link, error: Option<&LinkError>) -> Option<Check> {
    let url = link.url();
    if !url.starts_with("https://") {
        // If no SuperLink answers, there is nothing to protect.
        error.is_none().then_some(())?;
        return Some(match is_local(url) {
            true => Check::ok(NAME, "none, and none is needed: the address is this machine's own"),
            false => Check::warning(
                NAME,
                "none: anybody between the two machines can read and change the traffic",
                "Use https://: start the SuperLink with a certificate (--ssl-certfile, --ssl-keyfile, \
                 --ssl-ca-certfile), or put a reverse proxy with one before it",
            ),
        });
    }
    let shown = Shown::of(url)?;
    let told = shown.in_words();
    Some(match error {
        Some(LinkError::Certificate { .. }) => Check::failed(
            NAME,
            format!("the certificate that is shown is {told}"),
            match &config.root_certificates {
                Some(path) => format!("Compare it with the operator's, and with {}", path.display()),
                None => "Compare it with the operator's. One of a CA of your own needs --root-certificates".to_owned(),
            },
        ),
        _ if shown.seconds_left() < SOON => Check::warning(
            NAME,
            format!("TLS, with a certificate that ends soon: {told}"),
            "Its operator should renew it now",
        ),
        _ => Check::ok(NAME, format!("TLS, with the certificate {told}")),
    })
}

/// Whether the port of the address answers a TLS client.
pub(super) fn speaks_tls(url: &str) -> bool {
    url.starts_with("http://") && Shown::of(url).is_some()
}

/// The certificate that a server presents.
struct Shown(Certificate);

impl Shown {
    /// Reads the certificate in a connection that is closed after the handshake: nothing is sent, and nothing trusted.
    fn of(url: &str) -> Option<Self> {
        let (host, port) = place(url)?;
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let schemes = provider.signature_verification_algorithms.supported_schemes();
        let look = Arc::new(Look { seen: Mutex::default(), schemes });
        let config = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .ok()?
            .dangerous()
            .with_custom_certificate_verifier(look.clone())
            .with_no_client_auth();
        let name = ServerName::try_from(host.clone()).ok()?;
        let mut tls = ClientConnection::new(Arc::new(config), name).ok()?;
        let mut addresses = (host.as_str(), port).to_socket_addrs().ok()?;
        let mut socket =
            addresses.find_map(|address| TcpStream::connect_timeout(&address, TIMEOUT).ok())?;
        socket.set_read_timeout(Some(TIMEOUT)).ok()?;
        socket.set_write_timeout(Some(TIMEOUT)).ok()?;
        // The handshake ends with our own refusal.
        let _ = tls.complete_io(&mut socket);
        let der = look.seen.lock().unwrap_or_else(PoisonError::into_inner).take()?;
        Certificate::from_der(&der).ok().map(Self)
    }

    fn end(&self) -> SystemTime {
        SystemTime::UNIX_EPOCH + self.0.tbs_certificate().validity().not_after.to_unix_duration()
    }

    fn seconds_left(&self) -> u64 {
        self.end().duration_since(SystemTime::now()).map_or(0, |left| left.as_secs())
    }

    fn in_words(&self) -> String {
        let certificate = self.0.tbs_certificate();
        let end = match self.seconds_left() {
            0 => "expired".to_owned(),
            left if left < DAY => "valid for less than a day".to_owned(),
            left => format!("valid for {} days", left / DAY),
        };
        let words = format!(
            "of {}, issued by {}, {end}",
            certificate.subject(),
            if certificate.issuer() == certificate.subject() {
                "itself".to_owned()
            } else {
                certificate.issuer().to_string()
            }
        );
        flora_core::text::printable(&words).into_owned()
    }
}

/// The host and port of an address.
fn place(url: &str) -> Option<(String, u16)> {
    let (scheme, rest) = url.split_once("://")?;
    let authority = rest.split('/').next()?;
    let after_host = authority.rsplit_once(']').map_or(authority, |(_, port)| port);
    let port = match after_host.rsplit_once(':') {
        Some((_, port)) => port.parse().ok()?,
        None if scheme == "https" => 443,
        None => 80,
    };
    Some((super::host(url).to_owned(), port))
}

/// Records the certificate, and accepts none.
#[derive(Debug)]
struct Look {
    seen: Mutex<Option<Vec<u8>>>,
    schemes: Vec<SignatureScheme>,
}

impl ServerCertVerifier for Look {
    fn verify_server_cert(
        &self,
        certificate: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        *seen = Some(certificate.as_ref().to_vec());
        Err(Error::General("only looked at".to_owned()))
    }

    fn verify_tls12_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        Err(Error::General("only looked at".to_owned()))
    }

    fn verify_tls13_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        Err(Error::General("only looked at".to_owned()))
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.schemes.clone()
    }
}

//! Trusted certificates.

use std::path::Path;

use ureq::tls::{Certificate, PemItem, RootCerts, TlsConfig, parse_pem};

use crate::LinkError;

/// Reads the certificates of a PEM file.
///
/// # Errors
/// [`LinkError::Certificates`]: a file that cannot be read, holds no certificate, or holds a private key, which
/// does not belong there.
pub fn read_certificates(path: &Path) -> Result<Vec<Certificate<'static>>, LinkError> {
    let wrong = |problem: String| LinkError::Certificates { path: path.to_owned(), problem };
    let bytes = std::fs::read(path).map_err(|error| wrong(format!("cannot be read: {error}")))?;
    let mut certificates = Vec::new();
    for item in parse_pem(&bytes) {
        match item.map_err(|error| wrong(format!("it is not PEM: {error}")))? {
            PemItem::Certificate(certificate) => certificates.push(certificate),
            PemItem::PrivateKey(_) => {
                let problem = "it holds a private key; give the CA's certificate, which is public";
                return Err(wrong(problem.to_owned()));
            }
            _ => {}
        }
    }
    if certificates.is_empty() {
        let problem = "it holds no certificate; PEM begins with -----BEGIN CERTIFICATE-----";
        return Err(wrong(problem.to_owned()));
    }
    Ok(certificates)
}

/// Trusts these certificates, and no others.
pub(super) fn trusting(path: &Path) -> Result<TlsConfig, LinkError> {
    let roots = RootCerts::new_with_certs(&read_certificates(path)?);
    Ok(TlsConfig::builder().root_certs(roots).build())
}

/// Whether the peer's certificate is the problem, which another attempt does not solve.
pub(super) fn is_mistrust(error: &ureq::Error) -> bool {
    says(error, "certificate")
}

/// Whether the peer does not speak TLS.
pub(super) fn is_not_tls(error: &ureq::Error) -> bool {
    says(error, "corrupt message") || says(error, "InvalidContentType")
}

/// TLS errors occur on their own or wrapped into those of the connection.
fn says(error: &ureq::Error, words: &str) -> bool {
    match error {
        ureq::Error::Rustls(_) | ureq::Error::Tls(_) | ureq::Error::Io(_) => {
            error.to_string().contains(words)
        }
        _ => false,
    }
}

use std::time::Duration;

use crate::LinkError;

/// Where a SuperLink is, and how patiently it is asked.
#[derive(Debug, Clone)]
pub struct LinkConfig {
    /// `http://HOST:8000` or `https://HOST`, perhaps with a path that a proxy puts before `/v1`.
    pub url: String,
    /// PEM of the certificates that sign the SuperLink's, instead of those that browsers trust.
    pub root_certificates: Option<std::path::PathBuf>,
    /// For how long a request is tried again while nobody answers.
    pub patience: Duration,
    /// How long a SuperLink may take until its answer begins, and be silent amid one. A body may take five times as
    /// long, sent or received.
    pub timeout: Duration,
    /// The version of Flower to claim; without, none is.
    pub version: Option<String>,
}

impl LinkConfig {
    /// A SuperLink that may be away for 90 s, as one that is restarted.
    pub fn new(url: impl Into<String>) -> Self {
        Self {
            url: url.into(),
            root_certificates: None,
            patience: Duration::from_secs(90),
            timeout: Duration::from_secs(60),
            version: None,
        }
    }
}

/// The address, without a slash at its end.
pub(super) fn check_url(url: &str) -> Result<String, LinkError> {
    let wrong = |problem: &str| LinkError::Url { url: url.to_owned(), problem: problem.to_owned() };
    let trimmed = url.trim_end_matches('/');
    let rest = trimmed.strip_prefix("https://").or_else(|| trimmed.strip_prefix("http://"));
    if ["http:", "https:"].contains(&trimmed) {
        return Err(wrong("it names no host"));
    }
    let rest = rest.ok_or_else(|| wrong("it does not begin with http:// or https://"))?;
    if rest.is_empty() || rest.starts_with([':', '/']) {
        return Err(wrong("it names no host"));
    }
    if rest.contains(['?', '#', '@', ' ']) {
        return Err(wrong("it is more than a host, a port and a path"));
    }
    let host = rest.split('/').next().unwrap_or_default();
    // An IPv6 address in brackets has colons, too.
    if let Some((_, port)) = host.rsplit_once(':').filter(|(_, port)| !port.ends_with(']'))
        && port.parse::<u16>().is_err()
    {
        return Err(wrong("its port is no number up to 65535"));
    }
    Ok(trimmed.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_checked() {
        assert_eq!(check_url("https://a.example:8000/").unwrap(), "https://a.example:8000");
        assert_eq!(check_url("http://a/flower/").unwrap(), "http://a/flower");
        assert_eq!(check_url("http://[::1]:8000").unwrap(), "http://[::1]:8000");
        assert_eq!(check_url("http://[::1]").unwrap(), "http://[::1]");
        for wrong in [
            "http://a:99999",
            "http://a:b",
            "a:8000",
            "ftp://a",
            "http://",
            "http://:80",
            "http://a?b",
            "https://u@h",
        ] {
            assert!(check_url(wrong).unwrap_err().to_string().contains(wrong));
        }
    }
}

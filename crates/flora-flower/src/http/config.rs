use std::time::Duration;

use crate::LinkError;

/// The address of a SuperLink, and how persistently to ask it.
#[derive(Debug, Clone)]
pub struct LinkConfig {
    /// `http://HOST:8000` or `https://HOST`, perhaps with a path that a proxy puts before `/v1`.
    pub url: String,
    /// A PEM file of the certificates that sign the SuperLink's, instead of the usual public ones.
    pub root_certificates: Option<std::path::PathBuf>,
    /// For how long a request is retried while nobody answers.
    pub patience: Duration,
    /// How long a SuperLink may take to begin its answer, and to stay silent within one. A body may take five times as
    /// long, in both directions.
    pub timeout: Duration,
    /// The version of Flower to claim; `None` claims none.
    pub version: Option<String>,
}

impl LinkConfig {
    /// Settings for a SuperLink that may be unreachable for 90 s, as during a restart.
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
        return Err(wrong("its port is not a number up to 65535"));
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

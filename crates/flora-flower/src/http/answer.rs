//! HTTP answers and their meaning.

use std::time::{Duration, SystemTime};

use crate::LinkError;

/// How to handle an answer.
pub(super) enum Answered {
    Bytes(Vec<u8>),
    /// The SuperLink named its version, which is claimed from now on.
    OtherVersion,
    /// Another attempt may succeed.
    NotNow(NotNow),
}

/// A temporary problem.
pub(super) enum NotNow {
    /// No SuperLink answered.
    Silence(String),
    /// Something answered that it cannot serve the request.
    Refusal(LinkError),
}

impl NotNow {
    /// A short description of the problem.
    pub(super) fn problem(&self) -> String {
        match self {
            Self::Silence(problem) => problem.clone(),
            Self::Refusal(LinkError::Refused { status, .. }) => format!("HTTP {status}"),
            Self::Refusal(error) => error.to_string(),
        }
    }

    /// The error if there is no further attempt.
    pub(super) fn end(self, url: &str, tried: Duration) -> LinkError {
        match self {
            Self::Refusal(error) => error,
            Self::Silence(problem) => {
                let (url, seconds) = (url.to_owned(), tried.as_secs_f64());
                LinkError::Unreachable { url, problem, seconds }
            }
        }
    }
}

pub(super) const PROTOBUF: &str = "application/protobuf";
const VERSION_INCOMPATIBLE: u32 = 1001;

/// An answer.
#[derive(Debug)]
pub(crate) struct Reply {
    pub(crate) status: u16,
    pub(crate) is_protobuf: bool,
    pub(crate) bytes: Vec<u8>,
    /// By how many seconds this machine's clock is ahead of the answering one, if that sent its time.
    pub(crate) skew: Option<f64>,
}

/// The header fields that name the caller's version and component.
pub(crate) fn version_headers(version: &str, component: &str) -> [(&'static str, String); 3] {
    [
        ("flwr-package-name", "flwr".to_owned()),
        ("flwr-package-version", version.to_owned()),
        ("flwr-component-name", component.to_owned()),
    ]
}

/// Flower's errors, as JSON.
#[derive(serde::Deserialize)]
pub(crate) struct Said {
    pub(crate) code: Option<u32>,
    #[serde(default)]
    pub(crate) detail: String,
    extra: Option<String>,
}

impl Said {
    pub(crate) fn read(bytes: &[u8]) -> Option<Self> {
        let said: Self = serde_json::from_slice(bytes).ok()?;
        let detail = flora_core::text::printable(&said.detail).into_owned();
        Some(Self { detail, ..said })
    }

    /// The SuperLink's version, which it names to a caller of another version.
    pub(crate) fn superlink_version(&self) -> Option<String> {
        (self.code == Some(VERSION_INCOMPATIBLE)).then_some(())?;
        self.extra.as_deref().and_then(version_in).or_else(|| version_in(&self.detail))
    }
}

/// The first three numbers with points between them: a SuperLink names its own version before the caller's.
fn version_in(detail: &str) -> Option<String> {
    let words = detail.split(|c: char| !(c.is_ascii_digit() || c == '.'));
    let mut versions = words.map(|word| word.trim_matches('.'));
    let is_version = |word: &&str| word.split('.').count() == 3 && !word.contains("..");
    versions.find(is_version).map(str::to_owned)
}

/// By how many seconds this clock is ahead of `date`, which is in HTTP's format.
pub(super) fn clock_skew(date: &str) -> Option<f64> {
    let theirs = jiff::fmt::rfc2822::parse(date).ok()?.timestamp().as_second();
    let ours = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).ok()?;
    // Their time is rounded down.
    Some(ours.as_secs_f64() - theirs as f64 - 0.5)
}

/// The error for an unsuccessful answer, by Flower's error in it, if any.
pub(super) fn refusal(url: &str, path: &str, reply: &Reply, said: Option<Said>) -> LinkError {
    let Reply { status, bytes, skew, .. } = reply;
    let (status, skew) = (*status, *skew);
    let (url, path) = (url.to_owned(), path.to_owned());
    match (status, said) {
        (401, said) => {
            let detail = said.map_or_else(|| "HTTP 401".to_owned(), |said| said.detail);
            LinkError::Unauthorized { url, path, detail, skew }
        }
        (403..=405, None) => LinkError::NotServed { url, path, status },
        (404, Some(said)) if said.code.is_none() => LinkError::NotServed { url, path, status },
        (301..=308, _) => LinkError::Protocol {
            url,
            problem: "it redirects elsewhere. Give the address to which it redirects".into(),
        },
        (400, None)
            if String::from_utf8_lossy(bytes).contains("HTTP request was sent to HTTPS") =>
        {
            LinkError::Protocol { url, problem: "this port requires TLS; write https://".into() }
        }
        (413, _) => LinkError::Protocol {
            url,
            problem:
                "the proxy rejects requests of this size (HTTP 413). Its operator must allow 8 MiB"
                    .into(),
        },
        (_, Some(Said { code, detail, .. })) => {
            LinkError::Refused { url, path, status, code, detail }
        }
        (_, None) => {
            let detail = String::from_utf8_lossy(&bytes[..bytes.len().min(200)]).into_owned();
            let detail = flora_core::text::printable(&detail).into_owned();
            LinkError::Refused { url, path, status, code: None, detail }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_servers_version_is_found_in_what_it_says() {
        // As flwr 1.42.0 words it.
        let answer = br#"{"code":1001,"detail":"Runtime version compatibility check failed.","extra":"SuperLink version
            1.42.0 detected a runtime version mismatch: expected a peer from the same major.minor release, but
            received SuperExec version 0.0.1."}"#;
        let answer = String::from_utf8_lossy(answer).replace('\n', " ");
        let said = Said::read(answer.as_bytes()).unwrap();
        assert_eq!(said.superlink_version().as_deref(), Some("1.42.0"));
        assert_eq!(version_in("no version at all, 1.2 is none"), None);
    }

    #[test]
    fn the_clocks_difference_is_told() {
        let ahead = clock_skew("Thu, 01 Jan 2026 00:00:00 GMT").unwrap();
        assert!(ahead > 0.0);
        let unauthorized = LinkError::Unauthorized {
            url: "https://a".into(),
            path: "/v1/fleet/activate-node".into(),
            detail: "no".into(),
            skew: Some(600.0),
        };
        assert!(unauthorized.to_string().contains("600 s ahead"), "{unauthorized}");
    }
}

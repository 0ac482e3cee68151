//! Requests to a SuperLink: `POST`, protobuf in, protobuf out.

mod tls;

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant, SystemTime};

use flora_federation::Stop;
use prost::Message;
use ureq::Agent;

pub use self::tls::read_certificates;
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
    /// How long a single answer may take.
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
            timeout: CALL,
            version: None,
        }
    }
}

/// A connection to a SuperLink. Clones share it.
#[derive(Debug, Clone)]
pub struct Link(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    agent: Agent,
    url: String,
    patience: Duration,
    version: Mutex<Option<String>>,
    stop: Stop,
    sent: AtomicU64,
    received: AtomicU64,
}

/// More bytes than this are no answer of a SuperLink: objects have at most 20 MiB.
const LARGEST_ANSWER: u64 = 64 << 20;

/// A server that accepts and then says nothing is as good as none.
const CONNECT: Duration = Duration::from_secs(10);
const CALL: Duration = Duration::from_secs(60);

/// A SuperLink closes connections that were idle for 5 s.
const IDLE: Duration = Duration::from_secs(3);

/// Between the first attempts, and at most.
const FIRST_PAUSE: Duration = Duration::from_millis(200);
const LONGEST_PAUSE: Duration = Duration::from_secs(5);

/// The header fields of a request. Made anew for every attempt, because they tell the time.
pub(crate) type Headers<'a> = &'a dyn Fn() -> Vec<(&'static str, String)>;

impl Link {
    /// Prepares a connection; nothing is asked yet.
    ///
    /// # Errors
    /// [`LinkError::Url`] and [`LinkError::Certificates`].
    pub fn new(config: &LinkConfig, stop: Stop) -> Result<Self, LinkError> {
        let url = check_url(&config.url)?;
        let builder = Agent::config_builder()
            .http_status_as_error(false)
            .max_redirects(0)
            .user_agent(concat!("flora/", env!("CARGO_PKG_VERSION")))
            .max_idle_age(IDLE)
            .timeout_connect(Some(CONNECT))
            .timeout_global(Some(config.timeout));
        let builder = match &config.root_certificates {
            Some(path) => builder.tls_config(tls::trusting(path)?),
            None => builder,
        };
        Ok(Self(Arc::new(Shared {
            agent: builder.build().into(),
            url,
            patience: config.patience,
            version: Mutex::new(config.version.clone()),
            stop,
            sent: AtomicU64::new(0),
            received: AtomicU64::new(0),
        })))
    }

    /// The SuperLink's address.
    pub fn url(&self) -> &str {
        &self.0.url
    }

    /// Bytes of all bodies so far: sent and received.
    pub fn traffic(&self) -> (u64, u64) {
        (self.0.sent.load(Ordering::Relaxed), self.0.received.load(Ordering::Relaxed))
    }

    /// Raised when nothing more is to be waited for.
    pub fn stop(&self) -> &Stop {
        &self.0.stop
    }

    /// Asks for `/v1/SERVICE/RPC`. Whoever does not answer, or says that it cannot now, is asked again until the
    /// patience is over.
    pub(crate) fn call<Q: Message, A: Message + Default>(
        &self,
        path: &str,
        headers: Headers<'_>,
        request: &Q,
    ) -> Result<A, LinkError> {
        let body = request.encode_to_vec();
        let started = Instant::now();
        let mut pause = FIRST_PAUSE;
        loop {
            let problem = match self.once(path, headers, &body)? {
                Answered::Bytes(bytes) => {
                    return A::decode(bytes.as_slice())
                        .map_err(|error| self.unreadable(path, &error));
                }
                Answered::OtherVersion => continue,
                Answered::NotNow(problem) => problem,
            };
            let elapsed = started.elapsed();
            if elapsed + pause > self.0.patience {
                let (url, seconds) = (self.0.url.clone(), elapsed.as_secs_f64());
                return Err(LinkError::Unreachable { url, problem, seconds });
            }
            if self.sleep(pause) {
                return Err(LinkError::Stopped { url: self.0.url.clone() });
            }
            pause = (pause * 2).min(LONGEST_PAUSE);
        }
    }

    /// Sleeps, unless it is to stop; true if it is.
    pub(crate) fn sleep(&self, time: Duration) -> bool {
        const LOOK: Duration = Duration::from_millis(50);
        let until = Instant::now() + time;
        loop {
            if self.0.stop.is_raised() {
                return true;
            }
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return false;
            }
            std::thread::sleep(left.min(LOOK));
        }
    }

    fn once(&self, path: &str, headers: Headers<'_>, body: &[u8]) -> Result<Answered, LinkError> {
        let reply = match self.post(path, headers, body) {
            Ok(reply) => reply,
            Err(error) => return self.failed(path, error),
        };
        match reply.status {
            200 if reply.is_protobuf => Ok(Answered::Bytes(reply.bytes)),
            200 => Err(self.unreadable(path, &"it is not protobuf")),
            502..=504 => Ok(Answered::NotNow(format!("HTTP {}", reply.status))),
            _ => self.refused(path, &reply),
        }
    }

    /// Asks once, and gives the answer whatever its status.
    pub(crate) fn probe(
        &self,
        path: &str,
        headers: Headers<'_>,
        body: &[u8],
    ) -> Result<Reply, LinkError> {
        let started = Instant::now();
        self.post(path, headers, body).or_else(|error| match self.failed(path, error)? {
            Answered::NotNow(problem) => Err(LinkError::Unreachable {
                url: self.0.url.clone(),
                problem,
                seconds: started.elapsed().as_secs_f64(),
            }),
            _ => unreachable!("no answer came"),
        })
    }

    fn post(&self, path: &str, headers: Headers<'_>, body: &[u8]) -> Result<Reply, ureq::Error> {
        let url = format!("{}{path}", self.0.url);
        let mut request = self.0.agent.post(&url).header("content-type", PROTOBUF);
        for (name, value) in headers() {
            request = request.header(name, value);
        }
        if let Some(version) = self.version().clone() {
            let component = if path.starts_with("/v1/fleet") { "SuperNode" } else { "SuperExec" };
            for (name, value) in version_headers(&version, component) {
                request = request.header(name, value);
            }
        }
        let mut response = request.send(body)?;
        self.0.sent.fetch_add(body.len() as u64, Ordering::Relaxed);
        let header = |name: &str| response.headers().get(name).and_then(|it| it.to_str().ok());
        let skew = header("date").and_then(clock_skew);
        let is_protobuf = header("content-type").is_some_and(|kind| kind.starts_with(PROTOBUF));
        let status = response.status().as_u16();
        let bytes = response.body_mut().with_config().limit(LARGEST_ANSWER).read_to_vec()?;
        self.0.received.fetch_add(bytes.len() as u64, Ordering::Relaxed);
        Ok(Reply { status, is_protobuf, bytes, skew })
    }

    fn version(&self) -> std::sync::MutexGuard<'_, Option<String>> {
        self.0.version.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A request without an answer: whether it is worth another attempt.
    fn failed(&self, path: &str, error: ureq::Error) -> Result<Answered, LinkError> {
        let url = self.0.url.clone();
        let problem = error.to_string();
        if matches!(error, ureq::Error::BodyExceedsLimit(_)) {
            return Err(self.unreadable(path, &"it is larger than anything that Flower sends"));
        }
        if tls::is_mistrust(&error) {
            return Err(LinkError::Certificate { url, problem });
        }
        match error {
            ureq::Error::BadUri(problem) => Err(LinkError::Url { url, problem }),
            _ if tls::is_not_tls(&error) => Err(LinkError::Protocol {
                url,
                problem: "it answers without TLS. If this is your SuperLink, its address begins with http://, not https://"
                    .into(),
            }),
            ureq::Error::Http(_) | ureq::Error::LargeResponseHeader(..) => {
                Err(LinkError::Protocol {
                    url,
                    problem: format!("this is not a SuperLink: {problem}"),
                })
            }
            _ => Ok(Answered::NotNow(problem)),
        }
    }

    fn refused(&self, path: &str, reply: &Reply) -> Result<Answered, LinkError> {
        let Reply { status, bytes, skew, .. } = reply;
        let (status, skew) = (*status, *skew);
        let said = Said::read(bytes);
        // Once: the second time it names the version that was just claimed.
        if let Some(version) = said.as_ref().and_then(Said::superlink_version)
            && self.version().replace(version.clone()).as_ref() != Some(&version)
        {
            return Ok(Answered::OtherVersion);
        }
        let (url, path) = (self.0.url.clone(), path.to_owned());
        Err(match (status, said) {
            (401, said) => {
                let detail = said.map_or_else(|| "HTTP 401".to_owned(), |said| said.detail);
                LinkError::Unauthorized { url, path, detail, skew }
            }
            (403 | 404 | 405, None) => LinkError::NotServed { url, path, status },
            (404, Some(said)) if said.code.is_none() => LinkError::NotServed { url, path, status },
            (301..=308, _) => LinkError::Protocol {
                url,
                problem: "it redirects elsewhere. Give the address to which it redirects"
                    .into(),
            },
            (400, None)
                if String::from_utf8_lossy(bytes).contains("HTTP request was sent to HTTPS") =>
            {
                LinkError::Protocol {
                    url,
                    problem: "what answers there speaks TLS; write https://".into(),
                }
            }
            (413, _) => LinkError::Protocol {
                url,
                problem: "its proxy refuses bodies of this size (HTTP 413). Its operator must allow 8 MiB"
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
        })
    }

    fn unreadable(&self, path: &str, problem: &dyn std::fmt::Display) -> LinkError {
        let (url, path) = (self.0.url.clone(), path.to_owned());
        LinkError::Unreadable { url, path, problem: problem.to_string() }
    }
}

enum Answered {
    Bytes(Vec<u8>),
    /// It told its version, which is claimed from now on.
    OtherVersion,
    NotNow(String),
}

const PROTOBUF: &str = "application/protobuf";
const VERSION_INCOMPATIBLE: u32 = 1001;

/// An answer.
#[derive(Debug)]
pub(crate) struct Reply {
    pub(crate) status: u16,
    pub(crate) is_protobuf: bool,
    pub(crate) bytes: Vec<u8>,
    /// By how many seconds this machine's clock is ahead of the one that answered, if that told the time.
    pub(crate) skew: Option<f64>,
}

/// What a caller says that it is.
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

    /// The SuperLink's version, which it tells a caller of another one.
    pub(crate) fn superlink_version(&self) -> Option<String> {
        (self.code == Some(VERSION_INCOMPATIBLE)).then_some(())?;
        self.extra.as_deref().and_then(version_in).or_else(|| version_in(&self.detail))
    }
}

/// The first three numbers with points between them: a SuperLink names its own version before that of the caller.
fn version_in(detail: &str) -> Option<String> {
    let words = detail.split(|c: char| !(c.is_ascii_digit() || c == '.'));
    let mut versions = words.map(|word| word.trim_matches('.'));
    let is_version = |word: &&str| word.split('.').count() == 3 && !word.contains("..");
    versions.find(is_version).map(str::to_owned)
}

/// By how many seconds this clock is ahead of one that says `date`, in HTTP's format.
fn clock_skew(date: &str) -> Option<f64> {
    let theirs = jiff::fmt::rfc2822::parse(date).ok()?.timestamp().as_second();
    let ours = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).ok()?;
    // Theirs is rounded down.
    Some(ours.as_secs_f64() - theirs as f64 - 0.5)
}

fn check_url(url: &str) -> Result<String, LinkError> {
    let wrong = |problem: &str| LinkError::Url { url: url.to_owned(), problem: problem.to_owned() };
    let trimmed = url.trim_end_matches('/');
    let rest = trimmed.strip_prefix("https://").or_else(|| trimmed.strip_prefix("http://"));
    let rest = rest.ok_or_else(|| wrong("it does not begin with http:// or https://"))?;
    if rest.is_empty() || rest.starts_with([':', '/']) {
        return Err(wrong("it names no host"));
    }
    if rest.contains(['?', '#', '@', ' ']) {
        return Err(wrong("it is more than a host, a port and a path"));
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
        for wrong in ["a:8000", "ftp://a", "http://", "http://:80", "http://a?b", "https://u@h"] {
            assert!(check_url(wrong).unwrap_err().to_string().contains(wrong));
        }
    }

    #[test]
    fn the_servers_version_is_found_in_what_it_says() {
        // As flwr 1.42.0 says it.
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

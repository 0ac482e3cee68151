//! Requests to a SuperLink: `POST`, protobuf in, protobuf out.

mod answer;
mod config;
mod outages;
mod tls;

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use flora_federation::Stop;
use prost::Message;
use ureq::Agent;

use self::answer::{Answered, NotNow, PROTOBUF, clock_skew, refusal};
pub(crate) use self::answer::{Reply, Said, version_headers};
pub use self::config::LinkConfig;
use self::config::check_url;
pub use self::outages::Outage;
use self::outages::Outages;
pub use self::tls::read_certificates;
use crate::LinkError;

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
    outages: Outages,
}

/// An answer with more bytes than this is not a SuperLink's: objects have at most 20 MiB.
const LARGEST_ANSWER: u64 = 64 << 20;

/// A server that accepts a connection and then stays silent counts as absent.
const CONNECT: Duration = Duration::from_secs(10);

/// A body may take this many times longer than the beginning of an answer: an object of 5 MiB needs four minutes on a
/// line of 170 kbit/s.
const BODY: u32 = 5;

/// A request that is sent only once must not hold up its sender.
const PASSING: Duration = Duration::from_secs(5);

/// A SuperLink closes connections that were idle for 5 s.
const IDLE: Duration = Duration::from_secs(3);

/// The pause after the first attempt, and the longest pause.
const FIRST_PAUSE: Duration = Duration::from_millis(200);
const LONGEST_PAUSE: Duration = Duration::from_secs(5);

/// The header fields of a request. They are built for every attempt, because they contain the time.
pub(crate) type Headers<'a> = &'a dyn Fn() -> Vec<(&'static str, String)>;

impl Link {
    /// Prepares a connection; nothing is sent yet.
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
            .timeout_resolve(Some(CONNECT))
            .timeout_send_request(Some(config.timeout))
            .timeout_send_body(Some(config.timeout * BODY))
            .timeout_recv_response(Some(config.timeout))
            .timeout_recv_body(Some(config.timeout * BODY))
            .timeout_per_read(Some(config.timeout))
            .timeout_per_write(Some(config.timeout));
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
            outages: Outages::default(),
        })))
    }

    /// The SuperLink's address.
    pub fn url(&self) -> &str {
        &self.0.url
    }

    /// The outages since the last call. Requests are retried anyway; this is for explaining delays.
    pub fn take_outages(&self) -> Vec<Outage> {
        self.0.outages.take()
    }

    /// The flag that ends all waiting.
    pub fn stop(&self) -> &Stop {
        &self.0.stop
    }

    /// Calls `/v1/SERVICE/RPC`. If there is no answer, or a temporary refusal, the call is retried until the patience
    /// is over.
    pub(crate) fn call<Q: Message, A: Message + Default>(
        &self,
        path: &str,
        headers: Headers<'_>,
        request: &Q,
    ) -> Result<A, LinkError> {
        self.ask(path, headers, request, self.0.patience, None)
    }

    /// Calls once with a short time limit: for requests whose loss does no harm.
    pub(crate) fn call_once<Q: Message, A: Message + Default>(
        &self,
        path: &str,
        headers: Headers<'_>,
        request: &Q,
    ) -> Result<A, LinkError> {
        self.ask(path, headers, request, Duration::ZERO, Some(PASSING))
    }

    fn ask<Q: Message, A: Message + Default>(
        &self,
        path: &str,
        headers: Headers<'_>,
        request: &Q,
        patience: Duration,
        limit: Option<Duration>,
    ) -> Result<A, LinkError> {
        let body = request.encode_to_vec();
        let started = Instant::now();
        let mut pause = FIRST_PAUSE;
        let mut knows_version = false;
        loop {
            let reply = self.post(path, headers, &body, limit);
            let answered = self.read(path, reply, &mut knows_version);
            self.0.outages.note(match &answered {
                Ok(Answered::NotNow(not_now)) => Some(not_now.problem()),
                _ => None,
            });
            let not_now = match answered? {
                Answered::Bytes(bytes) => {
                    return A::decode(bytes.as_slice())
                        .map_err(|error| self.unreadable(path, &error));
                }
                Answered::OtherVersion => continue,
                Answered::NotNow(not_now) => not_now,
            };
            let elapsed = started.elapsed();
            if elapsed + pause > patience {
                return Err(not_now.end(&self.0.url, elapsed));
            }
            if self.sleep(pause) {
                return Err(self.stopped());
            }
            pause = (pause * 2).min(LONGEST_PAUSE);
        }
    }

    /// The error of a call that was stopped while waiting for an answer.
    pub(crate) fn stopped(&self) -> LinkError {
        LinkError::Stopped { url: self.0.url.clone() }
    }

    /// Sleeps, unless the connection is to stop; returns whether it is.
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

    /// Interprets an answer or its absence. The SuperLink's version is adopted once in a call: if it asks a second
    /// time, it is not content with its own version.
    fn read(
        &self,
        path: &str,
        reply: Result<Reply, ureq::Error>,
        knows_version: &mut bool,
    ) -> Result<Answered, LinkError> {
        let reply = match reply {
            Ok(reply) => reply,
            Err(error) => return self.failed(path, error).map(Answered::NotNow),
        };
        match reply.status {
            200 if reply.is_protobuf => return Ok(Answered::Bytes(reply.bytes)),
            200 => return Err(self.unreadable(path, &"it is not protobuf")),
            502..=504 => {
                let problem = format!("HTTP {}", reply.status);
                return Ok(Answered::NotNow(NotNow::Silence(problem)));
            }
            _ => {}
        }
        let said = Said::read(&reply.bytes);
        let told = said.as_ref().and_then(Said::superlink_version);
        if let Some(version) = told
            && !std::mem::replace(knows_version, true)
        {
            *self.version() = Some(version);
            return Ok(Answered::OtherVersion);
        }
        // A proxy that is busy or out of order, or a SuperLink with such a database. Errors with a Flower number are
        // final.
        let is_passing = matches!(reply.status, 408 | 425 | 429 | 500..)
            && said.as_ref().is_none_or(|said| said.code.is_none());
        let refusal = refusal(&self.0.url, path, &reply, said);
        if is_passing { Ok(Answered::NotNow(NotNow::Refusal(refusal))) } else { Err(refusal) }
    }

    /// Asks once, and returns the answer whatever its status.
    pub(crate) fn probe(
        &self,
        path: &str,
        headers: Headers<'_>,
        body: &[u8],
    ) -> Result<Reply, LinkError> {
        let started = Instant::now();
        self.post(path, headers, body, None).or_else(|error| {
            let not_now = self.failed(path, error)?;
            Err(not_now.end(&self.0.url, started.elapsed()))
        })
    }

    /// Sends a request, which takes at most `limit`, if there is one.
    fn post(
        &self,
        path: &str,
        headers: Headers<'_>,
        body: &[u8],
        limit: Option<Duration>,
    ) -> Result<Reply, ureq::Error> {
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
        let request = request.config().timeout_global(limit).build();
        let mut response = request.send(body)?;
        let header = |name: &str| response.headers().get(name).and_then(|it| it.to_str().ok());
        let skew = header("date").and_then(clock_skew);
        let is_protobuf = header("content-type").is_some_and(|kind| kind.starts_with(PROTOBUF));
        let status = response.status().as_u16();
        let bytes = response.body_mut().with_config().limit(LARGEST_ANSWER).read_to_vec()?;
        Ok(Reply { status, is_protobuf, bytes, skew })
    }

    fn version(&self) -> std::sync::MutexGuard<'_, Option<String>> {
        self.0.version.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Classifies a request without an answer: whether it is worth retrying.
    fn failed(&self, path: &str, error: ureq::Error) -> Result<NotNow, LinkError> {
        let url = self.0.url.clone();
        let problem = error.to_string();
        if matches!(error, ureq::Error::BodyExceedsLimit(_)) {
            return Err(self.unreadable(path, &"it is larger than any answer of Flower"));
        }
        if tls::is_mistrust(&error) {
            return Err(LinkError::Certificate { url, problem });
        }
        match error {
            ureq::Error::BadUri(problem) => Err(LinkError::Url { url, problem }),
            _ if tls::is_not_tls(&error) => Err(LinkError::Protocol {
                url,
                problem: "this port does not use TLS. If it is your SuperLink, write http:// instead of https://"
                    .into(),
            }),
            ureq::Error::Http(_) | ureq::Error::LargeResponseHeader(..) => {
                Err(LinkError::Protocol {
                    url,
                    problem: format!("this is not a SuperLink: {problem}"),
                })
            }
            _ => Ok(NotNow::Silence(problem)),
        }
    }

    fn unreadable(&self, path: &str, problem: &dyn std::fmt::Display) -> LinkError {
        let (url, path) = (self.0.url.clone(), path.to_owned());
        LinkError::Unreadable { url, path, problem: problem.to_string() }
    }
}

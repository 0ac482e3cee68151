use std::path::PathBuf;

use thiserror::Error;

/// Why a request to a SuperLink fails.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum LinkError {
    /// An invalid address.
    #[error(
        "--superlink {url}: {problem}. Give the SuperLink's address as http://HOST:8000 or https://HOST"
    )]
    Url {
        /// The address as given.
        url: String,
        /// The problem.
        problem: String,
    },
    /// Certificates that cannot be used.
    #[error("{}: {problem}", path.display())]
    Certificates {
        /// The file.
        path: PathBuf,
        /// The problem and the remedy.
        problem: String,
    },
    /// Nobody answers.
    #[error("{url} does not answer ({problem}; tried for {seconds:.0} s). {}", silence(problem))]
    Unreachable {
        /// The SuperLink.
        url: String,
        /// The last attempt's error.
        problem: String,
        /// For how many seconds the request was retried.
        seconds: f64,
    },
    /// The certificate is not trusted. Never retried.
    #[error("{url}: its certificate is not accepted ({problem}). {}", mistrust(problem))]
    Certificate {
        /// The SuperLink.
        url: String,
        /// TLS's error.
        problem: String,
    },
    /// HTTP spoken to an HTTPS port, or the reverse.
    #[error("{url}: {problem}")]
    Protocol {
        /// The SuperLink.
        url: String,
        /// The answer, and what to do.
        problem: String,
    },
    /// HTTP status 401.
    #[error("{url} could not authenticate this {}: {detail}{}", caller(path), clock(path, *.skew))]
    Unauthorized {
        /// The SuperLink.
        url: String,
        /// The path.
        path: String,
        /// The SuperLink's reason.
        detail: String,
        /// By how many seconds this machine's clock is ahead of the SuperLink's, if known.
        skew: Option<f64>,
    },
    /// HTTP status 404, or a proxy's answer for a closed path.
    #[error(
        "{url}{path} is not served (HTTP {status}). {}",
        if path.starts_with("/v1/fleet") {
            "Check that this is the address of a SuperLink of Flower 1.40 or later, and that its proxy forwards \
             /v1/fleet/"
        } else {
            "The proxy does not forward this service, which is the recommended configuration: run this command on the \
             SuperLink's own machine, with the address of the SuperLink itself"
        }
    )]
    NotServed {
        /// The SuperLink.
        url: String,
        /// The path.
        path: String,
        /// The HTTP status.
        status: u16,
    },
    /// Any other refusal.
    #[error("{url}{path} refused the request (HTTP {status}{}): {detail}", code.map_or(String::new(), |code| format!(", code {code}")))]
    Refused {
        /// The SuperLink.
        url: String,
        /// The path.
        path: String,
        /// The HTTP status.
        status: u16,
        /// Flower's number for the reason.
        code: Option<u32>,
        /// The SuperLink's reason.
        detail: String,
    },
    /// An answer that Flower does not send.
    #[error(
        "{url}{path}: the answer cannot be read: {problem}. Check that this is the address of a SuperLink of Flower \
         1.40 or later"
    )]
    Unreadable {
        /// The SuperLink.
        url: String,
        /// The path.
        path: String,
        /// The problem.
        problem: String,
    },
    /// The caller was asked to stop.
    #[error("stopped while waiting for {url}")]
    Stopped {
        /// The SuperLink.
        url: String,
    },
}

/// The caller whose authentication failed.
fn caller(path: &str) -> &'static str {
    if path.starts_with("/v1/fleet") { "node" } else { "server" }
}

fn clock(path: &str, skew: Option<f64>) -> String {
    match skew {
        Some(skew) if is_refused(skew) => format!(". {}", clock_remedy(skew)),
        Some(_) if path.starts_with("/v1/fleet") => {
            ". The clocks agree, so the key is the problem: check that it is the one that was registered"
                .to_owned()
        }
        _ => String::new(),
    }
}

/// Whether a SuperLink refuses a clock that is this many seconds ahead of its own.
pub(crate) fn is_refused(skew: f64) -> bool {
    !(-300.0..=4.0).contains(&skew)
}

/// The remedy for a clock that is this many seconds ahead.
pub(crate) fn clock_remedy(skew: f64) -> String {
    let (seconds, how) = (skew.abs(), if skew > 0.0 { "ahead of" } else { "behind" });
    format!(
        "This machine's clock is {seconds:.0} s {how} the SuperLink's; synchronise both with NTP (timedatectl set-ntp true)"
    )
}

/// The remedy for an address that does not answer.
pub(crate) fn silence(problem: &str) -> &'static str {
    let problem = problem.to_lowercase();
    let says = |words: &[&str]| words.iter().any(|word| problem.contains(word));
    if says(&["refused"]) {
        "Nothing listens on this port: start the SuperLink, or correct the port"
    } else if says(&["lookup", "host not found", "resolve", "no address"]) {
        "The host's name is unknown: correct it, or check this machine's DNS"
    } else if says(&["http 502", "http 503", "http 504"]) {
        "The proxy cannot reach the SuperLink: start the SuperLink, or correct its address in the proxy's configuration"
    } else if says(&["timeout", "timed out", "unreachable", "no route"]) {
        "Check the address, and that no firewall between the two machines drops the connection"
    } else {
        "Check that this is the address of a SuperLink, and that it is running"
    }
}

/// The remedy for a certificate that is not accepted, by rustls's error.
pub(crate) fn mistrust(problem: &str) -> &'static str {
    let says = |word: &str| problem.contains(word);
    if says("UnknownIssuer") || says("BadSignature") || says("CaUsedAsEndEntity") {
        "Give the certificate of the CA that signed it with --root-certificates. If you did, someone else may be \
         answering in the SuperLink's place: send nothing, and ask its operator"
    } else if says("NotValidYet") || says("not valid yet") {
        "It is not valid yet: check this machine's clock"
    } else if says("xpired") {
        "It has expired: its operator must renew it. Check this machine's clock, too"
    } else if says("NotValidForName") || says("not valid for name") {
        "It was issued for another host: use the name that it was issued for in --superlink, or have one issued for \
         this name"
    } else {
        "Ask the SuperLink's operator for another one, or for the certificate of its CA (--root-certificates)"
    }
}

impl LinkError {
    /// Whether the run of a node's message is over, so that the message can be dropped.
    pub fn is_run_over(&self) -> bool {
        matches!(self, Self::Refused { code: Some(RUN_STATUS), .. })
    }

    /// Whether the SuperLink accepts only keys that its operator registered.
    pub fn is_registration_closed(&self) -> bool {
        matches!(self, Self::Refused { code: Some(REGISTRATION_DISABLED), .. })
    }

    /// Whether the node is online already, as after a crash.
    pub fn is_activation_failed(&self) -> bool {
        matches!(self, Self::Refused { code: Some(ACTIVATION_FAILED), .. })
    }

    /// Whether the request itself is refused, so that retrying does not help.
    pub fn is_refused(&self) -> bool {
        matches!(self, Self::Refused { .. })
    }

    /// Whether nobody answered, which may be temporary.
    pub fn is_unreachable(&self) -> bool {
        matches!(self, Self::Unreachable { .. })
    }
}

/// Flower's error numbers.
const REGISTRATION_DISABLED: u32 = 2001;
const ACTIVATION_FAILED: u32 = 2004;
const RUN_STATUS: u32 = 2007;

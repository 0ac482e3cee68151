//! Checks of a SuperLink from the machine of a node or a server. No check changes anything on the SuperLink.

mod address;
mod key;
mod open;
mod tls;

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use flora_federation::Stop;
use serde::Serialize;

use crate::{Link, LinkConfig, LinkError, NodeKey};

/// The result of a check.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Verdict {
    /// Everything is as it should be.
    Ok,
    /// It works, but could be better or may fail soon.
    Warning,
    /// It does not work.
    Failed,
}

/// A check and its result.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Check {
    /// The subject, in one or two words.
    pub name: &'static str,
    /// The result.
    pub verdict: Verdict,
    /// The facts.
    pub found: String,
    /// What to do, unless the result is [`Verdict::Ok`].
    pub remedy: Option<String>,
}

impl Check {
    /// A check that passed.
    pub fn ok(name: &'static str, found: impl Into<String>) -> Self {
        Self { name, verdict: Verdict::Ok, found: found.into(), remedy: None }
    }

    /// A check with a warning.
    pub fn warning(
        name: &'static str,
        found: impl Into<String>,
        remedy: impl Into<String>,
    ) -> Self {
        let (found, remedy) = (found.into(), Some(remedy.into()));
        Self { name, verdict: Verdict::Warning, found, remedy }
    }

    /// A check that failed.
    pub fn failed(name: &'static str, found: impl Into<String>, remedy: impl Into<String>) -> Self {
        let (found, remedy) = (found.into(), Some(remedy.into()));
        Self { name, verdict: Verdict::Failed, found, remedy }
    }
}

/// A node's key, and the file of its public half.
pub struct Credentials<'a> {
    /// The key.
    pub key: Arc<NodeKey>,
    /// The file for the SuperLink's operator.
    pub public_key: &'a Path,
}

/// Checks a SuperLink: that it answers, its certificate, the clocks, the node's key if there is one, which services
/// this machine can reach, and its version. Each request is sent once.
pub fn examine(config: &LinkConfig, credentials: Option<&Credentials<'_>>) -> Vec<Check> {
    let config = &LinkConfig { timeout: config.timeout.min(PATIENCE), ..config.clone() };
    let link = match Link::new(config, Stop::default()) {
        Ok(link) => link,
        Err(error @ LinkError::Certificates { .. }) => {
            let remedy = "Give the PEM file of the CA that signed the SuperLink's certificate";
            return vec![Check::failed("certificates", error.to_string(), remedy)];
        }
        Err(error) => {
            let remedy = "Correct the address, for example https://fl.example.org";
            return vec![Check::failed("superlink", error.to_string(), remedy)];
        }
    };
    let (mut checks, answer) = address::check(&link);
    // The certificate can be examined, even if something else is wrong.
    checks.extend(tls::check(config, &link, answer.as_ref().err()));
    let Ok(answer) = answer else { return checks };
    checks.push(address::clock(answer.skew));
    if let Some(credentials) = credentials {
        checks.push(key::check(&link, credentials));
    }
    checks.extend(open::check(&link));
    checks
}

/// The time limit for an answer.
const PATIENCE: Duration = Duration::from_secs(10);

/// The host in an address.
fn host(url: &str) -> &str {
    let rest = url.split_once("://").map_or(url, |(_, rest)| rest);
    let authority = rest.split('/').next().unwrap_or_default();
    match authority.strip_prefix('[') {
        Some(rest) => rest.split(']').next().unwrap_or_default(),
        None => authority.rsplit_once(':').map_or(authority, |(host, _)| host),
    }
}

/// Whether the address belongs to this machine.
fn is_local(url: &str) -> bool {
    let host = host(url);
    host == "localhost"
        || host.ends_with(".localhost")
        || host.parse::<std::net::IpAddr>().is_ok_and(|address| address.is_loopback())
}

#[cfg(test)]
mod tests;

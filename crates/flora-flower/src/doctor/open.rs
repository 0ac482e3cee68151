use prost::Message;

use super::{Check, is_local};
use crate::Link;
use crate::http::{Reply, Said, version_headers};
use crate::wire::control::ListRunsRequest;

/// Checks whether the services without authentication are closed to this machine, and which version the SuperLink has,
/// if it says so.
///
/// Both requests fail and change nothing: one asks for the nodes of a run without a token, the other lists a run that
/// does not exist. Taking a task or listing all runs would have side effects: the first takes the task from its server,
/// the second cleans up runs.
pub(super) fn check(link: &Link) -> [Check; 3] {
    // A SuperLink answers an impossible version with its own.
    let headers = || version_headers("0.0.1", "SuperExec").to_vec();
    let runtime = link.probe("/v1/runtime/get-nodes", &headers, &[]).ok();
    let version = runtime.as_ref().and_then(said).and_then(|said| said.superlink_version());
    let request = ListRunsRequest { run_id: Some(1) }.encode_to_vec();
    let control = link.probe("/v1/control/list-runs", &Vec::new, &request).ok();
    [
        service("control", "start and stop runs", link.url(), control.as_ref()),
        service("runtime", "take a run over and read its messages", link.url(), runtime.as_ref()),
        about(version),
    ]
}

/// An error in Flower's own words. A proxy's errors differ.
fn said(reply: &Reply) -> Option<Said> {
    Said::read(&reply.bytes).filter(|said| said.code.is_some() || said.detail != "Not Found")
}

fn service(name: &'static str, power: &str, url: &str, reply: Option<&Reply>) -> Check {
    let Some(reply) = reply else {
        return Check::ok(name, format!("/v1/{name}/ is closed (no answer)"));
    };
    let is_open = reply.is_protobuf || said(reply).is_some();
    match (is_open, is_local(url)) {
        (false, _) => Check::ok(name, format!("/v1/{name}/ is closed (HTTP {})", reply.status)),
        (true, true) => Check::ok(
            name,
            format!(
                "/v1/{name}/ is open to this machine, as `flora serve` needs it; check from another machine that it is \
                 closed there"
            ),
        ),
        (true, false) => Check::warning(
            name,
            format!("/v1/{name}/ is open: anybody who reaches it may {power}, without a password"),
            "Put a reverse proxy before the SuperLink that lets only /v1/fleet/ through (docs/deployment.md), and let \
             the SuperLink listen on 127.0.0.1",
        ),
    }
}

fn about(version: Option<String>) -> Check {
    const NAME: &str = "version";
    let Some(version) = version else {
        return Check::ok(NAME, "the SuperLink does not report its version through this address");
    };
    let mut parts = version.split('.').map(str::parse::<u32>);
    let numbers = (parts.next(), parts.next());
    match numbers {
        (Some(Ok(1)), Some(Ok(40..=42))) => Check::ok(NAME, format!("Flower {version}")),
        (Some(Ok(1)), Some(Ok(minor))) if minor < 40 => Check::failed(
            NAME,
            format!("Flower {version}, which is too old"),
            "Install flwr 1.42.0 for the SuperLink: pip install flwr==1.42.0",
        ),
        _ => Check::warning(
            NAME,
            format!("Flower {version}, with which flora was not tested"),
            "If something fails, install flwr 1.42.0 for the SuperLink: pip install flwr==1.42.0",
        ),
    }
}

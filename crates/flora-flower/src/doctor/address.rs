use super::Check;
use crate::error::{clock_remedy, is_refused, mistrust, silence};
use crate::http::{Reply, Said};
use crate::{Link, LinkError};

const NAME: &str = "superlink";

/// Checks whether a SuperLink answers; also returns its answer. The request is a heartbeat without any key, which a
/// SuperLink refuses.
pub(super) fn check(link: &Link) -> (Vec<Check>, Result<Reply, LinkError>) {
    let answer = link.probe("/v1/fleet/send-node-heartbeat", &Vec::new, &[]);
    let url = link.url();
    let check = match &answer {
        Err(error) => unanswered(url, error),
        Ok(reply) => match recognise(reply) {
            Ok(()) => Check::ok(NAME, format!("{url} answers")),
            Err((found, remedy)) => Check::failed(NAME, format!("{url}: {found}"), remedy),
        },
    };
    let answer = match check.verdict {
        super::Verdict::Ok => answer,
        _ => answer.and_then(|reply| {
            let (url, status) = (url.to_owned(), reply.status);
            Err(LinkError::NotServed { url, path: "/v1/fleet".to_owned(), status })
        }),
    };
    (vec![check], answer)
}

/// Checks that a SuperLink answers a request without a key in this way; otherwise returns what answered, and a remedy.
fn recognise(reply: &Reply) -> Result<(), (String, &'static str)> {
    let Reply { status, bytes, .. } = reply;
    let said = Said::read(bytes);
    match (status, said) {
        (401, Some(said)) if said.detail.contains("SuperNode") => Ok(()),
        (401 | 407, _) => Err((
            format!("a proxy asks for a user's name and password (HTTP {status})"),
            "Nodes identify themselves by their keys alone: the proxy must let /v1/fleet/ through without asking",
        )),
        (404, Some(_)) => Err((
            "another API answers, which lacks Flower's Fleet service".to_owned(),
            "Correct the address, or update the SuperLink to Flower 1.40 or later",
        )),
        (502..=504, _) => Err((
            format!("a proxy answers, but cannot reach the SuperLink (HTTP {status})"),
            "Start the SuperLink, or correct its address in the proxy's configuration",
        )),
        (301..=308, _) => Err((
            format!("it redirects elsewhere (HTTP {status})"),
            "Give the address to which it redirects: requests with signatures are not sent on",
        )),
        (403..=405, None) => Err((
            format!("a web server answers, but does not serve /v1/fleet/ (HTTP {status})"),
            "Correct the address; if a proxy is there, it must pass POST /v1/fleet/ on to the SuperLink",
        )),
        _ => Err((
            format!("it does not answer as a SuperLink does (HTTP {status})"),
            "Correct the address, or update the SuperLink to Flower 1.40 or later",
        )),
    }
}

fn unanswered(url: &str, error: &LinkError) -> Check {
    match error {
        LinkError::Unreachable { problem, .. } => {
            // A TLS port closes connections that begin without TLS.
            let found = format!("{url} does not answer ({problem})");
            match super::tls::speaks_tls(url) {
                true => Check::failed(
                    NAME,
                    format!("{url} requires TLS"),
                    "Write the address with https://, and name its CA with --root-certificates if it is your own",
                ),
                false => Check::failed(NAME, found, silence(problem)),
            }
        }
        LinkError::Certificate { problem, .. } => Check::failed(
            NAME,
            format!("{url}: its certificate is not accepted ({problem})"),
            mistrust(problem),
        ),
        LinkError::Protocol { problem, .. } => Check::failed(
            NAME,
            format!("{url}: {problem}"),
            "Correct the address: its port, and http:// or https://",
        ),
        error => Check::failed(NAME, error.to_string(), "Correct the address, or ask its operator"),
    }
}

/// Checks the difference between the clocks. A SuperLink refuses signatures from the future and signatures older than
/// five minutes; the tolerances are known from flwr's source and from trials.
pub(super) fn clock(skew: Option<f64>) -> Check {
    const NAME: &str = "clock";
    /// Dates have a resolution of one second.
    const CLOSE: f64 = 2.0;
    match skew {
        None => Check::warning(
            NAME,
            "the SuperLink does not send its time",
            "Compare the clocks by hand: a node may be 4 s ahead, and 5 minutes behind",
        ),
        Some(skew) if is_refused(skew) => Check::failed(
            NAME,
            format!("differs by {:.0} s, so that signatures are refused", skew.abs()),
            clock_remedy(skew),
        ),
        Some(skew) if !(-60.0..=CLOSE).contains(&skew) => Check::warning(
            NAME,
            format!("differs by {:.0} s, which the SuperLink just tolerates", skew.abs()),
            clock_remedy(skew),
        ),
        Some(skew) if skew.abs() <= CLOSE => Check::ok(NAME, "agrees with the SuperLink's"),
        Some(skew) => Check::ok(NAME, format!("{:.0} s behind the SuperLink's", skew.abs())),
    }
}

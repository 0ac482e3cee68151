use super::{Check, Credentials};
use crate::error::{clock_remedy, is_refused};
use crate::services::FleetService;
use crate::{Link, LinkError};

const NAME: &str = "node key";

/// Checks whether the SuperLink knows the key.
pub(super) fn check(link: &Link, credentials: &Credentials<'_>) -> Check {
    let key = credentials.key.public_key().fingerprint();
    let public = credentials.public_key.display();
    let service = FleetService::new(link.clone(), credentials.key.clone());
    match known(&service) {
        Ok(true) => Check::ok(NAME, format!("{key} is registered")),
        Ok(false) => Check::warning(
            NAME,
            format!("{key} is not registered yet"),
            format!(
                "A SuperLink with --enable-supernode-auth must know the key: send {public} to its operator, who \
                 runs `flwr supernode register {public} CONNECTION`. Any other registers the node when it starts"
            ),
        ),
        Err(LinkError::Unauthorized { skew: Some(skew), .. }) if is_refused(skew) => Check::failed(
            NAME,
            format!("{key}: its signature is refused because of the clock"),
            clock_remedy(skew),
        ),
        Err(LinkError::Unauthorized { detail, .. }) => Check::failed(
            NAME,
            format!("{key}: its signature is refused ({detail})"),
            "Check both clocks, and that the proxy passes the headers flwr-public-key, flwr-signature and \
             flwr-timestamp on unchanged",
        ),
        Err(error) => Check::failed(NAME, error.to_string(), "Ask the SuperLink's operator"),
    }
}

/// Whether the SuperLink knows the key of `service`. The request is to bring the node online with an invalid heartbeat
/// interval. The SuperLink refuses the interval after it has looked up the key, so that nothing changes.
fn known(service: &FleetService) -> Result<bool, LinkError> {
    const IMPOSSIBLE: f64 = 0.0;
    match service.activate(IMPOSSIBLE) {
        Ok(_) => Ok(true),
        Err(error) if error.is_activation_failed() => Ok(false),
        Err(LinkError::Refused { code: Some(INVALID_INTERVAL), .. }) => Ok(true),
        Err(error) => Err(error),
    }
}

/// Flower's error number.
const INVALID_INTERVAL: u32 = 2003;

use std::path::PathBuf;
use std::time::Duration;

use flora::federation::Stop;
use flora::flower::{Link, LinkConfig};

use crate::failure::Failure;

/// The SuperLink, and the certificates to trust.
#[derive(Debug, clap::Args)]
pub(crate) struct SuperLinkArgs {
    /// The SuperLink: http://HOST:8000, or https://HOST behind a proxy
    #[arg(long, value_name = "URL")]
    pub(crate) superlink: String,
    /// PEM certificates that signed the SuperLink's, instead of those that browsers trust
    #[arg(long, value_name = "CA.pem")]
    pub(crate) root_certificates: Option<PathBuf>,
}

impl SuperLinkArgs {
    /// The connection settings.
    pub(crate) fn config(&self, patience: Duration) -> LinkConfig {
        LinkConfig {
            root_certificates: self.root_certificates.clone(),
            patience,
            ..LinkConfig::new(&self.superlink)
        }
    }

    /// A connection that retries an unresponsive SuperLink for `patience`.
    pub(crate) fn link(&self, patience: Duration, stop: Stop) -> Result<Link, Failure> {
        Link::new(&self.config(patience), stop).map_err(Failure::input)
    }
}

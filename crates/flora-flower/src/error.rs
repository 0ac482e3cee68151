//! Errors: of the connection to a SuperLink, of a node, and of a server.

mod link;
mod node;
mod server;

pub use self::link::LinkError;
pub(crate) use self::link::{clock_remedy, is_refused, mistrust, silence};
pub use self::node::NodeError;
pub use self::server::ServerError;

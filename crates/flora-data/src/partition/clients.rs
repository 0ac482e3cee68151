//! Limits on the number of clients, and their ids.

use crate::Error;

/// More clients than any simulation supports; keeps a typing error from exhausting the memory.
const MOST_CLIENTS: usize = 100_000;

/// `client-03`; as many digits as the last client needs, but at least two, so that ids sort.
pub(super) fn id(client: usize, clients: usize) -> String {
    let width = clients.saturating_sub(1).to_string().len().max(2);
    format!("client-{client:0width$}")
}

pub(super) fn check_count(clients: usize) -> Result<(), Error> {
    if (1..=MOST_CLIENTS).contains(&clients) {
        return Ok(());
    }
    Err(Error::Partition {
        field: "clients".to_owned(),
        problem: format!("{clients} clients are not possible"),
        remedy: format!("choose 1 to {MOST_CLIENTS}"),
    })
}

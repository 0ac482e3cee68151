//! The protocol in the rounds of a federation: queries, a task to train, and queries again.

mod client;
mod fleet;

use std::sync::Arc;

use flora_core::record::is_correction;
use flora_core::{Dtype, HostTensor, ParameterRecord};
use flora_federation::Message;
use sha2::{Digest, Sha256};

pub use client::Secure;
pub use fleet::{MOST_EXAMPLES, SecureFacts, SecureFleet};

use crate::{Ask, ClientId, Request};

/// The query of every stage except training; also the name of the record and of its tensor with a stage's bytes. Flower
/// requires an identifier.
pub const SECURE: &str = "secure_aggregation";

/// The number of the client with this name.
fn number(client: &str) -> ClientId {
    let digest = Sha256::digest(client);
    let (first, _) = digest.split_first_chunk().expect("32 bytes");
    ClientId(u64::from_be_bytes(*first))
}

fn put(message: &mut Message, bytes: Vec<u8>) {
    let mut record = ParameterRecord::new();
    record.insert(SECURE, HostTensor::from_bytes(bytes)).expect("one tensor");
    message.records.insert(SECURE.to_owned(), Arc::new(record));
}

fn take(message: &mut Message) -> Option<Vec<u8>> {
    let record = message.records.remove(SECURE)?;
    Some(record.get(SECURE)?.as_bytes()?.to_vec())
}

/// Whether the message of a query is the first of a round. A client that is restored to its state before the round
/// answers it.
pub fn begins_round(message: &Message) -> bool {
    let record = message.records.get(SECURE).and_then(|record| record.get(SECURE));
    let request = record.and_then(|tensor| Request::from_bytes(tensor.as_bytes()?).ok());
    request.is_some_and(|request| matches!(request.body, Ask::Setup(_)))
}

/// The tensors whose updates can be added up.
fn eligible(sent: &ParameterRecord) -> impl Iterator<Item = (&str, &HostTensor)> {
    sent.iter().filter(|(name, tensor)| tensor.dtype() == Dtype::F32 && !is_correction(name))
}

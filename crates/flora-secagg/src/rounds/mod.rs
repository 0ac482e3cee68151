//! The protocol in the rounds of a federation: queries, a task to train, and queries again.

mod client;
mod fleet;

use std::sync::Arc;

use flora_core::record::is_correction;
use flora_core::{Dtype, HostTensor, ParameterRecord};
use flora_federation::Message;
use sha2::{Digest, Sha256};

pub use client::Secure;
pub use fleet::{SecureFacts, SecureFleet};

use crate::ClientId;

/// The query of all stages but one, which Flower wants to be an identifier, and the record and tensor of every stage's bytes. In the stage of masked lanes they are in the
/// task to train, and in its answer.
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

/// The tensors whose updates can be added up.
fn eligible(sent: &ParameterRecord) -> impl Iterator<Item = (&str, &HostTensor)> {
    sent.iter().filter(|(name, tensor)| tensor.dtype() == Dtype::F32 && !is_correction(name))
}

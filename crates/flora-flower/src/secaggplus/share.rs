//! The stage `share_keys`.

use std::collections::HashSet;
use std::time::SystemTime;

use zeroize::Zeroizing;

use super::agree::public_from_pem;
use super::error::{CHANGED, refuse, too_few};
use super::held::Held;
use super::read::Fields;
use super::settings::Settings;
use super::shamir::split;
use super::stage::{Keys, Neighbour, Shared};
use super::{Random, SecAggError, fernet};

/// The neighbours' keys, in the server's order, including the node's own.
pub(super) fn nodes(fields: &Fields<'_>) -> Result<Vec<Neighbour>, SecAggError> {
    let items = fields.items().filter(|item| item.key != "stage");
    let nodes = items.map(|item| {
        let id = item.key.parse::<u64>().ok().filter(|id| id.to_string() == item.key);
        let id = id.ok_or_else(|| fields.wrong(&item.key, "is not a node's id"))?;
        let [mask, cipher] = fields.byte_strings(&item.key)? else {
            return Err(fields.wrong(&item.key, "is not two keys"));
        };
        let key = |pem| {
            public_from_pem(pem)
                .ok_or_else(|| fields.wrong(&item.key, "has a key that is not on the curve P-384"))
        };
        Ok(Neighbour { id, mask: key(mask)?, cipher: key(cipher)? })
    });
    nodes.collect()
}

impl Keys {
    /// Checks the neighbours; returns the node's own index among them.
    pub(super) fn check(&self, id: u64, nodes: &[Neighbour]) -> Result<usize, SecAggError> {
        let Settings { threshold, share_num, .. } = self.settings;
        if nodes.len() < threshold as usize {
            return Err(too_few(nodes.len(), threshold));
        }
        if nodes.len() > share_num as usize {
            return refuse(format!(
                "there are {} neighbours for {share_num} shares; choose an odd num_shares of SecAggPlusWorkflow",
                nodes.len()
            ));
        }
        let mut seen = HashSet::new();
        for node in nodes {
            // Compared as points, since one key can have several texts.
            if ![&node.mask, &node.cipher].into_iter().all(|key| seen.insert(key.to_sec1_bytes())) {
                return refuse(format!("a key of node {} occurs twice; {CHANGED}", node.id));
            }
        }
        match nodes.iter().position(|node| node.id == id) {
            None => refuse(format!("node {id} is not among its own neighbours; {CHANGED}")),
            Some(place) => {
                let own = &nodes[place];
                match own.mask == self.mask.public() && own.cipher == self.cipher.public() {
                    true => Ok(place),
                    false => refuse(format!(
                        "the keys that the server has of node {id} are not its own; {CHANGED}"
                    )),
                }
            }
        }
    }

    /// Shares this node's secrets with `nodes`, where it has the index `place` itself; also returns the message for
    /// each of the others.
    pub(super) fn share(
        self,
        id: u64,
        mut nodes: Vec<Neighbour>,
        place: usize,
        random: &mut Random<'_>,
    ) -> Result<(Shared, Vec<Vec<u8>>), SecAggError> {
        let mut seed = Zeroizing::new([0; 32]);
        random(&mut *seed).map_err(SecAggError::Random)?;
        let Settings { threshold, .. } = self.settings;
        let count = nodes.len() as u32;
        let seeds = split(&*seed, threshold, count, random)?;
        let keys = split(self.mask.to_pem().as_bytes(), threshold, count, random)?;
        // The shares of a node have its index in the server's list.
        let shares = nodes.iter().zip(seeds.into_iter().zip(keys));
        let mut shares: Vec<Held> =
            shares.map(|(node, (seed, key))| Held { node: node.id, seed, key }).collect();
        let own = shares.remove(place);
        nodes.remove(place);

        let now =
            SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).map_or(0, |it| it.as_secs());
        let mut tokens = Vec::with_capacity(nodes.len());
        for (node, shares) in nodes.iter().zip(&shares) {
            let key = self.cipher.shared_key(&node.cipher);
            let mut iv = [0; 16];
            random(&mut iv).map_err(SecAggError::Random)?;
            tokens
                .push(fernet::encrypt(key.bytes(), &shares.to_plaintext(id), iv, now).into_bytes());
        }
        Ok((Shared { keys: self, neighbours: nodes, seed, own }, tokens))
    }
}

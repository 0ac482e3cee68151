//! The stage `unmask`.

use super::SecAggError;
use super::error::{CHANGED, refuse, too_few};
use super::read::Fields;
use super::stage::Shares;

impl Shares {
    /// The requested shares, one per node: of the seed for nodes that are online, and of the private key for nodes that
    /// are lost. Both shares of one node would reveal its parameters.
    pub(super) fn reveal(
        &self,
        id: u64,
        fields: &Fields<'_>,
    ) -> Result<(Vec<u64>, Vec<Vec<u8>>), SecAggError> {
        let (active, dead) = (fields.ids("active_nids")?, fields.ids("dead_nids")?);
        if active.len() < self.threshold as usize {
            return Err(too_few(active.len(), self.threshold));
        }
        if let Some(both) = active.iter().find(|id| dead.contains(id)) {
            return refuse(format!("node {both} is said to be there and to be lost; {CHANGED}"));
        }
        if !active.contains(&id) {
            return refuse(format!(
                "node {id} has sent its masked parameters, and is said to be lost; {CHANGED}"
            ));
        }
        let held = |id: &u64| match self.held.iter().find(|it| it.node == *id) {
            Some(held) => Ok(held),
            None => refuse(format!(
                "node {id} did not share its keys, and Flower's server cannot finish a round without them"
            )),
        };
        let seeds = active.iter().map(|id| Ok(held(id)?.seed.to_vec()));
        let keys = dead.iter().map(|id| Ok(held(id)?.key.to_vec()));
        let shares = seeds.chain(keys).collect::<Result<_, SecAggError>>()?;
        Ok(([active, dead].concat(), shares))
    }
}

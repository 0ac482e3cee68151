use super::Server;
use crate::{
    Fault, Result, SecaggError, Stage, Sum,
    crypto::{self, Digest, Sign},
    lanes,
    packing::Layout,
    secrets::{self, End},
    shamir,
};
use curve25519_dalek::Scalar;
use std::mem;
use zeroize::Zeroizing;

/// Lagrange weights of the last set of holders. In a complete graph, most dealers have the same holders.
#[derive(Default)]
struct Weights {
    points: Vec<u64>,
    weights: Vec<Scalar>,
}

impl Weights {
    fn of(&mut self, points: Vec<u64>) -> &[Scalar] {
        if self.points != points {
            self.weights = shamir::weights(&points);
            self.points = points;
        }
        &self.weights
    }
}

impl Server {
    /// Ends the last stage: reconstructs the secrets, removes the masks and returns the sum. The attempt is then over.
    ///
    /// # Errors
    ///
    /// [`SecaggError::TooFew`] if a secret has too few shares, [`SecaggError::Peer`] with [`Fault::Dealt`] for a
    /// client whose shares give another secret than the one it committed to, and [`SecaggError::Sum`] if a client
    /// sent a wrong masked vector.
    pub fn finish(&mut self) -> Result<Sum> {
        let found = mem::replace(&mut self.stage, Stage::Over);
        if found != Stage::Opened {
            // Not the end of the attempt: a caller's mistake.
            self.stage = found;
            return Err(SecaggError::Stage { expected: Stage::Opened, found });
        }
        let mut weights = Weights::default();
        let (task, mut lanes) = self.sums.pop_first().expect("the stage had enough clients");
        let layout = self.setup.layout();
        for position in 0..self.members.len() {
            if self.members[position].shares.is_none() {
                continue;
            }
            let secret = self.secret(position, &mut weights)?;
            match self.members[position].masked() {
                true => self.remove_own(position, &secret, layout.as_ref(), &mut lanes)?,
                false => {
                    self.remove_pairs(position, &secret, (&task, layout.as_ref()), &mut lanes)?
                }
            }
        }
        // Sums modulo 2^32 are right modulo every smaller power of two.
        if let Some(layout) = layout {
            layout.reduce(&mut lanes);
        }
        let clients =
            self.setup.clients().iter().zip(&self.members).filter(|(_, member)| member.masked());
        let clients = clients.map(|(client, _)| *client).collect();
        lanes::Sum::new(clients, lanes, *self.setup.grid(), self.setup.rotation())
    }

    /// Reconstructs the secret of the client at `position` from the opened shares.
    fn secret(&self, position: usize, weights: &mut Weights) -> Result<Zeroizing<Scalar>> {
        let needed = self.setup.threshold();
        let holders = || self.graph[position].iter().map(|j| *j as usize).chain([position]);
        let opened =
            |holder: &usize| self.members[*holder].openings.as_ref()?.get(&(position as u32));
        let (points, shares): (Vec<u64>, Vec<Scalar>) = holders()
            .filter_map(|holder| opened(&holder).map(|share| (holder as u64 + 1, *share)))
            .take(needed)
            .unzip();
        if points.len() < needed {
            return Err(SecaggError::TooFew {
                stage: Stage::Opened,
                about: Some(self.setup.clients()[position]),
                found: points.len(),
                needed,
                missing: holders()
                    .filter(|j| opened(j).is_none())
                    .map(|j| self.setup.clients()[j])
                    .collect(),
            });
        }
        Ok(shamir::combine(weights.of(points), &shares))
    }

    fn dealt_wrong(&self, position: usize) -> SecaggError {
        SecaggError::peer(self.setup.clients()[position], Stage::Shares, Fault::Dealt)
    }

    /// Removes the self mask of a client in the sum.
    fn remove_own(
        &self,
        position: usize,
        seed: &Scalar,
        layout: Option<&Layout>,
        lanes: &mut [u32],
    ) -> Result<()> {
        let (client, digest) = (self.setup.clients()[position], self.setup.digest());
        let committed = self.members[position].shares.as_ref().map(|shares| shares.seed);
        if committed != Some(secrets::seed_commitment(digest, client, seed)) {
            return Err(self.dealt_wrong(position));
        }
        let key = secrets::seed_key(seed, digest, client);
        crypto::mask_lanes(lanes, layout, &key, Sign::Minus);
        Ok(())
    }

    /// Removes the pairwise masks that neighbours share with a client that dealt shares and then dropped out.
    fn remove_pairs(
        &self,
        position: usize,
        secret: &Scalar,
        (task, layout): (&Digest, Option<&Layout>),
        lanes: &mut [u32],
    ) -> Result<()> {
        let (client, digest) = (self.setup.clients()[position], self.setup.digest());
        let key = secrets::mask_key(secret, digest, client);
        let public = secrets::public(&key);
        if self.members[position].keys.as_ref().is_none_or(|keys| keys.mask != public) {
            return Err(self.dealt_wrong(position));
        }
        for neighbour in
            self.near(position, |member| member.keys.as_ref().filter(|_| member.masked()).cloned())
        {
            let other = neighbour.client;
            let pair =
                secrets::pair_key(&key, End(client, &public), End(other, &neighbour.mask), digest)
                    .ok_or_else(|| SecaggError::peer(other, Stage::Keys, Fault::WeakKey))?;
            // The neighbour added where this subtracts, and the other way round.
            let sign = if client > other { Sign::Minus } else { Sign::Plus };
            crypto::mask_lanes(lanes, layout, &secrets::pair_mask(&pair, digest, task), sign);
        }
        Ok(())
    }
}

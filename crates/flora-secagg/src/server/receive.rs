use std::collections::BTreeMap;

use super::{Member, Server};
use crate::{
    Answer, ClientId, Fault, Opening, PublicKeys, Response, Result, SecaggError, Shares, Stage,
    Tag, crypto::Digest, secrets::Kind,
};

impl Server {
    /// Takes a client's reply. `from` is the sender according to the transport.
    ///
    /// # Errors
    ///
    /// An invalid reply, with the client and the fault. An invalid reply changes nothing: the client may send another
    /// one until the stage is closed.
    pub fn receive(&mut self, from: ClientId, response: Response) -> Result<()> {
        let found = response.body.stage();
        let refuse = |fault| Err(SecaggError::peer(from, found, fault));
        let tag = Tag::of(&self.setup);
        if response.tag != tag {
            return refuse(Fault::Session {
                found: response.tag.to_string(),
                expected: tag.to_string(),
            });
        }
        if response.from != from {
            return refuse(Fault::Sender(response.from));
        }
        let Some(position) = self.setup.position(from) else { return refuse(Fault::Unknown) };
        if self.members[position].answered(found) {
            return refuse(Fault::Twice);
        }
        if found != self.stage {
            return Err(SecaggError::Stage { expected: self.stage, found });
        }
        if !self.members[position].asked(found) {
            return refuse(Fault::Unasked);
        }
        let taken = match response.body {
            Answer::Keys(keys) => self.keys(position, keys),
            Answer::Shares(shares) => self.shares(position, shares),
            Answer::Masked { task, lanes } => self.words(position, task, &lanes),
            Answer::Packed { task, lanes } => self.packed(position, task, &lanes),
            Answer::Signed(signature) => self.signed(position, signature),
            Answer::Opened(openings) => self.opened(position, &openings),
        };
        taken.or_else(refuse)
    }

    fn keys(&mut self, position: usize, keys: PublicKeys) -> Result<(), Fault> {
        let client = self.setup.clients()[position];
        if keys.client != client {
            return Err(Fault::Sender(keys.client));
        }
        let identity = self.directory.identity(&keys)?;
        if !keys.by(identity, self.setup.digest()).verifies() {
            return Err(Fault::Signature);
        }
        if keys.mask == keys.sealing {
            return Err(Fault::SharedKey(client));
        }
        if let Some(owner) = [keys.mask, keys.sealing].iter().find_map(|key| self.owners.get(key)) {
            return Err(Fault::SharedKey(*owner));
        }
        self.owners.extend([(keys.mask, client), (keys.sealing, client)]);
        self.directory.pin(client, identity);
        self.members[position].keys = Some(keys);
        Ok(())
    }

    fn shares(&mut self, position: usize, shares: Shares) -> Result<(), Fault> {
        let expected = self.near(position, |member| member.keys.as_ref().map(|keys| keys.client));
        let found: Vec<ClientId> = shares.bundles.iter().map(|bundle| bundle.peer).collect();
        if expected != found {
            let odd = expected.iter().find(|client| !found.contains(client));
            let odd = odd.or_else(|| found.iter().find(|client| !expected.contains(client)));
            let problem = odd.map_or("in another order".to_owned(), |client| {
                format!("client {client} is the first")
            });
            return Err(Fault::Clients(problem));
        }
        self.members[position].shares = Some(shares);
        Ok(())
    }

    fn words(&mut self, position: usize, task: Digest, lanes: &[u32]) -> Result<(), Fault> {
        if self.setup.layout().is_some() {
            return Err(Fault::Form("lanes of 32 bits, and packed ones are due".to_owned()));
        }
        self.masked(position, task, lanes)
    }

    fn packed(&mut self, position: usize, task: Digest, lanes: &[u8]) -> Result<(), Fault> {
        let Some(layout) = self.setup.layout() else {
            return Err(Fault::Form("packed lanes, and lanes of 32 bits are due".to_owned()));
        };
        self.masked(position, task, &layout.unpack(lanes).map_err(Fault::Form)?)
    }

    fn masked(&mut self, position: usize, task: Digest, lanes: &[u32]) -> Result<(), Fault> {
        let due = self.setup.length() + 1;
        if lanes.len() != due {
            return Err(Fault::Form(format!("{} lanes, and {due} are due", lanes.len())));
        }
        let sum = self.sums.entry(task).or_insert_with(|| vec![0; due]);
        sum.iter_mut().zip(lanes).for_each(|(sum, lane)| *sum = sum.wrapping_add(*lane));
        self.members[position].task = Some(task);
        Ok(())
    }

    /// Clients verify each other's signatures. The server does so first, so that an invalid one stops its sender and
    /// not the clients that would receive it.
    fn signed(&mut self, position: usize, signature: [u8; 64]) -> Result<(), Fault> {
        let member = &self.members[position];
        let keys = member.keys.as_ref().expect("asked after its keys arrived");
        let task = member.task.as_ref().expect("asked after its lanes arrived");
        match keys.signed(&self.setup, task, &self.survivors(), &signature) {
            true => self.members[position].signature = Some(signature),
            false => return Err(Fault::Signature),
        }
        Ok(())
    }

    fn opened(&mut self, position: usize, openings: &[Opening]) -> Result<(), Fault> {
        let clients = self.setup.clients();
        let holder = clients[position];
        // The holder itself, and each neighbour that dealt it shares.
        let mut dealers: Vec<u32> = self.graph[position].clone();
        dealers.retain(|dealer| self.members[*dealer as usize].shares.is_some());
        dealers.push(position as u32);
        dealers.sort_unstable();
        if !dealers
            .iter()
            .map(|dealer| clients[*dealer as usize])
            .eq(openings.iter().map(|opening| opening.dealer))
        {
            return Err(Fault::Clients(format!(
                "{} openings, and {} others are due",
                openings.len(),
                dealers.len()
            )));
        }
        let mut scalars = BTreeMap::new();
        for (dealer, opening) in dealers.into_iter().zip(openings) {
            let member: &Member = &self.members[dealer as usize];
            let kind = if member.masked() { Kind::Seed } else { Kind::Key };
            let committed = match (dealer as usize == position, kind) {
                (true, _) => member.shares.as_ref().map(|shares| shares.own),
                (false, Kind::Seed) => member.bundle(holder).map(|bundle| bundle.seed),
                (false, Kind::Key) => member.bundle(holder).map(|bundle| bundle.key),
            };
            let fits = committed == Some(opening.commitment(&self.setup, kind, holder));
            let scalar =
                opening.scalar().filter(|_| fits).ok_or(Fault::Share { dealer: opening.dealer })?;
            scalars.insert(dealer, scalar);
        }
        self.members[position].openings = Some(scalars);
        Ok(())
    }

    /// The first stage in which a client did not answer.
    pub fn dropped(&self, client: ClientId) -> Option<Stage> {
        let member = &self.members[self.setup.position(client)?];
        Stage::ALL.into_iter().find(|stage| *stage < self.stage && !member.answered(*stage))
    }
}

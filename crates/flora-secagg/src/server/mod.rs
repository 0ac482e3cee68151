//! The server: it relays messages between clients, adds up masked lanes and removes the masks.

mod receive;
mod unmask;

use std::collections::BTreeMap;

use curve25519_dalek::Scalar;

use crate::{
    Ask, Bundle, ClientId, Directory, PublicKeys, Request, Result, SecaggError, Setup, Shares,
    Stage, Survivors, Tag, crypto::Digest,
};

/// The server in one attempt.
///
/// [`start`](Self::start) returns the first requests. In each stage, the caller delivers the requests, passes every
/// reply to [`receive`](Self::receive) until all have replied or a time limit ends, and calls
/// [`close`](Self::close) for the requests of the next stage. The fifth stage ends with [`finish`](Self::finish),
/// which returns the sum.
///
/// A stage that ends with too few clients ends the attempt, and the updates stay hidden. A new attempt needs a setup
/// with a new attempt number.
///
/// Keys and survivors are signed by the client's identity. For all other messages, the server trusts the transport to
/// name the sender: an impostor could spoil the sum, but would learn nothing.
pub struct Server {
    setup: Setup,
    directory: Directory,
    graph: Vec<Vec<u32>>,
    stage: Stage,
    /// By position in the roster.
    members: Vec<Member>,
    /// The sums of the masked lanes so far, by the clients' tasks. One is left after the stage.
    sums: BTreeMap<Digest, Vec<u32>>,
    /// The owner of each public key, to find duplicates.
    owners: BTreeMap<[u8; 32], ClientId>,
}

/// The replies of one client.
#[derive(Default)]
struct Member {
    keys: Option<PublicKeys>,
    shares: Option<Shares>,
    /// The task of its masked lanes.
    task: Option<Digest>,
    /// Whether its lanes were left out, because its task is not that of the sum.
    is_odd: bool,
    signature: Option<[u8; 64]>,
    /// By the dealer's position.
    openings: Option<BTreeMap<u32, Scalar>>,
}

impl Member {
    /// Whether it answered in a stage.
    fn answered(&self, stage: Stage) -> bool {
        match stage {
            Stage::Keys => self.keys.is_some(),
            Stage::Shares => self.shares.is_some(),
            Stage::Masked => self.masked(),
            Stage::Signed => self.signature.is_some(),
            Stage::Opened => self.openings.is_some(),
            Stage::Over => false,
        }
    }

    /// Whether it is asked in a stage: it answered in the previous one.
    fn asked(&self, stage: Stage) -> bool {
        let before = Stage::ALL.into_iter().take_while(|other| *other < stage).last();
        stage != Stage::Over && before.is_none_or(|before| self.answered(before))
    }

    /// Whether its lanes are in the sum.
    fn masked(&self) -> bool {
        self.task.is_some()
    }

    fn bundle(&self, holder: ClientId) -> Option<&Bundle> {
        let bundles = &self.shares.as_ref()?.bundles;
        bundles.binary_search_by_key(&holder, |bundle| bundle.peer).ok().map(|i| &bundles[i])
    }
}

impl Server {
    /// A server for one attempt. With [`Directory::Known`] it refuses keys that do not belong to the known clients.
    pub fn new(setup: Setup, directory: Directory) -> Self {
        let graph = setup.graph();
        let members = setup.clients().iter().map(|_| Member::default()).collect();
        Self {
            setup,
            directory,
            graph,
            stage: Stage::Keys,
            members,
            sums: BTreeMap::new(),
            owners: BTreeMap::new(),
        }
    }

    /// The setup, for every client.
    pub fn start(&self) -> Vec<(ClientId, Request)> {
        self.requests(|_| Ask::Setup(self.setup.clone()))
    }

    /// The current stage.
    pub fn stage(&self) -> Stage {
        self.stage
    }

    /// The setup.
    pub fn setup(&self) -> &Setup {
        &self.setup
    }

    /// The identity keys, including those first seen in this attempt.
    pub fn directory(&self) -> &Directory {
        &self.directory
    }

    /// The clients whose masked lanes were left out when the stage ended, because they had trained on another
    /// [task](crate::Update::task) than most.
    pub fn odd(&self) -> Vec<ClientId> {
        let odd = |i: &usize| self.members[*i].is_odd;
        (0..self.members.len()).filter(odd).map(|i| self.setup.clients()[i]).collect()
    }

    /// The clients that were asked in this stage and have not replied.
    pub fn waiting(&self) -> Vec<ClientId> {
        let waits = |i: &usize| {
            self.members[*i].asked(self.stage) && !self.members[*i].answered(self.stage)
        };
        (0..self.members.len()).filter(waits).map(|i| self.setup.clients()[i]).collect()
    }

    /// Ends a stage and returns the requests of the next one. Clients that have not replied count as dropped out, and
    /// so do those that trained on another [task](crate::Update::task) than most.
    ///
    /// # Errors
    ///
    /// [`SecaggError::TooFew`], after which the attempt is over, and [`SecaggError::Stage`] after the last stage, which
    /// [`finish`](Self::finish) ends.
    pub fn close(&mut self) -> Result<Vec<(ClientId, Request)>> {
        if self.stage >= Stage::Opened {
            return Err(SecaggError::Stage { expected: Stage::Signed, found: self.stage });
        }
        if self.stage == Stage::Masked {
            self.settle();
        }
        if let Err(error) = self.enough() {
            self.stage = Stage::Over;
            return Err(error);
        }
        self.stage = self.stage.next();
        Ok(match self.stage {
            Stage::Shares => {
                self.requests(|i| Ask::Keys(self.near(i, |member| member.keys.clone())))
            }
            Stage::Masked => self.requests(|i| {
                let from = |j: &u32| {
                    let bundle = self.members[*j as usize].bundle(self.setup.clients()[i])?;
                    Some(Bundle { peer: self.setup.clients()[*j as usize], ..bundle.clone() })
                };
                Ask::Bundles(self.graph[i].iter().filter_map(from).collect())
            }),
            Stage::Signed => {
                let survivors = self.survivors();
                self.requests(|_| Ask::Survivors(survivors.clone()))
            }
            _ => self.requests(|i| {
                let signed = |j: &u32| {
                    let signature = self.members[*j as usize].signature?;
                    Some((self.setup.clients()[*j as usize], signature))
                };
                // No more than the client needs: it counts itself, and each verification takes 11 us.
                let few = self.graph[i].iter().filter_map(signed).take(self.setup.threshold() - 1);
                Ask::Signatures(few.collect())
            }),
        })
    }

    /// Keeps the sum of the task that most clients trained on. Masks cancel only among clients with the same task.
    fn settle(&mut self) {
        let mut counts: BTreeMap<Digest, usize> = BTreeMap::new();
        for task in self.members.iter().filter_map(|member| member.task) {
            *counts.entry(task).or_default() += 1;
        }
        let most = counts.into_iter().max_by_key(|(_, count)| *count).map(|(task, _)| task);
        self.sums.retain(|task, _| Some(*task) == most);
        for member in &mut self.members {
            if member.task.is_some() && member.task != most {
                (member.task, member.is_odd) = (None, true);
            }
        }
    }

    fn survivors(&self) -> Survivors {
        Survivors::of(self.members.len(), |i| self.members[i].masked())
    }

    /// Collects one field of the neighbours of the client at `position`, in order.
    fn near<T>(&self, position: usize, of: impl Fn(&Member) -> Option<T>) -> Vec<T> {
        self.graph[position].iter().filter_map(|j| of(&self.members[*j as usize])).collect()
    }

    fn requests(&self, ask: impl Fn(usize) -> Ask) -> Vec<(ClientId, Request)> {
        let tag = Tag::of(&self.setup);
        let asked = (0..self.members.len()).filter(|i| self.members[*i].asked(self.stage));
        asked
            .map(|i| {
                let to = self.setup.clients()[i];
                (to, Request { tag: tag.clone(), to, body: ask(i) })
            })
            .collect()
    }

    /// Checks that enough clients answered in this stage for the sum, and for every secret that must be opened.
    fn enough(&self) -> Result<()> {
        let stage = self.stage;
        let here = |i: usize| self.members[i].answered(stage);
        let missing = |among: &mut dyn Iterator<Item = usize>| -> Vec<ClientId> {
            among.filter(|i| !here(*i)).map(|i| self.setup.clients()[i]).collect()
        };
        let count = (0..self.members.len()).filter(|i| here(*i)).count();
        // The sum is fixed after the masked lanes: later stages need holders of shares only.
        if stage <= Stage::Masked && count < self.setup.minimum() {
            let (found, needed) = (count, self.setup.minimum());
            let missing = missing(&mut (0..self.members.len()));
            return Err(SecaggError::TooFew { stage, about: None, found, needed, missing });
        }
        for (i, member) in self.members.iter().enumerate() {
            // Only secrets that will be needed: of clients that dealt shares, or advertised if none are dealt yet.
            if !member.answered(stage.min(Stage::Shares)) {
                continue;
            }
            let holders = || self.graph[i].iter().map(|j| *j as usize).chain([i]);
            let found = holders().filter(|j| here(*j)).count();
            if found < self.setup.threshold() {
                return Err(SecaggError::TooFew {
                    stage,
                    about: Some(self.setup.clients()[i]),
                    found,
                    needed: self.setup.threshold(),
                    missing: missing(&mut holders()),
                });
            }
        }
        Ok(())
    }
}

//! Which nodes are online, and which of them take part.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use flora_federation::protocol::{HELLO, HERE, JOIN, NUM_TEST_EXAMPLES};
use flora_federation::{ClientInfo, Message};

use super::event::SiteEvent;
use super::exchange::Incoming;
use super::fleet::{LAST_LOOK, SuperLinkFleet};
use super::members::{Member, Question, Stage, Watched};
use crate::{PublicKey, ServerError};

/// Handles a reply to a question; an error is the reason why the site does not take part.
type OnAnswer<'a> = &'a mut dyn FnMut(&str, Message) -> Result<Stage, String>;

/// A refused site is asked again after this time: the problem may have been solved.
const AGAIN: Duration = Duration::from_secs(30);

/// Flower's status of a reachable node.
const ONLINE: &str = "online";

impl SuperLinkFleet {
    /// Waits until `sites` sites have reported their data, and returns the results of `read` by site name. A site whose
    /// reply `read` refuses does not take part.
    ///
    /// # Errors
    /// The SuperLink fails, or the run is asked to stop.
    pub fn profiles<T>(
        &mut self,
        sites: usize,
        read: impl Fn(&Message) -> Result<T, String>,
    ) -> Result<BTreeMap<String, T>, ServerError> {
        let mut profiles = BTreeMap::new();
        self.gather(Question::Hello, sites, &mut |name, message| {
            profiles.insert(name.to_owned(), read(&message)?);
            Ok(Stage::Profiled)
        })?;
        Ok(profiles)
    }

    /// Sends each site its plan, `plan` by the site's name, and waits until `sites` have joined. Later sites receive
    /// the same plan.
    ///
    /// # Errors
    /// The SuperLink fails, or the run is asked to stop.
    pub fn join(
        &mut self,
        sites: usize,
        plan: impl Fn(&str) -> Message + Send + 'static,
    ) -> Result<Vec<ClientInfo>, ServerError> {
        self.plan = Box::new(plan);
        self.gather(Question::Join, sites, &mut joined)?;
        Ok(self.members.values().filter_map(Member::joined).cloned().collect())
    }

    /// Asks all sites, and waits for `sites` answers.
    fn gather(
        &mut self,
        question: Question,
        sites: usize,
        on_answer: OnAnswer<'_>,
    ) -> Result<(), ServerError> {
        let is_done = |member: &Member| {
            matches!(
                (question, &member.stage),
                (_, Stage::Joined(_)) | (Question::Hello, Stage::Profiled)
            )
        };
        loop {
            self.look()?;
            self.ask(question)?;
            self.hear(on_answer)?;
            if self.members.values().filter(|member| is_done(member)).count() >= sites {
                return Ok(());
            }
            self.check_running()?;
            self.run.service().link().sleep(LAST_LOOK);
        }
    }

    /// The participating sites, after waiting for those that have just gone offline.
    pub(super) fn present(&mut self) -> Result<Vec<ClientInfo>, ServerError> {
        self.check_running()?;
        self.look()?;
        self.wait_for_the_lost()?;
        self.ask(Question::Join)?;
        self.hear(&mut joined)?;
        Ok(self.here())
    }

    /// The participating sites that were online at the last poll.
    pub(super) fn here(&self) -> Vec<ClientInfo> {
        let here = self.members.values().filter(|member| member.away.is_none());
        here.filter_map(Member::joined).cloned().collect()
    }

    /// Waits until sites that have just gone offline are back, or the grace period is over.
    fn wait_for_the_lost(&mut self) -> Result<(), ServerError> {
        loop {
            let mut waits = false;
            for member in self.members.values_mut() {
                let is_lost = member.joined().is_some() && member.away.is_some();
                waits |= is_lost && !member.is_given_up(self.grace);
            }
            if !waits {
                return Ok(());
            }
            self.check_running()?;
            self.run.service().link().sleep(LAST_LOOK);
            self.look()?;
        }
    }

    /// Polls which sites are online.
    pub(super) fn look(&mut self) -> Result<(), ServerError> {
        let mut online = BTreeMap::new();
        let nodes = self.run.service().nodes()?;
        self.tell_outages();
        for node in nodes {
            if let Ok(key) = PublicKey::from_pem(&node.public_key)
                && node.status == ONLINE
            {
                online.insert(key, node.node_id);
            }
        }
        for (key, &node_id) in &online {
            let Some(member) = self.members.get_mut(key) else {
                let member = self.newcomer(key, node_id);
                self.members.insert(key.clone(), member);
                continue;
            };
            member.node_id = node_id;
            member.given_up = false;
            if member.away.take().is_some() {
                if let Stage::Out(..) = member.stage {
                    member.stage = Stage::New;
                }
                (self.tell)(&SiteEvent::Back { name: member.name.clone() });
            }
        }
        for (key, member) in &mut self.members {
            if online.contains_key(key) || member.away.is_some() {
                continue;
            }
            member.away = Some(Instant::now());
            match member.stage {
                Stage::Stranger => continue,
                // The question to it may be lost, too.
                Stage::Asked(_) => member.stage = Stage::New,
                _ => {}
            }
            (self.tell)(&SiteEvent::Away { name: member.name.clone() });
        }
        Ok(())
    }

    fn newcomer(&mut self, key: &PublicKey, node_id: u64) -> Member {
        let fingerprint = key.fingerprint();
        let name = match &self.names {
            None => Some(format!("site-{}", key.short_id())),
            Some(names) => names.name(key).map(str::to_owned),
        };
        let taken = |name: &String| self.members.values().any(|member| member.name == *name);
        let problem = match &name {
            None => "its key is not in the file of names",
            Some(name) if taken(name) => "another key has the same name; give names with --names",
            Some(name) => {
                (self.tell)(&SiteEvent::Online { name: name.clone(), key: fingerprint });
                return Member::new(name.clone(), node_id);
            }
        };
        let name = format!("the node with key {fingerprint}");
        (self.tell)(&SiteEvent::Refused { name: name.clone(), problem: problem.to_owned() });
        Member { stage: Stage::Stranger, ..Member::new(name, node_id) }
    }

    /// Sends the pending questions, and repeats those whose replies are overdue if the questions may be lost.
    fn ask(&mut self, what: Question) -> Result<(), ServerError> {
        for member in self.members.values_mut().filter(|member| member.away.is_none()) {
            let (name, message) = match &member.stage {
                Stage::Asked(watched) if watched.is_due() => (HERE, Message::default()),
                Stage::Out(_, since) if since.elapsed() < AGAIN => continue,
                Stage::New | Stage::Out(..) if what == Question::Hello => {
                    (HELLO, Message::default())
                }
                Stage::New | Stage::Out(..) | Stage::Profiled if what == Question::Join => {
                    (JOIN, (self.plan)(&member.name))
                }
                _ => continue,
            };
            let asked = self.run.question(&self.token, member.node_id, name, &message)?;
            let Some(id) = asked else { continue };
            match &mut member.stage {
                Stage::Asked(watched) => watched.probe(id),
                Stage::Out(problem, _) => {
                    // Reported again only if the problem changed.
                    self.refused.insert(member.name.clone(), std::mem::take(problem));
                    member.stage = Stage::Asked(Watched::new(id));
                }
                _ => member.stage = Stage::Asked(Watched::new(id)),
            }
        }
        Ok(())
    }

    /// Receives replies to the questions.
    fn hear(&mut self, on_answer: OnAnswer<'_>) -> Result<(), ServerError> {
        let mut ids = Vec::new();
        for member in self.members.values() {
            if let Stage::Asked(watched) = &member.stage {
                ids.extend(watched.ids());
            }
        }
        for Incoming { asked, result, .. } in self.run.receive(ids, &mut self.announced)? {
            for member in self.members.values_mut() {
                let Stage::Asked(watched) = &mut member.stage else { continue };
                let is_lost = result.as_ref().is_err_and(|said| said.is_lost());
                if watched.hear(&asked, is_lost) || watched.message != asked {
                    continue;
                }
                let stage = match result {
                    Ok(message) => on_answer(&member.name, message),
                    Err(_) if is_lost => Ok(Stage::New),
                    Err(said) => Err(said.reason),
                };
                member.stage = stage.unwrap_or_else(|problem| Stage::Out(problem, Instant::now()));
                let name = member.name.clone();
                match &mut member.stage {
                    Stage::Joined(info) => {
                        // The server's name for the site counts.
                        info.id.clone_from(&name);
                        (self.tell)(&SiteEvent::Joined(info.clone()));
                    }
                    Stage::Out(problem, _) if self.refused.get(&name) != Some(problem) => {
                        let problem = problem.clone();
                        (self.tell)(&SiteEvent::Refused { name, problem });
                    }
                    _ => {}
                }
                break;
            }
        }
        let announced = &self.announced;
        for member in self.members.values_mut() {
            if let Stage::Asked(watched) = &member.stage
                && watched.is_lost()
                && announced.iter().all(|answer| !answer.is_to(&watched.message))
            {
                member.stage = Stage::New;
            }
        }
        Ok(())
    }
}

/// The most images with which a site may join. A number without sense would give the site all weight in every mean.
const MOST_IMAGES: usize = 1_000_000_000;

/// Reads a site's number of images.
fn joined(name: &str, message: Message) -> Result<Stage, String> {
    let num_test_examples = message.metrics.get(NUM_TEST_EXAMPLES).copied();
    let is_count = |number: &f64| *number >= 0.0 && number.fract() == 0.0 && *number < 1e15;
    match (message.num_examples(), num_test_examples.filter(is_count)) {
        (Some(images), _) if images > MOST_IMAGES => Err(format!(
            "it says that it trains on {images} images, and {MOST_IMAGES} are the most"
        )),
        (Some(num_examples), Some(test)) => Ok(Stage::Joined(ClientInfo {
            id: name.to_owned(),
            num_examples,
            num_test_examples: test as usize,
        })),
        _ => Err("it does not say how many images it has; is it a flora node?".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use flora_federation::Metrics;

    use super::*;

    #[test]
    fn numbers_of_images_without_sense_are_refused() {
        let join = |images: usize| {
            let test = Metrics::from([(NUM_TEST_EXAMPLES.to_owned(), 1.0)]);
            joined("a", Message::tested(images, test)).map(drop)
        };
        assert_eq!(join(MOST_IMAGES), Ok(()));
        assert!(join(MOST_IMAGES + 1).unwrap_err().contains("trains on 1000000001 images"));
        assert!(joined("a", Message::default()).is_err());
    }
}

//! A site's desk: its answers to flora's and Flower's servers, and its refusals.

mod flora;
mod masks;
mod memory;
mod policies;
mod privacy;
mod stock;

use std::path::{Path, PathBuf};
use std::sync::Arc;

use flora_core::ParameterRecord;
use flora_federation::protocol::{ATTEMPT, JOIN, PLAN, ROUND, RUN, SERVER_ROUND};
use flora_federation::{Config, Kind, Message, PARAMETERS, Value};
use flora_tuning::{Desk, Experiment, Plan, Policy, Request, Silent};
use tempfile::TempDir;

use crate::common::{Images, tiny_clip};
use crate::sites::{Place, domains, open, plan_for};

/// Images, and a desk of one domain of them, which may be restarted from its folder.
pub(crate) struct Office {
    pub(crate) images: Images,
    folder: TempDir,
    pub(crate) desk: Desk,
}

impl Office {
    pub(crate) fn new(policy: Policy) -> Self {
        let (images, folder) = (Images::new(3, 2), tempfile::tempdir().unwrap());
        let desk = desk(&images, &domains(&images)[0], folder.path(), policy);
        Self { images, folder, desk }
    }

    pub(crate) fn restart(&mut self, policy: Policy) {
        self.desk = desk(&self.images, &domains(&self.images)[0], self.folder.path(), policy);
    }

    pub(crate) fn runs(&self) -> PathBuf {
        self.folder.path().join("runs")
    }

    /// The names of the files that are kept of a run.
    pub(crate) fn kept(&self, token: &str) -> Vec<String> {
        let mut names: Vec<_> = std::fs::read_dir(self.runs().join(token))
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .filter(|name| name.ends_with(".state"))
            .collect();
        names.sort();
        names
    }

    pub(crate) fn plan(&self, set: &[&str]) -> Plan {
        plan_for(&self.images.experiment(set), &self.images.dataset(), "alpha")
    }

    pub(crate) fn ask(&mut self, kind: &Kind, message: &Message) -> Result<Message, String> {
        self.desk.handle(&Request { run: "flower-1".to_owned(), kind, message })
    }

    pub(crate) fn join(&mut self, token: &str, plan: &Plan) -> Result<Message, String> {
        self.join_with(&joining(token, plan))
    }

    pub(crate) fn join_with(&mut self, message: &Message) -> Result<Message, String> {
        self.ask(&Kind::Query(JOIN.to_owned()), message)
    }

    /// Lets it train, and returns the trained parameters.
    pub(crate) fn train(
        &mut self,
        token: &str,
        round: usize,
        from: &ParameterRecord,
    ) -> Result<ParameterRecord, String> {
        let answer = self.ask(&Kind::Train, &task(token, round, from))?;
        Ok(answer.get_parameters().unwrap().as_ref().clone())
    }
}

pub(crate) fn desk(images: &Images, place: &Place, folder: &Path, policy: Policy) -> Desk {
    let site = open(place, &tiny_clip(), &images.cache());
    Desk::new(site, &place.name, folder, policy, Box::new(Silent))
}

/// A server's message that brings a plan.
pub(crate) fn joining(token: &str, plan: &Plan) -> Message {
    let text = |text: String| Value::Text(text);
    let config = Config::from([
        (RUN.to_owned(), text(token.to_owned())),
        (PLAN.to_owned(), text(serde_json::to_string(plan).unwrap())),
    ]);
    Message { config, ..Message::default() }
}

/// A task of flora's server, with its settings.
pub(crate) fn labelled(token: &str, round: usize, attempt: usize, mut message: Message) -> Message {
    let number = |number: usize| Value::Int(number as i64);
    message.config.extend([
        (RUN.to_owned(), Value::Text(token.to_owned())),
        (ROUND.to_owned(), number(round)),
        (ATTEMPT.to_owned(), number(attempt)),
        (SERVER_ROUND.to_owned(), number(round + 1)),
    ]);
    message
}

pub(crate) fn task(token: &str, round: usize, from: &ParameterRecord) -> Message {
    labelled(token, round, 0, Message::parameters(Arc::new(from.clone())))
}

pub(crate) fn parameters() -> Kind {
    Kind::Query(PARAMETERS.to_owned())
}

/// The text of an experiment, as a ServerApp sends it.
pub(crate) fn text_of(experiment: &Experiment) -> Value {
    Value::Text(experiment.to_toml())
}

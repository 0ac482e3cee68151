use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, PoisonError};
use std::time::Duration;

use flora::core::shell::quoted;
use flora::core::text::printable;
use flora::federation::protocol::PLAN;
use flora::federation::{Config, Message, RunStatus, Value};
use flora::flower::Names;
use flora::flower::server::{End, ServerRun, SiteEvent, SuperLinkFleet};
use flora::flower::services::{ControlService, SuperExecSecret};
use flora::report::RunFolder;
use flora::tuning::{
    Agreed, Base, Experiment, Plan, Prepared, SiteProfile, agree, plan, prepare_serving,
    read_profile,
};
use serde::{Deserialize, Serialize};

use super::run::{Clients, RunArgs, SERVED};
use super::superlink_args::SuperLinkArgs;
use crate::device::Place;
use crate::failure::Failure;
use crate::output;
use crate::progress::{Aside, Progress};
use crate::signals::Signals;

/// Serve a federated run to sites on other machines (flora node), through Flower's SuperLink
///
/// The experiment is the same as for `flora run`, with `partition.kind = "natural"`; of its paths, only the model's is
/// read here. The SuperLink must be started with --isolation process, and its Control and Runtime services must be
/// reachable: run this command on the SuperLink's machine.
#[derive(Debug, clap::Args)]
pub(crate) struct Serve {
    #[command(flatten)]
    superlink: SuperLinkArgs,
    /// Start once this many sites have joined [default: the number of sites in --names, or 2]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    sites: Option<u64>,
    /// The sites that may take part, with their names: a line for each site's public key, as in its node.key.pub (cat
    /// *.pub > names). By default, every node takes part, named after its key
    #[arg(long, value_name = "FILE")]
    names: Option<PathBuf>,
    /// The file that the SuperLink was started with under the same option, identical byte for byte
    #[arg(long, value_name = "FILE")]
    superexec_auth_secret_file: Option<PathBuf>,
    #[command(flatten)]
    run: RunArgs,
}

impl Serve {
    pub(crate) fn run(self) -> Result<(), Failure> {
        let names = self.names.as_deref().map(Names::load).transpose().map_err(Failure::input)?;
        let listed = names.as_ref().map_or(2, Names::len);
        if listed == 0 {
            return Err(Failure::Input(
                "--names: the file has no key; put the lines of the sites' node.key.pub into it"
                    .to_owned(),
            ));
        }
        let sites = self.sites.map_or(listed, |sites| sites as usize);
        if sites > listed && names.is_some() {
            return Err(Failure::Input(format!(
                "--sites {sites}: the file of names has {listed}, and only those take part"
            )));
        }
        let secret = self.superexec_auth_secret_file.as_deref().map(SuperExecSecret::load);
        let mut served = Served {
            asked: &self,
            secret: secret.transpose().map_err(Failure::input)?,
            sites,
            names,
            is_for_people: self.run.voice().is_for_people(),
            signals: None,
            run: None,
            remembered: None,
        };
        self.run.run(None, &mut served)
    }
}

/// How long an unresponsive SuperLink is retried.
const PATIENCE: Duration = Duration::from_secs(180);

/// Data that a resume of a served run needs, besides its states.
#[derive(Debug, Clone, Serialize, Deserialize)]
struct Remembered {
    /// The token by which sites recognise the run.
    token: String,
    classes: Vec<String>,
    template: String,
    /// The sites that took part when the run started.
    sites: Vec<String>,
}

/// Clients that are sites behind a SuperLink.
struct Served<'a> {
    /// The command-line arguments.
    asked: &'a Serve,
    secret: Option<SuperExecSecret>,
    sites: usize,
    names: Option<Names>,
    is_for_people: bool,
    signals: Option<Signals>,
    run: Option<Arc<ServerRun>>,
    remembered: Option<Remembered>,
}

impl Served<'_> {
    fn say(&self, line: &str) {
        if self.is_for_people {
            output::line(line);
        }
    }

    /// Reports events of sites, and records those that may explain the run's numbers among its events.
    fn teller(&self, aside: Aside) -> Box<dyn FnMut(&SiteEvent) + Send> {
        let is_for_people = self.is_for_people;
        Box::new(move |event| {
            let (line, is_kept) = in_words(event);
            if is_for_people {
                output::line(&line);
            }
            if is_kept {
                aside.lock().unwrap_or_else(PoisonError::into_inner).push(line);
            }
        })
    }

    /// Determines the common model and classes of the sites.
    fn agree(
        &self,
        experiment: &Experiment,
        profiles: &BTreeMap<String, SiteProfile>,
    ) -> Result<(Vec<String>, String), Failure> {
        let agreed = agree(experiment.data.template.as_deref(), profiles);
        let Agreed { classes, template, same_classes } = agreed.map_err(Failure::Input)?;
        if !same_classes {
            self.say(&format!(
                "the sites have different classes; the model distinguishes all {}, in alphabetical order",
                classes.len()
            ));
        }
        Ok((classes, template))
    }
}

impl Clients for Served<'_> {
    fn signals(&mut self) -> Result<Signals, Failure> {
        if self.signals.is_none() {
            self.signals = Some(Signals::hear()?);
        }
        Ok(self.signals.clone().expect("just made"))
    }

    fn prepare(
        &mut self,
        experiment: Experiment,
        place: &Place,
        resumed: Option<&Path>,
        progress: &mut Progress,
    ) -> Result<Prepared, Failure> {
        let known = resumed.map(read_remembered).transpose()?;
        // Problems on this side are reported before any site is contacted.
        let base = Base::of(&experiment).map_err(Failure::input)?;
        let planned = |classes: &[String], template: &str, name: &str| {
            let (classes, template) = (classes.to_vec(), template.to_owned());
            plan(&experiment, classes, template, base.clone(), name.to_owned())
        };
        let _: Plan = planned(&[], "{}", "").map_err(Failure::input)?;
        let token = known.as_ref().map_or_else(new_token, |known| Ok(known.token.clone()))?;

        let stop = self.signals()?.stop();
        let ended = |error: &dyn std::fmt::Display| match stop.is_raised() {
            true => {
                Failure::Stopped { code: 130, message: "stopped before the first round".into() }
            }
            false => Failure::Run(error.to_string()),
        };
        // Report a missing SuperLink within seconds, not minutes.
        let first = self.asked.superlink.link(Duration::from_secs(3), stop.clone())?;
        if let Err(error) = ControlService::new(first).runs() {
            match error.is_unreachable() {
                true => output::warning(&format!("{error}. Retrying for {} s", PATIENCE.as_secs())),
                false => return Err(ended(&error)),
            }
        }
        // A restarted SuperLink, or an interruption of a minute, does not end the run.
        let link = self.asked.superlink.link(PATIENCE, stop.clone())?;
        let run = ServerRun::start(&link, &experiment.name, &token, self.secret.as_ref());
        let run = run.map_err(|it| ended(&it))?;
        let run = Arc::new(run);
        self.run = Some(Arc::clone(&run));
        self.say(&format!("run {} on {}", run.run_id(), link.url()));
        self.say(&match self.sites {
            1 => "waiting for 1 site".to_owned(),
            sites => format!("waiting for {sites} sites"),
        });
        let aside = Aside::default();
        let names = self.names.clone();
        let tell = self.teller(Arc::clone(&aside));
        let mut fleet = SuperLinkFleet::new(Arc::clone(&run), &token, names, stop.clone(), tell);
        let began_with = known.as_ref().map_or_else(Vec::new, |known| known.sites.clone());
        let (classes, template) = match known {
            Some(Remembered { classes, template, .. }) => (classes, template),
            None => {
                let profiles = fleet.profiles(self.sites, read_profile);
                self.agree(&experiment, &profiles.map_err(|error| ended(&error))?)?
            }
        };
        // Checked once here: every site's plan is derived from it.
        let blank = planned(&classes, &template, "").map_err(Failure::input)?;
        let message = move |name: &str| {
            let plan = Plan { client: name.to_owned(), ..blank.clone() };
            let json = serde_json::to_string(&plan).expect("plain data");
            let config = Config::from([(PLAN.to_owned(), Value::Text(json))]);
            Message { config, ..Message::default() }
        };
        let sites = fleet.join(self.sites, message).map_err(|error| ended(&error))?;
        // Sites that joined before the run do not explain any of its numbers.
        let mut told = aside.lock().unwrap_or_else(PoisonError::into_inner);
        told.clear();
        for site in sites.iter().filter(|_| !began_with.is_empty()) {
            if !began_with.contains(&site.id) {
                told.push(format!(
                    "warning: {} did not take part when the run started; a site with a new name counts as \
                     a new client",
                    site.id
                ));
                self.say(&told[told.len() - 1]);
            }
        }
        if resumed.is_some() {
            told.push(format!("the server was restarted; it continues as run {}", run.run_id()));
        }
        drop(told);
        progress.hear_aside(aside);
        let log = Arc::clone(&run);
        progress.log_with(Box::new(move |line| log.log(line)));
        let began_with = sites.iter().map(|site| site.id.clone()).collect();
        let remembered = Remembered { token, classes, template, sites: began_with };
        let Remembered { classes, template, .. } = remembered.clone();
        self.remembered = Some(remembered);
        let fleet = Box::new(fleet);
        let device = &place.device;
        let prepared =
            prepare_serving(experiment, classes, template, sites, fleet, device, progress);
        let prepared = prepared.map_err(Failure::input)?;
        crate::MEMORY.release();
        Ok(prepared)
    }

    fn remember(&mut self, folder: &RunFolder) -> Result<(), Failure> {
        let text = serde_json::to_string_pretty(&self.remembered).map_err(Failure::run)?;
        folder.write_text(SERVED, &text).map_err(Failure::run)
    }

    /// Sites come and go, and store their own state.
    fn are_here(&self) -> bool {
        false
    }

    fn resume_command(&self) -> String {
        let mut command = "flora serve".to_owned();
        let Serve { superlink, names, superexec_auth_secret_file, .. } = self.asked;
        let SuperLinkArgs { superlink, root_certificates } = superlink;
        for (option, value) in [
            ("--superlink", Some(Path::new(superlink))),
            ("--root-certificates", root_certificates.as_deref()),
            ("--superexec-auth-secret-file", superexec_auth_secret_file.as_deref()),
            ("--names", names.as_deref()),
        ] {
            if let Some(value) = value {
                command.push_str(&format!(" {option} {}", quoted(value)));
            }
        }
        format!("{command} --sites {} --resume", self.sites)
    }

    fn ended(&mut self, status: RunStatus, why: Option<&str>) {
        let Some(run) = &self.run else { return };
        let end = match status {
            RunStatus::Finished => End::Completed,
            RunStatus::Interrupted => End::Stopped,
            RunStatus::Failed => End::Failed,
        };
        if let Err(error) = run.end(end, why.unwrap_or_default()) {
            output::warning(&format!(
                "the SuperLink could not be notified that the run is over: {error}"
            ));
        }
    }
}

fn read_remembered(folder: &Path) -> Result<Remembered, Failure> {
    let path = folder.join(SERVED);
    let text = std::fs::read_to_string(&path).map_err(|_| {
        Failure::Input(format!(
            "{}: the clients of this run are in its own process; resume it with: flora run --resume {}",
            folder.display(),
            quoted(folder)
        ))
    })?;
    serde_json::from_str(&text)
        .map_err(|error| Failure::Input(format!("{}: {error}", path.display())))
}

/// A token that no other run has.
fn new_token() -> Result<String, Failure> {
    let mut bytes = [0; 16];
    flora::flower::random(&mut bytes).map_err(Failure::run)?;
    Ok(flora::core::hex::encode(&bytes))
}

/// An event of a site in words, and whether it may explain a run's numbers.
fn in_words(event: &SiteEvent) -> (String, bool) {
    let line = match event {
        SiteEvent::Online { name, key } => {
            return (format!("{name} is online, with the key {key}"), false);
        }
        SiteEvent::Joined(info) => {
            let (name, train) = (&info.id, info.num_examples);
            let line = format!(
                "{name} takes part: {train} training images, {} for evaluation",
                info.num_test_examples
            );
            return (line, false);
        }
        SiteEvent::Refused { name, problem } => {
            format!("warning: {name} does not take part: {problem}")
        }
        SiteEvent::Away { name } => format!("warning: {name} is offline"),
        SiteEvent::Back { name } => format!("{name} is online again"),
        SiteEvent::Again { name, problem } => {
            format!("warning: {name} is asked again ({problem})")
        }
        SiteEvent::Forgot { name } => format!(
            "warning: {name} has lost its optimizer state, and trained with a new one; the run is therefore not \
             bit-identical to one without the loss"
        ),
        SiteEvent::Restarted { name } => {
            format!("warning: {name} was restarted during a task, and repeated it")
        }
        SiteEvent::SuperLinkBack { problem, seconds } => {
            format!("warning: the SuperLink did not answer for {seconds} s ({problem})")
        }
        _ => return (format!("{event:?}"), true),
    };
    (printable(&line).into_owned(), true)
}

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use flora::core::shell::quoted;
use flora::core::text::{path as shown, printable};
use flora::data::Split;
use flora::federation::{Event, Kind, Message};
use flora::flower::NodeKey;
use flora::flower::doctor::{Credentials, Verdict, examine};
use flora::flower::key::public_path;
use flora::flower::node::{
    Instruction, Node as FlowerNode, NodeConfig, NodeEvent, NodeFolder, Site as FlowerSite,
};
use flora::flower::services::FleetService;
use flora::tuning::{Desk, Observer, Policy, Request, Site, SiteConfig};
use indicatif::ProgressBar;

use super::superlink_args::SuperLinkArgs;
use super::{dataset_args, experiment_args};
use crate::device::DeviceArgs;
use crate::failure::Failure;
use crate::signals::Signals;
use crate::{bar, output};

/// Take part in federated runs as a site: train a server's models on this machine's images, through Flower's SuperLink
///
/// Images never leave the machine. It sends class names, numbers of images, trained parameters, losses and accuracies.
#[derive(Debug, clap::Args)]
pub(crate) struct Node {
    #[command(flatten)]
    superlink: SuperLinkArgs,
    /// The site's images: a folder, a data set's TOML description, or a name listed by `flora datasets`
    #[arg(long, value_name = "PATH")]
    data: PathBuf,
    /// Folder of the images, instead of the one in the description
    #[arg(long, value_name = "DIR")]
    root: Option<PathBuf>,
    /// Use only the images of this domain of the data set
    #[arg(long, value_name = "NAME")]
    domain: Option<String>,
    /// The model: a folder or file of Hugging Face, OpenCLIP or OpenAI, the name of a known model,
    /// or hf:owner/name[@revision]
    #[arg(long, value_name = "MODEL", default_value = "clip-nano")]
    model: String,
    /// The site's name, written into the comment of its public key, where the server may read it [default: the
    /// domain, or the machine's name]
    #[arg(long, value_name = "NAME")]
    name: Option<String>,
    /// Folder of the site's state: its key, unanswered messages, optimizer states
    #[arg(long, value_name = "DIR", default_value = "flora-node")]
    state: PathBuf,
    /// The site's private key, an EC key on P-384; created if missing [default: node.key in the state folder]
    #[arg(long, value_name = "FILE")]
    key: Option<PathBuf>,
    /// Limits on the runs that the site joins: base_digest, methods, min_examples, max_rounds, max_local_epochs,
    /// max_views (default 10), max_update_norm, max_epsilon, max_delta
    #[arg(long, value_name = "FILE.toml")]
    policy: Option<PathBuf>,
    /// The experiment to train for Flower servers that do not specify one: a preset or an experiment file
    #[arg(long, value_name = "NAME|FILE.toml")]
    experiment: Option<String>,
    #[command(flatten)]
    device: DeviceArgs,
    /// Threads for encoding images; 0 for one per processor
    #[arg(long, value_name = "N", default_value_t = 0)]
    threads: usize,
    /// Seconds between heartbeats; after twice this time without one, a server considers the site gone
    #[arg(long, value_name = "SECONDS", default_value_t = 15, value_parser = clap::value_parser!(u16).range(10..=1800))]
    heartbeat: u16,
    /// Check images, model, key, policy and SuperLink without joining
    #[arg(long)]
    check: bool,
}

/// Time after which an unresponsive SuperLink is reported; retries continue.
const PATIENCE: Duration = Duration::from_secs(5);

impl Node {
    pub(crate) fn run(self) -> Result<(), Failure> {
        let policy = match &self.policy {
            Some(path) => Policy::load(path).map_err(Failure::input)?,
            None => Policy::default(),
        };
        let experiment = self.experiment.as_deref();
        let experiment = experiment.map(|name| experiment_args::resolve(name, &[])).transpose()?;
        // First, so that no key is created for a domain that does not exist.
        let site = self.open_site()?;
        let name = self.name();
        make_private(&self.state)
            .map_err(|error| Failure::Input(format!("{}: {error}", shown(&self.state))))?;
        let key_file = self.key.clone().unwrap_or_else(|| self.state.join("node.key"));
        let (key, is_new) = NodeKey::load_or_create(&key_file, &name).map_err(Failure::input)?;
        let told = key.public_key().fingerprint();
        let made = if is_new { ", newly created" } else { "" };
        output::line(format!("the key {} ({told}{made})", shown(&key_file)));
        self.tell_site(&site, &policy)?;
        if self.check {
            return self.check_superlink(key, &key_file);
        }

        let folder = NodeFolder::open(&self.state, &key_file, &self.superlink.superlink);
        let folder = folder.map_err(Failure::input)?;
        let signals = Signals::hear()?;
        acknowledge(signals.clone());
        let link = self.superlink.link(PATIENCE, signals.stop())?;
        let service = FleetService::new(link, Arc::new(key));
        let mut desk = Desk::new(site, name, &self.state, policy, Box::new(Watch::default()));
        if let Some(experiment) = experiment {
            desk = desk.with_experiment(experiment);
        }
        let mut site = DeskSite(desk);
        let config = NodeConfig { heartbeat: f64::from(self.heartbeat) };
        let url = self.superlink.superlink.clone();
        let mut tell = |event: &NodeEvent| output::line(in_words(event, &url));
        let node = FlowerNode::new(service, folder, config, &mut site, &mut tell);
        node.and_then(FlowerNode::run).map_err(Failure::run)?;
        match signals.came() {
            true => {
                Err(Failure::Stopped { code: signals.exit_code(), message: "stopped".to_owned() })
            }
            false => Ok(()),
        }
    }

    fn open_site(&self) -> Result<Site, Failure> {
        let data = dataset_args::find(&self.data).map_err(|error| {
            Failure::Input(format!("--data: {error} (`flora datasets` lists the known names)"))
        })?;
        Site::open(SiteConfig {
            data,
            root: self.root.clone(),
            domain: self.domain.clone(),
            model: self.model.clone(),
            cache: None,
            device: self.device.open()?.device,
            threads: self.threads,
        })
        .map_err(Failure::input)
    }

    fn tell_site(&self, site: &Site, policy: &Policy) -> Result<(), Failure> {
        let dataset = site.dataset();
        let (train, test) =
            (dataset.indices(Split::Train).len(), dataset.indices(Split::Test).len());
        output::line(format!(
            "{}: {train} training images and {test} test images of {} classes",
            shown(&self.data),
            dataset.classes().len()
        ));
        if train < policy.min_examples {
            output::warning(&format!(
                "the policy asks for {} training images (min_examples): the site will not take part in any run",
                policy.min_examples
            ));
        }
        let profile = site.profile().map_err(Failure::input)?;
        if let Some(digest) = policy.base_digest.as_ref().filter(|it| **it != profile.base.weights)
        {
            return Err(Failure::Input(format!(
                "the policy's base_digest is {digest}, and that of {} is {}",
                self.model, profile.base.weights
            )));
        }
        output::line(format!("{}, whose weights are {}", self.model, profile.base.weights));
        Ok(())
    }

    fn name(&self) -> String {
        let host = || {
            let name = std::fs::read_to_string("/etc/hostname").unwrap_or_default();
            match name.trim() {
                "" => "site".to_owned(),
                name => name.to_owned(),
            }
        };
        self.name.clone().or_else(|| self.domain.clone()).unwrap_or_else(host)
    }

    /// The checks of `flora doctor` that concern the SuperLink.
    fn check_superlink(&self, key: NodeKey, key_file: &Path) -> Result<(), Failure> {
        let public_key = public_path(key_file);
        let credentials = Credentials { key: Arc::new(key), public_key: &public_key };
        let checks = examine(&self.superlink.config(PATIENCE), Some(&credentials));
        checks.iter().for_each(super::doctor::show);
        match checks.iter().any(|check| check.verdict == Verdict::Failed) {
            true => Err(Failure::Run("this site cannot take part yet".to_owned())),
            false => Ok(()),
        }
    }
}

/// Creates the state folder, readable by its owner only: optimizer states reveal information about the images.
fn make_private(folder: &Path) -> std::io::Result<()> {
    let mut builder = std::fs::DirBuilder::new();
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    match folder.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => std::fs::create_dir_all(parent)?,
        _ => {}
    }
    match builder.create(folder) {
        Err(_) if folder.is_dir() => {
            #[cfg(unix)]
            warn_if_open(folder)?;
            Ok(())
        }
        made => made,
    }
}

#[cfg(unix)]
fn warn_if_open(folder: &Path) -> std::io::Result<()> {
    use std::os::unix::fs::PermissionsExt;
    let mode = std::fs::metadata(folder)?.permissions().mode() & 0o777;
    if mode & 0o077 != 0 {
        output::warning(&format!(
            "the folder {} is readable by users other than its owner (mode {mode:04o}), and its files reveal \
             information about the site's \
             images: chmod 700 {}",
            shown(folder),
            quoted(folder)
        ));
    }
    Ok(())
}

/// Acknowledges a signal, because finishing the current training may take long.
fn acknowledge(signals: Signals) {
    std::thread::spawn(move || {
        while !signals.came() {
            std::thread::sleep(Duration::from_millis(100));
        }
        output::line("stopping after the current task; repeat the signal to stop at once");
    });
}

/// Adapts the site to the node.
struct DeskSite(Desk);

impl FlowerSite for DeskSite {
    fn handle(&mut self, instruction: &Instruction) -> Result<Message, String> {
        let Instruction { run_id, kind, message, .. } = instruction;
        let answer = self.0.handle(&Request { run: format!("flower-{run_id}"), kind, message });
        // Image features take more memory than the later steps.
        crate::MEMORY.release();
        answer
    }

    fn idle(&mut self) {
        self.0.rest();
        crate::MEMORY.release();
    }
}

/// Shows the progress of encoding images.
#[derive(Default)]
struct Watch(Option<(String, ProgressBar)>);

impl Observer for Watch {
    fn event(&mut self, event: &Event) {
        match event {
            Event::Note { message } => output::line(printable(message)),
            Event::Warning { message } => output::warning(message),
            _ => {}
        }
    }

    fn progress(&mut self, phase: &str, done: usize, total: usize) {
        if self.0.as_ref().is_none_or(|(shown, _)| shown != phase) {
            self.0 = Some((phase.to_owned(), bar::steps(phase, total)));
        }
        let Some((_, bar)) = &self.0 else { return };
        bar.set_position(done as u64);
        if done == total {
            bar.finish_and_clear();
            self.0 = None;
        }
    }
}

fn in_words(event: &NodeEvent, url: &str) -> String {
    let what = |kind: &Kind| match kind {
        Kind::Train => "training".to_owned(),
        Kind::Evaluate => "an evaluation".to_owned(),
        Kind::Query(name) => format!("the query {}", printable(name)),
    };
    let line = match event {
        NodeEvent::Online { node_id, known } => {
            let again = if *known { " again" } else { "" };
            format!("online{again} at {url}, as node {node_id}; waiting for a server")
        }
        NodeEvent::Lost { problem } => {
            format!("warning: {problem}. Retrying until it answers")
        }
        NodeEvent::Back { seconds } => format!("{url} answers again, after {seconds:.0} s"),
        NodeEvent::Received { kind, run_id, again } => {
            let from = if *again { ", sent before this node was restarted" } else { "" };
            format!("run {run_id} requests {}{from}", what(kind))
        }
        NodeEvent::Answered { kind, seconds, bytes } => {
            format!("replied to {}: {seconds:.1} s of work, {bytes} bytes sent", what(kind))
        }
        NodeEvent::Failed { kind, problem } => {
            format!("warning: refused {}: {problem}", what(kind))
        }
        NodeEvent::Dropped { why } => format!("warning: no reply sent: {why}"),
        NodeEvent::Offline => "offline".to_owned(),
        _ => format!("{event:?}"),
    };
    printable(&line).into_owned()
}

#[cfg(all(test, unix))]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn what_a_site_remembers_is_its_own() {
        let folder = tempfile::tempdir().unwrap();
        let state = folder.path().join("sites/alpha");
        let mode = |path: &Path| std::fs::metadata(path).unwrap().permissions().mode() & 0o777;
        make_private(&state).unwrap();
        assert_eq!(mode(&state), 0o700);
        // An existing file is not changed.
        std::fs::set_permissions(&state, std::fs::Permissions::from_mode(0o750)).unwrap();
        make_private(&state).unwrap();
        assert_eq!(mode(&state), 0o750);
        std::fs::write(folder.path().join("file"), "").unwrap();
        assert!(make_private(&folder.path().join("file")).is_err());
    }
}

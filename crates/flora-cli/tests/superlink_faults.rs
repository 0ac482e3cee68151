//! `flora serve` and `flora node` on a real SuperLink with faults: each time the run finishes with the correct result,
//! and an event reports the fault.
#![cfg(unix)]

mod support;

use std::path::{Path, PathBuf};
use std::process::Command;
use std::thread::sleep;
use std::time::Duration;

use support::superlink::{
    Process, World, assert_same_bits, cache, failures, warnings, write_small_experiment,
};
use support::{count, done, events, flora, summary, tiny_clip, wait_for};

const SITES: [&str; 2] = ["acme", "zenith"];

/// A round of this many epochs takes at least a second: long enough to be interrupted.
const LONG: usize = 900;

/// A world whose two sites share an experiment, and the simulation's result of it.
struct Trial {
    world: World,
    experiment: PathBuf,
    settings: Vec<String>,
    simulated: PathBuf,
}

impl Trial {
    fn new(world: World, rounds: usize, epochs: usize, settings: &[&str]) -> Self {
        let experiment = write_small_experiment(&world.path(""), rounds, epochs);
        let settings: Vec<String> = settings.iter().map(|&it| it.to_owned()).collect();
        let simulated = world.path("simulated");
        let trial = Self { world, experiment, settings, simulated };
        let mut command = flora(&cache());
        // The simulation finds the images beside the experiment; sites have their own.
        command.current_dir(trial.world.path("")).arg("run").arg("--out").arg(&trial.simulated);
        done(trial.with_experiment(command));
        trial
    }

    fn with_experiment(&self, mut command: Command) -> Command {
        command.arg(&self.experiment);
        for setting in &self.settings {
            command.args(["--set", setting]);
        }
        command
    }

    fn node_command(&self, domain: &str) -> Command {
        let mut command = self.world.node_command(&self.world.path("things.toml"), domain);
        command.arg("--model").arg(tiny_clip());
        command
    }

    /// Starts a node for each site.
    fn start_nodes(&mut self) {
        for domain in SITES {
            self.start_node(domain);
        }
    }

    fn start_node(&mut self, domain: &str) {
        let command = self.node_command(domain);
        self.world.start_node(command, domain);
    }

    fn out(&self) -> PathBuf {
        self.world.path("served")
    }

    /// Starts the server of a run for the present sites.
    fn start_server(&self) -> Process {
        let mut command = self.world.serve_command(&self.out());
        command.arg("--names").arg(self.world.names());
        self.world.start_server(self.with_experiment(command))
    }

    /// Waits until clients are training in this round, counted from 1.
    fn wait_for_training(&self, round: usize) {
        let out = self.out();
        wait_for("a round", || count(&out, "round_started") == round);
        sleep(Duration::from_millis(300));
        assert_eq!(count(&out, "aggregated"), round - 1, "too late: the round is over");
    }

    fn assert_same_bits(&self, what: &str) {
        assert_same_bits(&self.out(), &self.simulated, what);
        assert!(failures(&self.out()).is_empty(), "{what}: {:?}", failures(&self.out()));
    }

    /// Asserts that an event contains all of these words.
    fn assert_told(&self, words: &[&str]) {
        let lines = warnings(&self.out());
        let mut is_it = lines.iter().map(|line| words.iter().all(|word| line.contains(word)));
        assert!(is_it.any(|it| it), "nothing says {words:?}: {lines:#?}");
    }

    /// The number of aggregated replies in each round.
    fn replies(&self) -> Vec<u64> {
        let events = events(&self.out()).into_iter().filter(|it| it["event"] == "aggregated");
        events.map(|it| it["replies"].as_u64().unwrap()).collect()
    }
}

/// Runs a command as a user would who copies it from the terminal.
fn type_in(folder: &Path, command: &str) {
    let program = Path::new(env!("CARGO_BIN_EXE_flora")).parent().unwrap();
    let path = format!("{}:{}", program.display(), std::env::var("PATH").unwrap());
    let mut shell = Command::new("sh");
    shell.args(["-c", command]).env("PATH", path).env("FLORA_CACHE", cache()).current_dir(folder);
    done(shell);
}

/// The resume command in a program's output.
fn resume_command(said: &str) -> String {
    let (_, command) = said.rsplit_once("resume with: ").expect(said);
    command.lines().next().unwrap().to_owned()
}

#[test]
#[ignore = "needs flwr; see support/superlink.rs"]
fn a_server_that_is_killed_goes_on_where_it_was() {
    let mut trial = Trial::new(World::new(&[]), 3, LONG, &[]);
    trial.start_nodes();
    let mut server = trial.start_server();
    trial.wait_for_training(2);
    server.kill();
    let mut command = flora(&cache());
    command.args(["serve", "--superlink", &trial.world.url(), "--names"]);
    command.arg(trial.world.names()).arg("--resume").arg(trial.out());
    done(command);
    trial.assert_same_bits("the server was killed");
    trial.assert_told(&["the server was restarted"]);
}

#[test]
#[ignore = "needs flwr; see support/superlink.rs"]
fn ctrl_c_ends_server_and_nodes_in_good_order() {
    let mut trial = Trial::new(World::new(&[]), 3, LONG, &[]);
    trial.start_nodes();
    let mut server = trial.start_server();
    trial.wait_for_training(2);
    server.send("INT");
    assert_eq!(server.wait().code(), Some(130), "{}", server.said());
    assert_eq!(summary(&trial.out())["status"], "interrupted");
    type_in(&trial.world.path(""), &resume_command(&server.said()));
    trial.assert_same_bits("Ctrl-C");
    trial.assert_told(&["the server was restarted"]);

    for node in &mut trial.world.nodes {
        node.send("INT");
        assert_eq!(node.wait().code(), Some(130), "{}", node.said());
        assert!(node.says("\noffline\n"), "{}", node.said());
    }
}

#[test]
#[ignore = "needs flwr; see support/superlink.rs"]
fn a_superlink_that_is_killed_loses_nothing() {
    let mut trial = Trial::new(World::new(&["--database", "flower.db"]), 3, LONG, &[]);
    trial.start_nodes();
    let mut server = trial.start_server();
    trial.wait_for_training(1);
    trial.world.superlink.kill();
    trial.world.restart_superlink();
    trial.wait_for_training(2);
    trial.world.superlink.kill();
    // Longer than two heartbeats, after which a SuperLink considers nodes gone.
    sleep(Duration::from_secs(22));
    trial.world.restart_superlink();
    server.finish();
    trial.assert_same_bits("the SuperLink was killed");
    trial.assert_told(&["the SuperLink did not answer for"]);
    trial.assert_told(&["the SuperLink did not answer for 2"]);
}

#[test]
#[ignore = "needs flwr; see support/superlink.rs"]
fn a_node_that_is_killed_does_its_task_again() {
    let mut trial = Trial::new(World::new(&[]), 3, LONG, &[]);
    trial.start_nodes();
    let mut server = trial.start_server();
    trial.wait_for_training(2);
    trial.world.nodes[1].kill();
    let journal = std::fs::read_dir(trial.world.path("zenith").join("journal")).unwrap();
    // On a busy machine it may have answered a moment before.
    let was_at_work =
        journal.flatten().any(|it| it.path().extension().is_some_and(|it| it == "message"));
    trial.start_node("zenith");
    server.finish();
    trial.assert_same_bits("a node was killed");
    // Or the server checked at the moment when the restarting node was offline, and asked again.
    let lines = warnings(&trial.out());
    let is_told = |line: &String| {
        line.contains("zenith was restarted") || line.contains("zenith is asked again")
    };
    assert!(!was_at_work || lines.iter().any(is_told), "{lines:#?}");
}

#[test]
#[ignore = "needs flwr; see support/superlink.rs"]
fn a_run_goes_on_without_a_node_that_is_gone() {
    let settings = ["federation.deadline=10.0", "federation.quorum=1"];
    let mut trial = Trial::new(World::new(&[]), 3, LONG, &settings);
    trial.start_nodes();
    let mut server = trial.start_server();
    trial.wait_for_training(2);
    trial.world.nodes[1].kill();
    server.finish();
    assert_eq!(trial.replies(), [2, 1, 1]);
    let failures = failures(&trial.out());
    assert!(failures.iter().any(|(who, why, _)| who == "zenith" && why == "late"), "{failures:?}");
    assert!(failures.iter().all(|(who, ..)| who == "zenith"), "{failures:?}");
    trial.assert_told(&["zenith is offline"]);
    assert_eq!(summary(&trial.out())["status"], "finished");
}

#[test]
#[ignore = "needs flwr; see support/superlink.rs"]
fn a_straggler_is_back_in_the_next_round() {
    let settings = ["federation.deadline=12.0", "federation.quorum=1"];
    let mut trial = Trial::new(World::new(&[]), 3, LONG, &settings);
    trial.start_nodes();
    let mut server = trial.start_server();
    trial.wait_for_training(2);
    let straggler = &trial.world.nodes[1];
    straggler.send("STOP");
    wait_for("the deadline", || count(&trial.out(), "aggregated") == 2);
    straggler.send("CONT");
    server.finish();
    assert_eq!(trial.replies(), [2, 1, 2]);
    let failures = failures(&trial.out());
    let [(who, why, _)] = &failures[..] else { panic!("{failures:?}") };
    assert_eq!((who.as_str(), why.as_str()), ("zenith", "late"));
    assert_eq!(summary(&trial.out())["status"], "finished");
}

/// A network namespace with a virtual cable to this one.
struct Cable {
    namespace: String,
    near: String,
    address: String,
}

impl Cable {
    /// `None` if the system or the user cannot create it.
    fn lay() -> Option<Self> {
        let id = std::process::id();
        let (namespace, near, far) =
            (format!("flora-{id}"), format!("fl{id}a"), format!("fl{id}b"));
        if !ip(&["netns", "add", &namespace]) {
            return None;
        }
        // From the addresses reserved for tests between networks (RFC 2544).
        let [one, two] = [1, 2].map(|it| format!("198.18.{}.{it}", id % 256));
        let cable = Self { namespace, near, address: one.clone() };
        let Self { namespace, near, .. } = &cable;
        let laid =
            ip(&["link", "add", near, "type", "veth", "peer", "name", &far, "netns", namespace])
                && ip(&["addr", "add", &format!("{one}/24"), "dev", near])
                && ip(&["link", "set", near, "up"])
                && ip(&["-n", namespace, "addr", "add", &format!("{two}/24"), "dev", &far])
                && ip(&["-n", namespace, "link", "set", &far, "up"]);
        laid.then_some(cable)
    }

    fn set(&self, state: &str) {
        assert!(ip(&["link", "set", &self.near, state]), "{state}");
    }

    /// The same command at the far end.
    fn at_its_end(&self, command: &Command) -> Command {
        let mut there = Command::new("ip");
        there.args(["netns", "exec", &self.namespace]).arg(command.get_program());
        there.args(command.get_args()).current_dir(command.get_current_dir().unwrap());
        there.envs(command.get_envs().filter_map(|(key, value)| Some((key, value?))));
        there
    }
}

impl Drop for Cable {
    fn drop(&mut self) {
        ip(&["netns", "delete", &self.namespace]);
        ip(&["link", "delete", &self.near]);
    }
}

fn ip(arguments: &[&str]) -> bool {
    let output = Command::new("ip").args(arguments).output();
    output.is_ok_and(|output| output.status.success())
}

/// 25 seconds are longer than two heartbeats; `FLORA_CUT_SECONDS=75` exceeds all TCP timeouts, too.
#[test]
#[ignore = "needs flwr; see support/superlink.rs"]
fn a_link_that_is_cut_and_comes_back_costs_nothing_but_time() {
    let Some(cable) = Cable::lay() else {
        eprintln!("skipped: no network namespaces here (they need root, and the program ip)");
        return;
    };
    let seconds = std::env::var("FLORA_CUT_SECONDS").map_or(25, |it| it.parse().unwrap());
    let folder = tempfile::tempdir().unwrap();
    let world = World::with(folder, &["--insecure", "--host", "0.0.0.0"], None);
    let mut trial = Trial::new(world, 3, LONG, &[]);
    trial.start_node("acme");
    trial.world.through = Some(format!("http://{}:{}", cable.address, trial.world.port));
    let command = cable.at_its_end(&trial.node_command("zenith"));
    trial.world.start_node(command, "zenith");
    let mut server = trial.start_server();
    trial.wait_for_training(2);
    cable.set("down");
    sleep(Duration::from_secs(seconds));
    cable.set("up");
    server.finish();
    trial.assert_same_bits("the link was cut");
    trial.assert_told(&["zenith is offline"]);
    trial.assert_told(&["zenith is asked again"]);
    trial.assert_told(&["zenith is online again"]);
}

mod hostile {
    //! Nodes that answer as flora's do, except for one lie about their training.

    use std::sync::Arc;
    use std::sync::atomic::{AtomicBool, Ordering};
    use std::thread;

    use flora::core::ParameterRecord;
    use flora::core::{HostTensor, hex};
    use flora::federation::protocol::ROUND;
    use flora::federation::{Kind, Message, NUM_EXAMPLES, PARAMETERS, Stop, Value};
    use flora::flower::codec::{self, Form};
    use flora::flower::objects::{self, Content, Limits};
    use flora::flower::services::FleetService;
    use flora::flower::wire::message::{HasContent, Message as Wire, Metadata, ObjectTree};
    use flora::flower::{Link, LinkConfig, NodeError, NodeKey};
    use flora::tuning::{Desk, Observer, Policy, Request, Site, SiteConfig};
    use sha2::{Digest, Sha256};

    use super::*;

    /// The lie of each node, and the server's message about it.
    const LIES: [(&str, &str); 7] = [
        ("nan", "every value must be finite"),
        ("shape", "has shape"),
        ("name", "is missing from the record"),
        ("stale", "it replies to round"),
        ("many", "it claims 1500 training examples, but registered with 15"),
        ("bytes", "its reply cannot be read"),
        ("tree", "its reply is damaged"),
    ];

    struct Nobody;

    impl Observer for Nobody {
        fn event(&mut self, _: &flora::federation::Event) {}
    }

    fn lie(what: &str, answer: &mut Message) {
        let changed = |change: &dyn Fn(&str, &HostTensor) -> (String, HostTensor)| {
            let mut record = ParameterRecord::new();
            for (index, (name, tensor)) in
                answer.expect_parameters("me").unwrap().iter().enumerate()
            {
                let (name, tensor) = match index {
                    0 => change(name, tensor),
                    _ => (name.to_owned(), tensor.clone()),
                };
                record.insert(name, tensor).unwrap();
            }
            record
        };
        let record = match what {
            "nan" => changed(&|name, tensor| {
                let mut values = tensor.to_f32().into_owned();
                values[0] = f32::NAN;
                let shape = tensor.shape().to_vec();
                (name.to_owned(), HostTensor::from_f32(shape, values).unwrap())
            }),
            "shape" => changed(&|name, tensor| {
                let values = tensor.to_f32().into_owned();
                (name.to_owned(), HostTensor::from_f32([values.len()], values).unwrap())
            }),
            "name" => changed(&|name, tensor| (format!("{name}.other"), tensor.clone())),
            "stale" => {
                let Value::Int(round) = answer.config[ROUND] else { panic!("{:?}", answer.config) };
                // The previous round or, in the first round, the next.
                answer.config.insert(ROUND.to_owned(), Value::Int((round - 1).abs()));
                return;
            }
            "many" => {
                answer.metrics.insert(NUM_EXAMPLES.to_owned(), 1500.0);
                return;
            }
            _ => return,
        };
        answer.records.insert(PARAMETERS.to_owned(), Arc::new(record));
    }

    /// An object with a valid head and unreadable content.
    fn garbage(kind: &str) -> (ObjectTree, Vec<u8>) {
        let body = b"\xff\x00 neither JSON nor protobuf \xfe";
        let mut content = format!("{kind}  {}\0", body.len()).into_bytes();
        content.extend(body);
        let object_id = hex::encode(&Sha256::digest(&content));
        (ObjectTree { object_id, children: Vec::new() }, content)
    }

    fn answer(
        service: &FleetService,
        node: u64,
        desk: &mut Desk,
        what: &str,
        asked: &Metadata,
    ) -> Result<(), NodeError> {
        let run = asked.run_id;
        let inflated = objects::inflate(&asked.message_id, Limits::default(), &mut |id: &str| {
            loop {
                let response = service.pull_object(node, run, id)?;
                if response.object_available {
                    return Ok::<_, NodeError>(response.object_content);
                }
                sleep(Duration::from_millis(20));
            }
        })?;
        let Content::Records(records) = inflated.content else { panic!("an error") };
        let (message, _) = codec::from_records(&records).unwrap();
        let kind = match asked.message_type.split_once('.') {
            Some((_, name)) => Kind::Query(name.to_owned()),
            None if asked.message_type == "train" => Kind::Train,
            None => Kind::Evaluate,
        };
        let request = Request { run: run.to_string(), kind: &kind, message: &message };
        let mut truth = desk.handle(&request).unwrap();
        let trains = kind == Kind::Train;
        if trains {
            lie(what, &mut truth);
        }
        let metadata = Metadata {
            run_id: run,
            src_node_id: node,
            dst_node_id: 1,
            reply_to_message_id: asked.message_id.clone(),
            message_type: asked.message_type.clone(),
            created_at: asked.created_at + 0.001,
            ttl: asked.ttl - 0.001,
            dst_task_id: asked.src_task_id,
            ..Metadata::default()
        };
        let mut records = codec::to_records(&truth, Form::Flora).unwrap();
        if trains && what == "bytes" {
            let nonsense = Message {
                config: [("message".to_owned(), Value::Bytes(b"FLM1\xff\xff\xff\xff".to_vec()))]
                    .into(),
                ..Message::default()
            };
            records = codec::to_records(&nonsense, Form::Stock).unwrap();
            for (name, _) in &mut records.0 {
                *name = "flora".to_owned();
            }
        }
        let mut objects = objects::deflate(&metadata, &Content::Records(records));
        if trains && what == "tree" {
            // The Message is the last object, and names its only child in its head.
            let (_, message) = objects.contents.pop().unwrap();
            let (tree, content) = garbage("RecordDict");
            let child = &objects.tree.children[0].object_id;
            let at = message.windows(child.len()).position(|it| it == child.as_bytes()).unwrap();
            let mut changed = message.clone();
            changed[at..at + child.len()].copy_from_slice(tree.object_id.as_bytes());
            objects.root = hex::encode(&Sha256::digest(&changed));
            objects.contents =
                vec![(tree.object_id.clone(), content), (objects.root.clone(), changed)];
            objects.tree = ObjectTree { object_id: objects.root.clone(), children: vec![tree] };
        }
        let reply = Wire {
            metadata: Some(Metadata { message_id: objects.root.clone(), ..metadata }),
            content: Some(HasContent {}),
            error: None,
        };
        let response = service.push_message(node, reply, objects.tree, 0.0)?;
        for (id, content) in &objects.contents {
            if response.objects_to_push.contains(id) {
                let stored = service.push_object(node, run, id, content, &response.session_id)?;
                assert!(stored, "{what}: the SuperLink does not take it");
            }
        }
        Ok(())
    }

    fn live(trial: &Trial, what: &'static str, end: &Arc<AtomicBool>) -> thread::JoinHandle<()> {
        let state = trial.world.path(what);
        std::fs::create_dir_all(&state).unwrap();
        let (key, _) = NodeKey::load_or_create(&state.join("node.key"), what).unwrap();
        let site = SiteConfig {
            data: trial.world.path("things.toml"),
            root: None,
            domain: Some("acme".to_owned()),
            model: tiny_clip().display().to_string(),
            cache: Some(cache()),
            device: flora::device::parse("cpu").unwrap(),
            threads: 1,
        };
        let link = Link::new(&LinkConfig::new(trial.world.url()), Stop::default()).unwrap();
        let service = FleetService::new(link, Arc::new(key));
        service.register().unwrap();
        // Heartbeats are not missed within two minutes.
        let node = service.activate(60.0).unwrap();
        let end = Arc::clone(end);
        thread::spawn(move || {
            let site = Site::open(site).unwrap();
            let mut desk = Desk::new(site, what, state, Policy::default(), Box::new(Nobody));
            while !end.load(Ordering::SeqCst) {
                match service.pull_message(node).unwrap() {
                    Some(message) => {
                        let asked = message.metadata.unwrap();
                        answer(&service, node, &mut desk, what, &asked).unwrap();
                    }
                    None => sleep(Duration::from_millis(50)),
                }
            }
        })
    }

    #[test]
    #[ignore = "needs flwr; see support/superlink.rs"]
    fn nodes_that_lie_change_nothing() {
        let mut trial = Trial::new(World::new(&[]), 2, 20, &[]);
        trial.start_nodes();
        let end = Arc::new(AtomicBool::new(false));
        let liars: Vec<_> = LIES.iter().map(|&(what, _)| live(&trial, what, &end)).collect();
        let mut server = trial.start_server();
        server.finish();
        end.store(true, Ordering::SeqCst);
        for liar in liars {
            liar.join().unwrap();
        }
        let failures = failures(&trial.out());
        assert_eq!(failures.len(), 2 * LIES.len(), "{failures:#?}");
        for (what, words) in LIES {
            let of: Vec<_> = failures.iter().filter(|(who, ..)| who == what).collect();
            assert_eq!(of.len(), 2, "{what}: {failures:#?}");
            assert!(of.iter().all(|(.., why)| why.contains(words)), "{what}: {of:?}");
        }
        assert_eq!(trial.replies(), [2, 2]);
        let trained = "adapter/adapter_model.safetensors";
        let read = |run: &Path| std::fs::read(run.join(trained)).unwrap();
        assert!(read(&trial.out()) == read(&trial.simulated), "the adapter is another one");
        assert_eq!(summary(&trial.out())["status"], "finished");
    }
}

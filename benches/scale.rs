//! Many clients in one process: clip-nano with its adapter on Fashion-MNIST-6k, one image of each class for
//! every client (clients overlap), so that each has as much to do as any other.
//!
//! ```sh
//! cargo bench --workspace --bench scale
//! ```
//!
//! Each line is a process of its own, which tells its peak memory. States are saved after every round, as
//! `flora run` does.

use std::collections::BTreeMap;
use std::process::{Command, Stdio};

use flora::federation::{Event, RunState, StateFolder};
use flora::report::peak_memory_bytes;
use flora::tuning::{Experiment, Observer, prepare};

/// The argument of a process that measures one line: clients, fraction and rounds follow.
const ONE: &str = "--one";

/// `0.01` of ten clients would be none.
const LINES: [(usize, f64, usize); 7] = [
    (10, 1.0, 10),
    (100, 1.0, 4),
    (1_000, 1.0, 1),
    (10_000, 1.0, 1),
    (100, 0.01, 20),
    (1_000, 0.01, 10),
    (10_000, 0.01, 4),
];

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    if let [one, clients, fraction, rounds, limit @ ..] = &arguments[..]
        && one == ONE
    {
        return measure(clients.parse()?, fraction.parse()?, rounds.parse()?, !limit.is_empty());
    }
    // `cargo test --benches` passes this: show that the bench runs, not how fast.
    let test = !arguments.iter().any(|argument| argument == "--bench");
    let lines = if test { &[(10, 1.0, 1)][..] } else { &LINES };
    println!("{:>8} {:>8} {:>10}  seconds a round", "", "train in", "peak");
    println!(
        "{:>8} {:>8} {:>10}  {:>9} {:>9} {:>9} {:>9} {:>12}",
        "clients", "a round", "MB", "training", "averaging", "testing", "saving", "ms a client"
    );
    for (clients, fraction, rounds) in lines {
        let mut command = Command::new(std::env::current_exe()?);
        command.arg(ONE).args([clients.to_string(), fraction.to_string(), rounds.to_string()]);
        if test {
            command.arg("few");
        }
        let status = command.stderr(Stdio::inherit()).status()?;
        if !status.success() {
            return Err(format!("{clients} clients: {status}").into());
        }
    }
    Ok(())
}

/// Run one line and print it.
fn measure(
    clients: usize,
    fraction: f64,
    rounds: usize,
    few_images: bool,
) -> Result<(), Box<dyn std::error::Error>> {
    let limit = if few_images { "limit = { train = 100, test = 50 }" } else { "" };
    let text = format!(
        "name = 'scale'\nmodel.path = 'models/clip-nano'\n\
         [data]\npath = 'datasets/fashion-mnist-6k'\n{limit}\n\
         [partition]\nkind = 'few-shot'\nshots = 1\nof = {{ kind = 'iid', clients = {clients} }}\n\
         [training]\nrounds = {rounds}\n[federation]\nfraction = {fraction:?}\n"
    );
    let experiment = Experiment::from_toml("scale", &text, &[])?;
    let device = flora::device::parse("cpu")?;
    // Where a run's folder would be: a disk, and not the memory that /tmp is on some systems.
    let folder = std::env::current_dir()?.join(format!("target/scale-{}", std::process::id()));
    let mut seconds = Seconds::new(StateFolder::open(&folder)?);
    let prepared = prepare(experiment, &device, &mut seconds)?;
    let finished = prepared.with_states_in(folder.join("clients.bin")).run(&mut seconds);
    std::fs::remove_dir_all(&folder)?;
    finished.failure.map_or(Ok(()), Err)?;
    let per_round = |phase: f64, times: usize| phase / times as f64;
    let training = per_round(seconds.training, rounds);
    println!(
        "{clients:>8} {:>8} {:>10}  {training:>9.3} {:>9.4} {:>9.3} {:>9.4} {:>12.2}",
        seconds.replies / rounds,
        peak_memory_bytes().map_or("-".to_owned(), |bytes| (bytes / 1_000_000).to_string()),
        per_round(seconds.aggregation, rounds),
        per_round(seconds.evaluation, rounds + 1),
        // At the beginning, and after every evaluation.
        per_round(seconds.saving, rounds + 2),
        seconds.training * 1e3 / seconds.replies as f64,
    );
    Ok(())
}

/// Where the time went.
struct Seconds {
    states: StateFolder,
    training: f64,
    aggregation: f64,
    evaluation: f64,
    saving: f64,
    replies: usize,
}

impl Seconds {
    fn new(states: StateFolder) -> Self {
        let (training, aggregation, evaluation, saving) = (0.0, 0.0, 0.0, 0.0);
        Self { states, training, aggregation, evaluation, saving, replies: 0 }
    }
}

impl Observer for Seconds {
    fn event(&mut self, event: &Event) {
        match event {
            Event::ClientReplied { .. } => self.replies += 1,
            Event::PhaseFinished { phase, seconds } => match phase.as_str() {
                "training" => self.training = *seconds,
                "aggregation" => self.aggregation = *seconds,
                "evaluation" => self.evaluation = *seconds,
                "saving" => self.saving = *seconds,
                _ => {}
            },
            _ => {}
        }
    }

    fn keep(&mut self, state: &RunState) -> Result<(), String> {
        self.states.save(state, &BTreeMap::new()).map_err(|error| error.to_string())
    }
}

//! What an update tells of the images behind it, and what is left of that with each defence: `cargo run --release -p flora
//! --example leak`. docs/privacy.md has the numbers.
//!
//! Ten clients with ten images each train one round. Whoever reads a client's update asks two things: which classes does it
//! hold (of 25 that it might), and was this very image among those that it trained on? It knows the model that was sent, and has
//! images of its own. So it lets clients of its own train on them, in the same round, and compares directions: an update that points where that
//! of a class or of an image points, more than those of others do, tells of it. 50 % is guessing.

use std::collections::BTreeMap;
use std::error::Error;
use std::sync::{Arc, Mutex};

use flora::Device;
use flora::data::{ClientShard, Dataset, Partition, Split};
use flora::federation::{Answer, ClientInfo, Fleet, FleetError, Kind, Message, Task, Wait};
use flora::tuning::{Experiment, Silent, prepare};

const CLIENTS: usize = 10;
const CLASSES: usize = 5;
const IMAGES: usize = 2;

/// Updates by client.
type Updates = BTreeMap<String, Vec<f64>>;

/// What the server reads.
struct Read {
    fleet: Box<dyn Fleet>,
    updates: Arc<Mutex<Updates>>,
}

impl Fleet for Read {
    fn clients(&mut self, round: usize) -> Result<Vec<ClientInfo>, FleetError> {
        self.fleet.clients(round)
    }

    fn exchange(
        &mut self,
        tasks: Vec<Task>,
        wait: &Wait,
        deliver: &mut dyn FnMut(Answer),
    ) -> Result<(), FleetError> {
        let sent: BTreeMap<String, Message> =
            tasks.iter().map(|task| (task.client.clone(), task.message.clone())).collect();
        let mut updates = self.updates.lock().expect("one reader");
        self.fleet.exchange(tasks, wait, &mut |answer| {
            if let (Kind::Train, Ok(message)) = (&answer.kind, &answer.result)
                && let Some(update) = update(&sent[&answer.client], message)
            {
                updates.insert(answer.client.clone(), update);
            }
            deliver(answer);
        })
    }

    fn commit(&mut self) -> Result<Vec<u8>, FleetError> {
        self.fleet.commit()
    }

    fn restore(&mut self, committed: &[u8]) -> Result<(), FleetError> {
        self.fleet.restore(committed)
    }
}

fn update(sent: &Message, answer: &Message) -> Option<Vec<f64>> {
    let (sent, answer) = (sent.get_parameters()?, answer.get_parameters()?);
    let mut update = Vec::new();
    for (name, after) in answer.iter() {
        let before = sent.get(name)?.to_f32();
        update.extend(
            after.to_f32().iter().zip(before.iter()).map(|(to, from)| f64::from(to - from)),
        );
    }
    Some(update)
}

/// The updates that a server reads of one round of these clients.
fn round(shards: Vec<ClientShard>, settings: &[&str]) -> Result<Updates, Box<dyn Error>> {
    let folder = tempfile::tempdir()?;
    let path = folder.path().join("partition.json");
    Partition { clients: shards, class_groups: None }.save(&path)?;
    let partition = format!("partition={{ kind = \"file\", path = {path:?} }}");
    let mut set = vec![partition, "training.rounds=1".into(), "method.loss=class-ce".into()];
    set.extend(["federation.evaluate_local=false".into(), "output.save_every=0".into()]);
    set.extend(settings.iter().map(|&setting| setting.to_owned()));
    let prepared = prepare(Experiment::find("quickstart", &set)?, &Device::flex(), &mut Silent)?;
    let updates = Arc::new(Mutex::new(Updates::new()));
    let read = Arc::clone(&updates);
    let prepared = prepared.with_fleet(|fleet| Box::new(Read { fleet, updates: read }));
    if let Some(failure) = prepared.run(&mut Silent).failure {
        return Err(failure.into());
    }
    let updates = std::mem::take(&mut *updates.lock().expect("the run is over"));
    Ok(updates)
}

/// Less what all have in common.
fn centred(updates: &Updates) -> Updates {
    let count = updates.len() as f64;
    let mut mean = vec![0.0; updates.values().next().map_or(0, Vec::len)];
    for update in updates.values() {
        mean.iter_mut().zip(update).for_each(|(mean, value)| *mean += value / count);
    }
    let less =
        |update: &Vec<f64>| update.iter().zip(&mean).map(|(value, mean)| value - mean).collect();
    updates.iter().map(|(name, update)| (name.clone(), less(update))).collect()
}

fn cosine(left: &[f64], right: &[f64]) -> f64 {
    let dot = |a: &[f64], b: &[f64]| a.iter().zip(b).map(|(a, b)| a * b).sum::<f64>();
    dot(left, right) / (dot(left, left) * dot(right, right)).sqrt().max(f64::MIN_POSITIVE)
}

/// The chance that one that is there has a higher score than one that is not, in percent.
fn auc(there: &[f64], not: &[f64]) -> f64 {
    let wins = |a: f64, b: f64| {
        if a > b {
            1.0
        } else if a == b {
            0.5
        } else {
            0.0
        }
    };
    let total: f64 = there.iter().flat_map(|&a| not.iter().map(move |&b| wins(a, b))).sum();
    100.0 * total / (there.len() * not.len()) as f64
}

fn main() -> Result<(), Box<dyn Error>> {
    let dataset = Dataset::open("datasets/emoji-vendors/emoji-vendors.toml".as_ref(), None)?;
    let test = dataset.indices(Split::Test);
    let mut by_class: Vec<Vec<usize>> = vec![Vec::new(); dataset.classes().len()];
    for image in dataset.indices(Split::Train) {
        by_class[dataset.label(image)].push(image);
    }
    let shard = |id: String, train: Vec<usize>| ClientShard {
        id,
        train,
        test: vec![test[0]],
        ..ClientShard::default()
    };
    // Images of a class: the first for those who read, then those of clients, and others that nobody trained on.
    let own = |class: usize| by_class[class][..5].to_vec();
    let held = |client: usize, class: usize| {
        let from = 5 + IMAGES * (client % 3);
        by_class[class][from..from + IMAGES].to_vec()
    };
    let others = |client: usize, class: usize| held(client + 1, class);
    let classes_of = |client: usize| (0..CLASSES).map(move |at| (client * 7 + at * 5) % 25);
    let clients = || {
        (0..CLIENTS).map(|client| {
            let images = classes_of(client).flat_map(|class| held(client, class)).collect();
            shard(format!("client {client}"), images)
        })
    };
    let of_classes = (0..25).map(|class| shard(format!("{class}"), own(class))).collect();
    let of_classes = centred(&round(of_classes, &[])?);
    let mut candidates: Vec<usize> = Vec::new();
    for client in 0..CLIENTS {
        let both = |class| [held(client, class), others(client, class)].concat();
        candidates.extend(classes_of(client).flat_map(both));
    }
    candidates.sort_unstable();
    candidates.dedup();
    let of_images =
        candidates.iter().map(|image| shard(format!("{image}"), vec![*image])).collect();
    let of_images = centred(&round(of_images, &[])?);

    println!("{:<44} {:>10} {:>10}", "what travels", "classes", "images");
    for (name, settings) in [
        ("updates as they are", &[][..]),
        ("int8", &["federation.upload=int8"]),
        ("EDEN, 2 bits", &["federation.upload=eden"]),
        ("ternary, 5 %", &["federation.upload=ternary"]),
        ("under masks, ten clients", &["federation.secure={}"]),
        ("images hidden, epsilon 8", &["federation.privacy={ kind = \"sample\", epsilon = 8.0 }"]),
        ("images hidden, epsilon 1", &["federation.privacy={ kind = \"sample\", epsilon = 1.0 }"]),
        (
            "clients hidden by themselves, epsilon 8",
            &["federation.privacy={ kind = \"local\", clip = 0.05, epsilon = 8.0 }"],
        ),
    ] {
        let updates = round(clients().collect(), settings)?;
        let (mut classes, mut images) = ([Vec::new(), Vec::new()], [Vec::new(), Vec::new()]);
        for client in 0..CLIENTS {
            let update = &updates[&format!("client {client}")];
            for class in 0..25 {
                let score = cosine(update, &of_classes[&format!("{class}")]);
                classes[usize::from(!classes_of(client).any(|held| held == class))].push(score);
            }
            for class in classes_of(client) {
                for (at, those) in [held(client, class), others(client, class)].iter().enumerate() {
                    let score = |image: &usize| cosine(update, &of_images[&format!("{image}")]);
                    images[at].extend(those.iter().map(score));
                }
            }
        }
        let [classes, images] = [&classes, &images].map(|of| auc(&of[0], &of[1]));
        println!("{name:<44} {classes:>8.1} % {images:>8.1} %");
    }
    Ok(())
}

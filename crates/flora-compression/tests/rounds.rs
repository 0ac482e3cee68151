//! Compression in rounds.

use std::sync::Arc;

use flora_compression::{Codec, Coded, Compressed, UPDATE, Values};
use flora_core::{HostTensor, ParameterRecord};
use flora_federation::{
    Client, ClientError, ClientInfo, Download, Event, FedAvg, Kind, Layered, Message, Metrics,
    Outcome, PARAMETERS, Rounds, RoundsConfig, Simulation, Task, Transform,
};

const LENGTH: usize = 512;

fn record(values: impl Fn(usize) -> f32) -> ParameterRecord {
    let mut record = ParameterRecord::new();
    for (at, name) in ["lora_A", "lora_B"].into_iter().enumerate() {
        let values = (0..LENGTH).map(|index| values(at * LENGTH + index)).collect();
        record.insert(name, HostTensor::from_f32([LENGTH / 8, 8], values).unwrap()).unwrap();
    }
    record
}

fn target(index: usize) -> f32 {
    ((index * 37 % 101) as f32 / 50.0 - 1.0).powi(3)
}

/// Moves a fifth of the way to its target, which is `target` shifted by this number.
struct Pull(String, f32);

impl Client for Pull {
    fn info(&self) -> ClientInfo {
        ClientInfo { id: self.0.clone(), num_examples: 1, num_test_examples: 1 }
    }

    fn handle(&mut self, task: &Task) -> Result<Message, ClientError> {
        let start = task.message.expect_parameters(&self.0)?;
        let at = |index: usize| {
            let name = ["lora_A", "lora_B"][index / LENGTH];
            start.get(name).unwrap().to_f32()[index % LENGTH]
        };
        match task.kind {
            Kind::Train => {
                let to = |index| at(index) + (target(index) + self.1 - at(index)) / 5.0;
                Ok(Message::trained(record(to), 1, Metrics::new()))
            }
            _ => Ok(Message::tested(1, Metrics::from([("accuracy".to_owned(), 0.5)]))),
        }
    }
}

fn run(codec: Codec, feedback: bool, down: Option<Codec>, rounds: usize) -> Outcome {
    let compressed = || -> Vec<Box<dyn Transform>> {
        let compressed = Compressed::new(codec, 3);
        vec![Box::new(if feedback { compressed.with_feedback() } else { compressed })]
    };
    let down = down.map(|codec| Arc::new(Coded::new(codec, 3)) as Arc<dyn Download>);
    let clients = [("a", 0.05), ("b", -0.05)].map(|(id, by)| {
        let client = Box::new(Pull(id.to_owned(), by)) as Box<dyn Client>;
        Box::new(Layered::new(client, compressed()).with_download(down.clone())) as Box<dyn Client>
    });
    let fleet = Layered::new(Simulation::new(clients.into(), 2).unwrap(), compressed());
    let mut fleet = fleet.with_download(down);
    let config = RoundsConfig { rounds, ..RoundsConfig::default() };
    let rounds = Rounds::new(&config);
    rounds.run(&mut fleet, &mut FedAvg, record(|_| 0.0), &mut |_: &Event| ()).unwrap()
}

/// The norm of the difference to the target.
fn off(outcome: &Outcome) -> f64 {
    let target = record(target);
    outcome.last.distance(&target) / target.norm()
}

#[test]
fn what_is_lost_is_sent_later() {
    let exact = off(&run(Codec::F32, false, None, 60));
    assert!(exact < 1e-4, "{exact}");
    for (codec, most) in [
        (Codec::TopK { density: 0.05, values: Values::Int8 }, 0.15),
        (Codec::Ternary { density: 0.1 }, 0.35),
        (Codec::Eden { bits: 1 }, 0.25),
        (Codec::Int4, 0.02),
    ] {
        let (with, without) = (run(codec, true, None, 60), run(codec, false, None, 60));
        assert!(off(&with) < most, "{codec:?}: {}", off(&with));
        // Unbiased codecs reach the target without feedback, too, and so do signs of one magnitude, in shrinking steps.
        if matches!(codec, Codec::TopK { .. }) {
            assert!(off(&with) < off(&without), "{codec:?} {} {}", off(&with), off(&without));
        }
        assert!(with.bytes_up < run(Codec::F16, false, None, 60).bytes_up / 2, "{codec:?}");
    }
}

#[test]
fn the_server_keeps_what_clients_never_see() {
    let int4 = run(Codec::F32, false, Some(Codec::Int4), 60);
    let whole = run(Codec::F32, false, None, 60);
    assert!(int4.bytes_down < whole.bytes_down / 6, "{} {}", int4.bytes_down, whole.bytes_down);
    // Clients pull from their decoded model towards the target: its error is in each step, not in the sum.
    assert!(off(&int4) < 0.05, "{}", off(&int4));
    let both = run(Codec::Eden { bits: 4 }, true, Some(Codec::Int8), 60);
    assert!(off(&both) < 0.02, "{}", off(&both));
}

fn task(round: usize) -> Task {
    let message = Message::parameters(Arc::new(record(|index| index as f32 / 100.0)));
    Task { client: "a".to_owned(), round, attempt: 0, kind: Kind::Train, message }
}

#[test]
fn only_what_was_sent_is_compressed_and_the_rest_travels() {
    let task = task(2);
    let sent = task.message.get_parameters().unwrap();
    // One of the two comes back, and a tensor that was not sent.
    let mut answer = sent.filter(|name| name == "lora_B");
    answer.insert("lora_R", HostTensor::from_f32([2], vec![0.5, 0.25]).unwrap()).unwrap();
    let message = Message::trained(answer.clone(), 1, Metrics::new());
    let mut compressed = Compressed::new(Codec::Eden { bits: 2 }, 3);
    let coded = compressed.encode(&task, message.clone()).unwrap();
    let rest: Vec<_> = coded.records[PARAMETERS].iter().map(|(name, _)| name).collect();
    assert_eq!(rest, ["lora_R"]);
    // An update of zeros is exact.
    let decoded = compressed.decode(&task, coded.clone()).unwrap();
    assert_eq!(decoded.records[PARAMETERS].as_ref(), &answer);
    // A client that does not compress is rejected, and so are every truncation and the updates of other rounds.
    let refused = compressed.decode(&task, message).unwrap_err();
    assert!(refused.contains("not compressed by eden"), "{refused}");
    let bytes = coded.records[UPDATE].get(UPDATE).unwrap().as_bytes().unwrap().to_vec();
    let with = |bytes: Vec<u8>| {
        let mut update = ParameterRecord::new();
        update.insert(UPDATE, HostTensor::from_bytes(bytes)).unwrap();
        let mut message = coded.clone();
        message.records.insert(UPDATE.to_owned(), Arc::new(update));
        compressed.decode(&task, message)
    };
    assert!(with(bytes.clone()).is_ok());
    for end in 0..bytes.len() {
        assert!(with(bytes[..end].to_vec()).is_err(), "{end}");
    }
    let mut more = bytes;
    more[0] |= 4;
    assert!(with(more).unwrap_err().contains("more tensors than were sent"));
}

#[test]
fn what_was_lost_is_remembered() {
    let answer = |round| {
        let moved = record(|index| index as f32 / 100.0 + target(index + round));
        Message::trained(moved, 1, Metrics::new())
    };
    let make = || Compressed::new(Codec::Ternary { density: 0.1 }, 3).with_feedback();
    let mut whole = make();
    assert!(whole.save().is_empty());
    whole.encode(&task(0), answer(0)).unwrap();
    let state = whole.save();
    let second = whole.encode(&task(1), answer(1)).unwrap();
    let mut resumed = make();
    assert_ne!(resumed.encode(&task(1), answer(1)).unwrap(), second);
    resumed.restore(&state).unwrap();
    assert_eq!(resumed.encode(&task(1), answer(1)).unwrap(), second);
    resumed.restore(&[]).unwrap();
    assert!(resumed.save().is_empty());
    assert!(resumed.restore(&state[..state.len() / 2]).is_err());
}

#[test]
fn everybody_is_sent_the_same_and_damage_is_an_error() {
    let down = |codec| Coded::new(codec, 3);
    for codec in [Codec::F16, Codec::Int8, Codec::Int4, Codec::Eden { bits: 3 }] {
        let (server, client) = (down(codec), down(codec));
        let sent = task(4);
        let coded = server.encode(&sent).unwrap();
        assert_eq!(server.encode(&Task { client: "b".to_owned(), ..sent.clone() }).unwrap(), coded);
        assert_eq!(down(codec).encode(&sent).unwrap(), coded);
        let coded = Task { message: coded, ..sent.clone() };
        let read = client.decode(&coded).unwrap();
        assert_eq!(server.decode(&coded).unwrap(), read);
        let (whole, read) =
            (sent.message.get_parameters().unwrap(), read.get_parameters().unwrap());
        assert!(read.distance(whole) / whole.norm() < 0.25, "{codec:?}");
        read.check_matches(whole).unwrap();
        // Truncated anywhere.
        let bytes = coded.message.get_parameters().unwrap().get("lora_A").unwrap();
        let bytes = bytes.as_bytes().unwrap();
        for end in (0..bytes.len()).step_by(7) {
            let mut record = ParameterRecord::new();
            record.insert("lora_A", HostTensor::from_bytes(bytes[..end].to_vec())).unwrap();
            let message = Message::parameters(Arc::new(record));
            let error = client.decode(&Task { message, ..sent.clone() }).unwrap_err();
            assert!(error.contains("`lora_A`"), "{error}");
        }
    }
    // A tensor that claims to be larger than memory.
    let mut record = ParameterRecord::new();
    let bytes = [&[2_u8][..], &[255, 255, 0, 0], &[0, 64, 0, 0], &[0; 64]].concat();
    record.insert("w", HostTensor::from_bytes(bytes)).unwrap();
    let message = Message::parameters(Arc::new(record));
    assert!(down(Codec::Int4).decode(&Task { message, ..task(0) }).is_err());
}

/// A tensor of `count` zeros, which take next to no bytes.
fn zeros(codec: Codec, shape: &[u32]) -> HostTensor {
    let count: u32 = shape.iter().product();
    let mut bytes = vec![shape.len() as u8];
    shape.iter().for_each(|extent| bytes.extend(extent.to_le_bytes()));
    bytes.extend(
        codec
            .encode(&[&vec![0.0; count as usize]], 1, &mut flora_core::seed::stream(1, "zeros"))
            .unwrap(),
    );
    HostTensor::from_bytes(bytes)
}

#[test]
fn a_small_message_cannot_claim_much_memory() {
    let codec = Codec::Int4;
    let decode = |coded: &Coded, tensors: &[(&str, &HostTensor)]| {
        let mut record = ParameterRecord::new();
        tensors.iter().for_each(|(name, tensor)| record.insert(*name, (*tensor).clone()).unwrap());
        coded.decode(&Task { message: Message::parameters(Arc::new(record)), ..task(0) })
    };
    // The model's shapes, and adapters of a lower rank.
    let known = Coded::new(codec, 3).with_shapes_of(&record(|_| 0.0));
    for shape in [[64, 8], [64, 3], [10, 8]] {
        decode(&known, &[("lora_A", &zeros(codec, &shape))]).unwrap();
    }
    for shape in [&[64, 9][..], &[65, 8], &[512], &[64, 8, 1]] {
        let error = decode(&known, &[("lora_A", &zeros(codec, shape))]).unwrap_err();
        assert!(error.contains("`lora_A`") && error.contains("[64, 8]"), "{error}");
    }
    // Without a known shape, all of a message's tensors share one limit, however few bytes they have.
    let (half, more) = (zeros(codec, &[1 << 23]), zeros(codec, &[(1 << 23) + 1]));
    for coded in [known, Coded::new(codec, 3)] {
        decode(&coded, &[("v", &half), ("w", &half)]).unwrap();
        for tensors in
            [&[("v", &half), ("w", &more)][..], &[("v", &half), ("w", &half), ("x", &half)]]
        {
            let error = decode(&coded, tensors).unwrap_err();
            assert!(error.contains("more than the limit of 16777216"), "{error}");
        }
    }
    // A large model that is encoded in as many bytes as it needs has no limit.
    let numbers: Vec<f32> = (0..(1 << 24) + 8).map(|at| target(at % 4096)).collect();
    let mut large = ParameterRecord::new();
    large.insert("w", HostTensor::from_f32([numbers.len()], numbers).unwrap()).unwrap();
    let sent = Task { message: Message::parameters(Arc::new(large)), ..task(0) };
    let coded = Coded::new(Codec::Int4, 3);
    let message = coded.encode(&sent).unwrap();
    coded.decode(&Task { message, ..sent }).unwrap();
}

//! Transforms between clients and the round loop.

mod support;

use std::sync::Arc;

use flora_core::Dtype;
use flora_federation::{
    AtRest, Client, ClientStates, Download, Event, FedAvg, Layered, Message, Outcome, Reason,
    Rounded, Rounds, RoundsConfig, Simulation, Task, Transform,
};
use support::{Pull, record, w};

fn layers(list: &[Dtype]) -> Vec<Box<dyn Transform>> {
    list.iter().map(|&dtype| Box::new(Rounded(dtype)) as Box<dyn Transform>).collect()
}

fn run(client_side: &[Dtype], server_side: &[Dtype]) -> (Option<Outcome>, Vec<Event>) {
    let clients = [("a", [1.0, 0.5]), ("b", [0.8, 0.1])].map(|(id, target)| {
        let client = Pull::new(id, target, 10).boxed();
        Box::new(Layered::new(client, layers(client_side))) as Box<dyn Client>
    });
    let mut fleet = Layered::new(Simulation::new(clients.into(), 2).unwrap(), layers(server_side));
    let mut events = Vec::new();
    let config = RoundsConfig { rounds: 3, ..RoundsConfig::default() };
    let initial = record([0.0, 0.0]);
    let outcome =
        Rounds::new(&config)
            .run(&mut fleet, &mut FedAvg, initial, &mut |event: &Event| events.push(event.clone()));
    (outcome.ok(), events)
}

#[test]
fn half_the_bytes_travel_and_the_loop_sees_f32() {
    let (whole, _) = run(&[], &[]);
    let (half, _) = run(&[Dtype::F16], &[Dtype::F16]);
    let (whole, half) = (whole.unwrap(), half.unwrap());
    assert_eq!((whole.bytes_up, half.bytes_up), (3 * 2 * 8, 3 * 2 * 4));
    assert_eq!(half.bytes_down, whole.bytes_down);
    assert_eq!(half.last.get("w").unwrap().dtype(), Dtype::F32);
    assert_ne!(half.last, whole.last);
    for (half, whole) in w(&half.last).iter().zip(w(&whole.last)) {
        assert!((half - whole).abs() < 2e-3, "{half} {whole}");
    }
}

#[test]
fn an_answer_that_is_not_encoded_is_refused() {
    let (outcome, events) = run(&[], &[Dtype::Bf16]);
    assert!(outcome.is_none());
    let refused = |event: &&Event| match event {
        Event::ClientFailed { reason, message, .. } => {
            assert_eq!(*reason, Reason::Refused);
            assert!(message.contains("rounded: tensor `w` has element type f32"), "{message}");
            true
        }
        _ => false,
    };
    assert_eq!(events.iter().filter(refused).count(), 2);
    // A reply that is encoded although it should not be is rejected by the loop itself.
    let (outcome, events) = run(&[Dtype::F16], &[]);
    assert!(outcome.is_none());
    assert!(events.iter().any(|event| matches!(event, Event::ClientFailed { .. })));
}

/// Sums up the encoded values, and keeps the sum as its state.
struct Counting(u8);

impl Transform for Counting {
    fn name(&self) -> &str {
        "counting"
    }

    fn encode(&mut self, _task: &Task, message: Message) -> Result<Message, String> {
        self.0 += 1;
        Ok(message)
    }

    fn decode(&self, _task: &Task, message: Message) -> Result<Message, String> {
        Ok(message)
    }

    fn save(&self) -> Vec<u8> {
        if self.0 == 0 { Vec::new() } else { vec![self.0] }
    }

    fn restore(&mut self, state: &[u8]) -> Result<(), String> {
        self.0 = state.first().copied().unwrap_or(0);
        Ok(())
    }
}

#[test]
fn what_a_transform_remembers_is_a_part_of_the_clients_state() {
    let client = || {
        let layers: Vec<Box<dyn Transform>> = vec![Box::new(Counting(0)), Box::new(Counting(5))];
        Layered::new(Pull::new("a", [1.0, 0.5], 10).boxed(), layers)
    };
    let folder = tempfile::tempdir().unwrap();
    let states = ClientStates::create(folder.path().join("clients.bin")).unwrap();
    let fleet = Simulation::new(vec![Box::new(client())], 1).unwrap();
    let mut fleet = fleet.with_states(states, AtRest::Disk);
    let config = RoundsConfig { rounds: 4, ..RoundsConfig::default() };
    let outcome =
        Rounds::new(&config).run(&mut fleet, &mut FedAvg, record([0.0, 0.0]), &mut |_: &Event| ());
    assert_eq!(outcome.unwrap().history.len(), 5);

    let mut one = client();
    let saved = one.save().unwrap();
    assert_eq!(
        saved.as_deref().unwrap()[..],
        [0, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 5, 0]
    );
    one.restore(None).unwrap();
    assert_eq!(one.save().unwrap(), None);
    one.restore(saved.as_deref()).unwrap();
    assert_eq!(one.save().unwrap(), saved);
    let saved = saved.unwrap();
    for end in 0..saved.len() {
        assert!(one.restore(Some(&saved[..end])).is_err(), "{end}");
    }
}

/// Sends tasks in half precision.
struct Halves;

impl Download for Halves {
    fn name(&self) -> &str {
        "halves"
    }

    fn encode(&self, task: &Task) -> Result<Message, String> {
        cast(&task.message, Dtype::F16)
    }

    fn decode(&self, task: &Task) -> Result<Message, String> {
        cast(&task.message, Dtype::F32)
    }
}

fn cast(message: &Message, dtype: Dtype) -> Result<Message, String> {
    let mut message = message.clone();
    for record in message.records.values_mut() {
        *record = Arc::new(record.cast(dtype));
    }
    Ok(message)
}

/// Updates are added to the server's parameters, not to the rounded ones that the client received.
#[test]
fn the_server_keeps_its_model_whole() {
    let start = record([1.0 + 1.0 / 3_000.0, -0.3]);
    let run = |down: Option<Arc<dyn Download>>, layers: fn() -> Vec<Box<dyn Transform>>| {
        let clients = [("a", [1.0, 0.5]), ("b", [0.8, 0.1])].map(|(id, target)| {
            let client = Layered::new(Pull::new(id, target, 10).boxed(), layers());
            Box::new(client.with_download(down.clone())) as Box<dyn Client>
        });
        let fleet = Layered::new(Simulation::new(clients.into(), 2).unwrap(), layers());
        let config = RoundsConfig { rounds: 1, ..RoundsConfig::default() };
        let mut fleet = fleet.with_download(down);
        let rounds = Rounds::new(&config);
        rounds.run(&mut fleet, &mut FedAvg, start.clone(), &mut |_: &Event| ()).unwrap()
    };
    let whole = run(None, Vec::new);
    for layers in
        [Vec::new as fn() -> _, || vec![Box::new(Rounded(Dtype::Bf16)) as Box<dyn Transform>]]
    {
        let half = run(Some(Arc::new(Halves)), layers);
        assert_eq!((whole.bytes_down, half.bytes_down), (2 * 8, 2 * 4));
        let received = start.cast(Dtype::F16).cast(Dtype::F32);
        let (received, start) = (w(&received), w(&start));
        // Pull goes 0.3 of the way to its target: the mean of both is 0.9, 0.3.
        for (at, target) in [0.9, 0.3].into_iter().enumerate() {
            let expected = start[at] + 0.3 * (target - received[at]);
            let tolerance = if half.bytes_up == whole.bytes_up { 1e-6 } else { 4e-3 };
            let found = w(&half.last)[at];
            assert!((found - expected).abs() < tolerance, "{found} {expected}");
        }
    }
}

//! Transforms between clients and round loop.

mod support;

use flora_core::Dtype;
use flora_federation::{
    AtRest, Client, ClientStates, Event, FedAvg, Layered, Message, Outcome, Reason, Rounded,
    Rounds, RoundsConfig, Simulation, Task, Transform,
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
    // And one that is, where nobody expects it, by the loop itself.
    let (outcome, events) = run(&[Dtype::F16], &[]);
    assert!(outcome.is_none());
    assert!(events.iter().any(|event| matches!(event, Event::ClientFailed { .. })));
}

/// Adds up what it has encoded, and remembers it.
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

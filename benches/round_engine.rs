//! What a round costs besides the clients' own work: clients that add one to every number, or answer at once.
//!
//! ```sh
//! cargo bench --workspace --bench round_engine
//! ```

use std::time::Instant;

use flora_core::HostTensor;
use flora_federation::{
    Client, ClientError, ClientInfo, ClientSelector, Event, FedAvg, FederationError, Kind, Message,
    Metrics, ParameterRecord, Rounds, RoundsConfig, Simulation, Task,
};

/// Tensors and numbers in each, of what is sent.
const SIZES: [(&str, usize, usize); 2] = [
    ("a tiny model, 2 tensors of 8 numbers", 2, 8),
    ("clip-nano's adapter, 12 tensors of 512 numbers", 12, 512),
];

struct Idle {
    id: String,
}

impl Client for Idle {
    fn info(&self) -> ClientInfo {
        ClientInfo { id: self.id.clone(), num_examples: 10, num_test_examples: 10 }
    }

    fn handle(&mut self, task: &Task) -> Result<Message, ClientError> {
        match &task.kind {
            Kind::Train => {
                let mut parameters = ParameterRecord::new();
                for (name, tensor) in task.message.expect_parameters(&self.id)?.iter() {
                    let values = tensor.to_f32().iter().map(|value| value + 1.0).collect();
                    HostTensor::from_f32(tensor.shape(), values)
                        .and_then(|tensor| parameters.insert(name, tensor))
                        .map_err(|error| ClientError::new(&self.id, error.to_string()))?;
                }
                let metrics = Metrics::from([("loss".to_owned(), 1.0)]);
                Ok(Message::trained(parameters, 10, metrics))
            }
            Kind::Evaluate => {
                let metrics = [("accuracy".to_owned(), 0.5), ("loss".to_owned(), 1.0)];
                Ok(Message::tested(10, Metrics::from(metrics)))
            }
            Kind::Query(_) => Err(task.unsupported()),
        }
    }
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    // `cargo test --benches` passes this: show that the bench runs, not how fast.
    let test = !std::env::args().any(|argument| argument == "--bench");
    let fleets = if test { &[10, 100][..] } else { &[10, 100, 1_000, 10_000] };
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    println!("{threads} threads; ms a client call, by clients, where so many train and all test");
    for (name, tensors, numbers) in SIZES {
        println!("\n{name}\n{:>8}  {:>9}  {:>9}", "clients", "all", "1 %");
        for &clients in fleets {
            let [all, few] = [1.0, 0.01].map(|fraction| {
                // As many calls for any number of clients, but for the fewest.
                let rounds = if test { 1 } else { (20_000 / clients).clamp(2, 200) };
                ms_per_call(clients, fraction, rounds, tensors, numbers)
            });
            println!("{clients:>8}  {:>9.4}  {:>9.4}", all?, few?);
        }
    }
    Ok(())
}

/// Wall-clock milliseconds of a run, divided by how often a client was called.
fn ms_per_call(
    clients: usize,
    fraction: f64,
    rounds: usize,
    tensors: usize,
    numbers: usize,
) -> Result<f64, FederationError> {
    let id = |number| format!("client-{number:05}");
    let fleet = (0..clients).map(|number| Box::new(Idle { id: id(number) }) as Box<dyn Client>);
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    let mut fleet = Simulation::new(fleet.collect(), threads)?;
    let mut initial = ParameterRecord::new();
    for number in 0..tensors {
        let tensor = HostTensor::from_f32([numbers], vec![0.0; numbers]);
        let named =
            tensor.and_then(|tensor| initial.insert(format!("layers.{number}.weight"), tensor));
        named.map_err(FederationError::Initial)?;
    }
    let selection = ClientSelector { fraction, min_clients: 1 };
    let config = RoundsConfig { rounds, seed: 1, ..RoundsConfig::default() };
    let mut events = 0_usize;
    let started = Instant::now();
    let outcome = Rounds::new(&config).with_selection(&selection).run(
        &mut fleet,
        &mut FedAvg,
        initial,
        &mut |_: &Event| events += 1,
    )?;
    let seconds = started.elapsed().as_secs_f64();
    // Every client tests once a round and once at the end.
    let fits = (clients as f64 * fraction).round().max(1.0) as usize * rounds;
    let calls = fits + clients * (rounds + 1);
    assert_eq!(outcome.history.len(), rounds + 1);
    assert!(events > fits, "every reply is told");
    Ok(seconds * 1e3 / calls as f64)
}

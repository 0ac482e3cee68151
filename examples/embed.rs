//! A federated run from your own program: the shipped preset with a few rounds, every round's
//! accuracy printed, the adapters kept as named tensors.
//!
//! ```sh
//! cargo run --release -p flora --example embed      # or with -- --device wgpu, built with --features wgpu
//! ```

use flora::federation::{EvaluatedModel, Event};
use flora::tuning::{Observer, Preset, prepare};

/// Prints the global model's accuracy after each round.
struct Printer;

impl Observer for Printer {
    fn event(&mut self, event: &Event) {
        if let Event::Evaluated { round, model: EvaluatedModel::Global, accuracy, .. } = event {
            println!("round {round}: {:.1} %", 100.0 * accuracy);
        }
    }
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let device = flora::device::take_from(&mut std::env::args().skip(1).collect())?;
    let quickstart = Preset::find("quickstart").ok_or("the preset ships with flora")?;
    let experiment = quickstart.experiment(&["training.rounds=3".to_owned()])?;

    let finished = prepare(experiment, &device, &mut Printer)?.run(&mut Printer);
    if let Some(failure) = finished.failure {
        return Err(failure.into());
    }
    let outcome = finished.outcome.ok_or("a run without failure has an outcome")?;
    for (name, tensor) in outcome.last.iter().take(2) {
        println!("{name} {:?}", tensor.shape());
    }
    println!(
        "{} parameters travelled each way per client and round",
        outcome.last.num_parameters()
    );
    Ok(())
}

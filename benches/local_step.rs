//! What the exact fast path saves: one training step of a client (loss and gradients of a batch),
//! computed as the paper's code computes it and as flora does, in turn, in one run.
//!
//! ```sh
//! cargo bench --workspace --bench local_step
//! ```

use std::sync::Arc;
use std::time::Instant;

use burn::module::Module;
use flora::clip::{Checkpoint, normalize};
use flora::core::workers::Workers;
use flora::data::{Dataset, FeatureRows, Features, Split};
use flora::lora::{LoraConfig, attach};
use flora::tuning::{
    ImageInput, Implementation, LossKind, Objective, Prompts, TuningError, TuningModel,
    methods::Flora,
};

/// Steps of each kind; the median counts.
const REPEATS: usize = 7;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    // `cargo test --benches` passes this: show that the bench runs, not how fast.
    let repeats = if std::env::args().any(|argument| argument == "--bench") { REPEATS } else { 1 };
    let device = flora::device::parse("cpu")?.autodiff();
    let checkpoint = Checkpoint::open(&flora::hub::find("models/clip-nano".as_ref())?)?;
    let clip = checkpoint.load(&device)?;
    let description = flora::hub::find("datasets/emoji-vendors/emoji-vendors.toml".as_ref())?;
    let dataset = Arc::new(Dataset::open(&description, None)?);
    let batch: Vec<usize> =
        dataset.indices(Split::Train).into_iter().step_by(24).take(128).collect();

    // The cached features of the batch alone: the rest of the table stays zero.
    let images = batch.iter().map(|&index| dataset.image(index)).collect::<Result<Vec<_>, _>>()?;
    let plain = device.clone().inner();
    let encoded = clip.valid().image_features(checkpoint.preprocessor.batch(&images, &plain)?);
    let encoded = normalize(encoded).into_data().try_into_vec::<f32>()?;
    let dim = checkpoint.config.projection_dim;
    let mut values = vec![0.0; dataset.len() * dim];
    for (row, &index) in encoded.chunks(dim).zip(&batch) {
        values[index * dim..(index + 1) * dim].copy_from_slice(row);
    }
    let features = Arc::new(FeatureRows::from(Features { dim, values }));

    let prompts = Prompts::new(
        &checkpoint.tokenizer,
        &checkpoint.config.text_config,
        dataset.template(),
        dataset.classes(),
    )?;
    // As in a run: a client's maths has one thread.
    let one_thread = Workers::new(1)?;
    let model = attach(TuningModel::new(clip.clone(), true), &LoraConfig::default(), 0)?;
    let prefix = prompts.prefix(&model);
    let labels: Vec<usize> = (0..dataset.len()).map(|index| dataset.label(index)).collect();
    let objective = |loss, implementation| {
        let images = match implementation {
            Implementation::Fast => ImageInput::Features(features.clone()),
            Implementation::Naive => ImageInput::Pictures {
                dataset: dataset.clone(),
                preprocessor: checkpoint.preprocessor.clone(),
            },
        };
        let method = Arc::new(Flora(LoraConfig::default()));
        let logit_scale = clip.temperature_factor();
        let prefix = matches!(implementation, Implementation::Fast).then(|| prefix.clone());
        let prompts = prompts.clone();
        let objective = Objective::new(method, images, labels.clone(), prompts, logit_scale);
        Objective { prefix, loss, implementation, ..objective }
    };

    println!(
        "clip-nano, batch {}, {} classes, ms a step (median of {repeats})",
        batch.len(),
        prompts.classes()
    );
    for (name, loss) in [("infonce", LossKind::Infonce), ("class-ce", LossKind::ClassCe)] {
        let (naive, fast) =
            (objective(loss, Implementation::Naive), objective(loss, Implementation::Fast));
        let mut times = [Vec::new(), Vec::new()];
        for _ in 0..repeats {
            for (objective, times) in [&naive, &fast].into_iter().zip(&mut times) {
                let step = |()| -> Result<f64, TuningError> {
                    let started = Instant::now();
                    objective.batch_loss(&model, &batch, &device)?.backward();
                    Ok(started.elapsed().as_secs_f64() * 1e3)
                };
                times.push(one_thread.map(vec![()], step, |_, _| ()).remove(0)?);
            }
        }
        let [naive, fast] = times.map(|mut times| {
            times.sort_by(f64::total_cmp);
            times[times.len() / 2]
        });
        println!("{name:>9}  naive {naive:8.1}  fast {fast:8.1}  ratio {:6.1}", naive / fast);
    }
    Ok(())
}

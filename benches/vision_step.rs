//! What the vision cache saves: one training step of a client whose adapters are in the last two blocks of the vision
//! tower of ViT-B/32 (random weights), with and without what lies below them.
//!
//! ```sh
//! cargo bench --workspace --bench vision_step
//! ```

use std::sync::Arc;
use std::time::Instant;

use burn::module::Module;
use flora::clip::{Clip, ClipConfig, Preprocessor};
use flora::core::workers::Workers;
use flora::data::{BegunActivations, Dataset, FeatureCache, FeatureKey, FeatureRows, Split};
use flora::inference::pixels;
use flora::lora::{LoraConfig, Towers, attach};
use flora::tuning::{
    ImageInput, LossKind, Objective, Prompts, TrainingConfig, TuningError, TuningModel,
    methods::Flora, step,
};

/// Steps of each kind; the median counts.
const REPEATS: usize = 5;
/// Images of a step.
const BATCH: usize = 32;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    // `cargo test --benches` passes this: show that the bench runs, not how fast.
    let is_test = !std::env::args().any(|argument| argument == "--bench");
    let (repeats, batch, config) = match is_test {
        true => (1, 4, ClipConfig::clip_nano()),
        false => (REPEATS, BATCH, ClipConfig::vit_base_patch32()),
    };
    let device = flora::device::parse("cpu")?.autodiff();
    let clip = Clip::random(&config, 0, &device);
    let logit_scale = clip.temperature_factor();
    let preprocessor = Preprocessor::new(&config.vision_config);
    let description = flora::hub::find("datasets/emoji-vendors/emoji-vendors.toml".as_ref())?;
    let dataset = Arc::new(Dataset::open(&description, None)?);
    let batch: Vec<usize> =
        dataset.indices(Split::Train).into_iter().step_by(24).take(batch).collect();
    let labels: Vec<usize> = (0..dataset.len()).map(|index| dataset.label(index)).collect();
    // Any ten texts: where no adapter is in the text tower, they are encoded once for all steps.
    let ids = 0..dataset.classes().len() as u32;
    let end = config.text_config.vocab_size as u32 - 1;
    let texts = ids.map(|class| vec![end - 1, 5 + class, end]).collect();
    let prompts = Prompts::from_ids(texts, &config.text_config)?;
    let last = config.vision_config.num_hidden_layers;
    let folder = tempfile::tempdir()?;
    // As in a run: a client's maths has one thread.
    let one_thread = Workers::new(1)?;

    println!(
        "{} images of {} pixels, ms a step (median of {repeats})",
        batch.len(),
        config.vision_config.image_size
    );
    for (name, projections) in [
        ("q_proj and v_proj", "(q|v)_proj"),
        ("out_proj", "out_proj"),
        ("all", "(q_proj|k_proj|v_proj|out_proj|fc1|fc2)"),
    ] {
        let pattern = format!(r".*layers\.({}|{})\..*\.{projections}", last - 2, last - 1);
        let lora = LoraConfig {
            target_modules: flora::lora::TargetModules::Pattern(pattern),
            towers: Towers::Vision,
            ..LoraConfig::default()
        };
        let model = attach(TuningModel::new(clip.clone(), true).no_grad(), &lora, 0)?;
        let cut = model.vision_cut().expect("adapters in the vision tower");

        // Rows of zeros for images that are not in the batch would only take time.
        let cache = FeatureCache::new(folder.path().join(projections.replace(['(', ')', '|'], "")));
        let key = FeatureKey {
            checkpoint: name.into(),
            preprocessing: String::new(),
            data: String::new(),
        };
        let shape = [batch.len(), cut.numbers()];
        let begun = cache.begin_activations(&key, shape, 1, &mut |told| println!("{told}"))?;
        let BegunActivations::Filling(mut filling) = begun else { unreachable!("a new folder") };
        let plain = device.clone().inner();
        let images = preprocessor.stack(pixels(&preprocessor, &dataset, &batch)?, &plain);
        let states = model.valid().image_prefix(images, cut).into_data().try_into_vec::<f32>()?;
        filling.append(states)?;
        let below = Arc::new(FeatureRows::Activations(filling.finish()?));

        let start = flora::tuning::methods::Start::new(0, &device, &model, &prompts);
        let texts = Some(start.texts());
        let method = Arc::new(Flora(lora));
        let objective = |images, labels| {
            let objective =
                Objective::new(method.clone(), images, labels, prompts.clone(), logit_scale);
            Objective { loss: LossKind::ClassCe, texts: texts.clone(), ..objective }
        };
        let without =
            ImageInput::Pictures { dataset: dataset.clone(), preprocessor: preprocessor.clone() };
        let without = (objective(without, labels.clone()), batch.clone());
        let own = batch.iter().map(|&index| labels[index]).collect();
        let with = ImageInput::Activations { below, cut };
        let with = (objective(with, own), (0..batch.len()).collect::<Vec<_>>());

        let mut times = [Vec::new(), Vec::new()];
        let mut losses = [0f32; 2];
        for _ in 0..repeats {
            for (at, (objective, indices)) in [&without, &with].into_iter().enumerate() {
                let work = |()| -> Result<(f64, f32), TuningError> {
                    let mut model = model.clone();
                    let mut optimizer = TrainingConfig::default().optimizer();
                    let started = Instant::now();
                    let loss = objective.batch_loss(&model, indices, &device)?;
                    let loss = step(&mut model, &mut optimizer, 1e-4, loss).expect("a finite loss");
                    Ok((started.elapsed().as_secs_f64() * 1e3, loss))
                };
                let (time, loss) = one_thread.map(vec![()], work, |_, _| ()).remove(0)?;
                times[at].push(time);
                losses[at] = loss;
            }
        }
        let [without, with] = times.map(|mut times| {
            times.sort_by(f64::total_cmp);
            times[times.len() / 2]
        });
        assert!((losses[0] - losses[1]).abs() < 1e-5 * losses[0], "{losses:?}");
        println!(
            "{name:>17}  without {without:8.1}  with {with:8.1}  ratio {:5.1}  kept {cut}: {} bytes an image",
            without / with,
            4 * cut.numbers()
        );
    }
    Ok(())
}

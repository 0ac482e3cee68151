//! The workloads, ready for repeated runs.

mod aggregation;
mod encode;
mod step;

use burn::tensor::{Device, Tensor, TensorData};
use flora_clip::Precision;
use flora_lora::LoraConfig;
use rand_distr::{Distribution, Uniform};

use crate::texts::random_texts;
use crate::{BenchError, BenchModel, Settings, Workload, count};

/// A piece of work to time.
pub(crate) trait Work: Send {
    /// Does it once, to the end: this waits for asynchronous devices.
    fn run(&mut self) -> Result<(), BenchError>;

    /// Its result; `None` if there is nothing to compare.
    fn outcome(&mut self) -> Result<Option<Vec<f32>>, BenchError> {
        Ok(None)
    }
}

/// One piece of work for each concurrent batch, and its description.
pub(crate) struct Job {
    pub(crate) works: Vec<Box<dyn Work>>,
    /// Items in a batch.
    pub(crate) batch: usize,
    /// The padded length of texts.
    pub(crate) tokens: Option<usize>,
    pub(crate) classes: Option<usize>,
    pub(crate) precision: Precision,
    /// Multiply-adds of one batch.
    pub(crate) multiply_adds: u64,
}

/// Prepares `workload`, `batches` times.
pub(crate) fn prepare(
    workload: Workload,
    model: BenchModel,
    settings: &Settings,
    batches: usize,
) -> Result<Job, BenchError> {
    let Settings { batch, tokens, classes, precision, clients, .. } = *settings;
    let config = model.config.clone();
    let distinct = match workload {
        Workload::LoraStep => classes.unwrap_or(batch),
        _ => batch,
    };
    let lengths = tokens.lengths(distinct, config.text_config.max_position_embeddings);
    let shortest = lengths.iter().copied().min().unwrap_or(2);
    let beginning = tokens.beginning().min(shortest - 1);
    let texts = || random_texts(&lengths, beginning, &config.text_config);
    let job = Job {
        works: Vec::new(),
        batch,
        tokens: lengths.iter().copied().max(),
        classes: None,
        precision: Precision::F32,
        multiply_adds: 0,
    };
    Ok(match workload {
        Workload::ImageEncode => Job {
            works: encode::images(&model, precision, batch, batches)?,
            tokens: None,
            precision,
            multiply_adds: count::image_encode(&config, batch),
            ..job
        },
        Workload::TextEncode => Job {
            works: encode::texts(&model, &texts(), batches)?,
            multiply_adds: count::text_encode(&config, &lengths),
            ..job
        },
        Workload::LoraStep => Job {
            works: step::lora(model, texts(), batch, classes.is_some(), batches)?,
            classes,
            multiply_adds: {
                let rank = LoraConfig::default().r;
                count::lora_step(&config, batch, &lengths, rank, classes.map(|_| beginning))
            },
            ..job
        },
        Workload::FullStep => Job {
            works: step::full(model, texts(), batch, batches)?,
            multiply_adds: count::full_step(&config, batch, &lengths),
            ..job
        },
        Workload::Aggregation => {
            let (works, parameters) = aggregation::fedavg(&model, clients, batches)?;
            let multiply_adds = count::aggregation(clients, parameters);
            Job { works, batch: clients, tokens: None, multiply_adds, ..job }
        }
    })
}

/// Waits for the device on the thread that gave it the work: some devices have a queue for each thread.
pub(crate) fn synchronize(device: &Device) -> Result<(), BenchError> {
    device.sync().map_err(|error| BenchError::Device(error.to_string()))
}

/// The values of a tensor, on the host.
fn values<const D: usize>(tensor: Tensor<D>) -> Result<Option<Vec<f32>>, BenchError> {
    let values = tensor.into_data().try_into_vec();
    values.map(Some).map_err(|error| BenchError::Device(format!("{error:?}")))
}

/// `count` numbers in `[-1, 1)`, the same for the same label.
pub(crate) fn random_values(label: &str, count: usize) -> Vec<f32> {
    let mut random = flora_core::seed::stream(0, label);
    let numbers = Uniform::new(-1.0, 1.0).expect("a range");
    numbers.sample_iter(&mut random).take(count).collect()
}

/// Inputs of a vision tower, `[batch, 3, size, size]`.
fn random_images(model: &BenchModel, batch: usize) -> Tensor<4> {
    let size = model.config.vision_config.image_size;
    let values = random_values("bench images", batch * 3 * size * size);
    Tensor::from_data(TensorData::new(values, [batch, 3, size, size]), &model.device)
}

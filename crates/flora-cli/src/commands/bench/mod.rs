mod devices;

use flora::bench::{
    BenchError, BenchModel, Measurement, Report, Settings, TextLength, Workload, WorkloadProgress,
    run,
};
use flora::clip::Precision;
use flora::core::text::printable;
use flora::report::tables;
use flora::report::units::{bytes, count, figure, percent};
use indicatif::ProgressBar;

use self::devices::Comparison;
use super::model_args::resolve;
use crate::device::{DeviceArgs, Place};
use crate::failure::Failure;
use crate::{bar, output, program};

/// Measure flora's workloads with a model on this machine, compared with the machine's matmul peak
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Workloads:
  image-encode  pixels to image features
  text-encode   token ids to text features
  lora-step     a step of a FLoRA client: forward, backward and Adam's step of
                the text tower's adapters; the image features are given
  full-step     a step of full fine-tuning: forward of both towers, backward,
                Adam's step of every weight
  aggregation   FedAvg of the adapters of --clients clients

Inputs are random: no data set is needed. GFLOP/s count only matrix products
that the result depends on; the peak is the fastest square product in f32
on the same threads. docs/benchmarks.md has the details.")]
pub(crate) struct Bench {
    /// Workloads to measure [default: all]
    #[arg(value_name = "WORKLOAD")]
    workloads: Vec<Workload>,
    /// The model: a folder or file of Hugging Face, OpenCLIP or OpenAI, the name of a known model,
    /// or hf:owner/name[@revision]
    #[arg(long, value_name = "MODEL", default_value = "clip-nano")]
    model: String,
    /// Use random weights in the shape of a known model, such as vit-b-32, instead of --model. Needs no file
    #[arg(long, value_name = "NAME", conflicts_with = "model")]
    shape: Option<String>,
    /// Images, texts or samples per batch
    #[arg(long, value_name = "N", default_value_t = Settings::default().batch)]
    batch: usize,
    /// Tokens per text, or "longest" for prompts of 8 to 12, padded to the longest [default: the model's context
    /// length, 77 in CLIP]
    #[arg(long, value_name = "N|longest")]
    tokens: Option<TextLength>,
    /// Run lora-step as a client with this many classes, whose prompts are encoded once each, starting at the first
    /// adapter. By default every sample has its own text, and nothing is reused
    #[arg(long, value_name = "N")]
    classes: Option<usize>,
    /// Precision in which image-encode multiplies the vision tower's frozen weights: f32, bf16 or f16; other workloads
    /// use f32. With --devices, several separated by commas
    #[arg(long, value_name = "PRECISION", default_value = "f32", value_delimiter = ',')]
    precision: Vec<Precision>,
    /// Threads that share a batch [default: one per processor, one on a GPU]
    #[arg(long, value_name = "N")]
    threads: Option<usize>,
    /// Run one batch per thread with single-threaded maths, as a simulation runs its clients
    #[arg(long)]
    each: bool,
    /// Number of clients in the aggregation
    #[arg(long, value_name = "N", default_value_t = Settings::default().clients)]
    clients: usize,
    /// Warm-up repeats, which are not counted
    #[arg(long, value_name = "N", default_value_t = Settings::default().warmup)]
    warmup: usize,
    /// Counted repeats; their median is shown
    #[arg(long, value_name = "N", default_value_t = Settings::default().repeats)]
    repeats: usize,
    #[command(flatten)]
    device: DeviceArgs,
    /// Compare these devices, for example flex,wgpu:0, or all that `flora devices` lists. Each runs in its own process,
    /// and its results are compared with those of flex in f32
    #[arg(long, value_name = "NAMES", conflicts_with = "device", value_delimiter = ',')]
    devices: Vec<String>,
    /// With --json: also print the computed values
    #[arg(long, hide = true)]
    outcomes: bool,
    /// Print JSON instead of a table
    #[arg(long)]
    json: bool,
}

impl Bench {
    pub(crate) fn run(self) -> Result<(), Failure> {
        let encodes = self.workloads().contains(&Workload::ImageEncode);
        if let Some(rounded) = self.precision.iter().find(|it| !it.is_f32() && !encodes) {
            return Err(Failure::Input(format!(
                "--precision {rounded}: only image-encode uses it; leave it out, or add image-encode"
            )));
        }
        if !self.devices.is_empty() {
            let comparison = Comparison::run(&self)?;
            return match self.json {
                true => output::json_lines(&comparison),
                false => {
                    output::line(comparison.shown());
                    Ok(())
                }
            }
            .and_then(|()| comparison.verdict());
        }
        if self.outcomes {
            program::end_with_parent();
        }
        let [precision] = self.precision[..] else {
            return Err(Failure::Input("--precision: several values need --devices".to_owned()));
        };
        let Place { name, device, .. } = self.device.open()?;
        let settings = self.settings(precision, &name);
        precision.check(&device).map_err(Failure::input)?;
        let model = match &self.shape {
            Some(shape) => BenchModel::random(shape, &device).map_err(refused)?,
            None => BenchModel::open(&self.model, &resolve(&self.model)?, &device)
                .map_err(|error| Failure::Input(format!("--model: {error}")))?,
        };
        let mut bar = ProgressBar::hidden();
        let mut progress = |WorkloadProgress { workload, done, total }: WorkloadProgress| {
            if done == 0 {
                bar.finish_and_clear();
                bar = bar::steps(workload.as_str(), total);
            }
            bar.set_position(done as u64);
        };
        if let Some(warning) = precision.warning(&device) {
            output::warning(&warning);
        }
        let report = run(model, &name, self.workloads(), &settings, &mut progress);
        bar.finish_and_clear();
        let report = report.map_err(refused)?;
        match self.json {
            true => output::json_lines(&report),
            false => {
                output::line(shown(&report));
                Ok(())
            }
        }
    }

    fn workloads(&self) -> &[Workload] {
        match self.workloads.as_slice() {
            [] => &Workload::ALL,
            some => some,
        }
    }

    fn settings(&self, precision: Precision, device: &str) -> Settings {
        // One thread keeps a GPU busy.
        let threads = if flora::device::is_cpu(device) { 0 } else { 1 };
        Settings {
            batch: self.batch,
            tokens: self.tokens.unwrap_or_default(),
            classes: self.classes,
            precision,
            clients: self.clients,
            threads: self.threads.unwrap_or(threads),
            each: self.each,
            warmup: self.warmup,
            repeats: self.repeats,
            outcomes: self.outcomes,
        }
    }
}

/// Invalid settings are input errors; anything that fails later is a failure of the run.
fn refused(error: BenchError) -> Failure {
    match error {
        BenchError::Setting { .. } => Failure::Input(format!("--{error}")),
        error => Failure::run(error),
    }
}

/// The report as text.
fn shown(report: &Report) -> String {
    let model = &report.model;
    let threads = match (report.threads, report.each) {
        (1, _) => "1 thread".to_owned(),
        (threads, false) => format!("{threads} threads"),
        (threads, true) => format!("{threads} threads with a batch each"),
    };
    let header = ["workload", "batch", "seconds", "items/s", "GFLOP/s", "% of peak"];
    let rows = report.results.iter().map(row).collect();
    let memory = report.results.iter().filter_map(|result| result.peak_memory_bytes).max();
    let memory = memory.map(|peak| format!("; memory {} at its peak", bytes(peak)));
    format!(
        "{}, {} parameters, images of {} pixels, at most {} tokens\n{}, {threads}, {}\n\n{}\n\n\
         matmul peak {} GFLOP/s, {size} x {size}{}",
        printable(&model.name),
        count(model.parameters),
        model.image_size,
        model.context,
        report.device,
        report.cpu,
        tables::figures(header, rows, output::page()),
        figure(report.peak.gflops),
        memory.unwrap_or_default(),
        size = report.peak.size,
    )
}

fn row(result: &Measurement) -> [String; 6] {
    [
        name(result),
        result.batch.to_string(),
        figure(result.seconds.median),
        format!("{} {}", figure(result.items_per_second), result.unit),
        figure(result.gflops),
        percent(result.share_of_peak),
    ]
}

/// The workload with its parameters.
fn name(result: &Measurement) -> String {
    let mut name = result.workload.to_string();
    if let Some(tokens) = result.tokens {
        name += &format!(", {tokens} tokens");
    }
    if let Some(classes) = result.classes {
        name += &format!(", {classes} classes");
    }
    if !result.precision.is_f32() {
        name += &format!(", {}", result.precision);
    }
    name
}

use crate::crew::Crew;
use crate::peak::{better, measure, measure_at};
use crate::samples::{Samples, median};
use crate::work::{Job, prepare};
use crate::{
    BenchError, BenchModel, Measurement, Peak, Report, Seconds, Settings, Workload, machine,
};

/// The progress of a workload.
#[derive(Debug, Clone, Copy)]
pub struct WorkloadProgress {
    /// The workload.
    pub workload: Workload,
    /// Repeats so far, including the warm-up.
    pub done: usize,
    /// The total number of repeats.
    pub total: usize,
}

/// Times these workloads with this model, one after the other, and the peak before and after them. `device` is the name
/// of the model's device in the report.
///
/// The model is consumed, so that its weights exist only once when full fine-tuning, timed last, changes them. A clone
/// shares them.
///
/// # Errors
///
/// Invalid settings, by name, and errors of the device or the system.
pub fn run(
    model: BenchModel,
    device: &str,
    workloads: &[Workload],
    settings: &Settings,
    progress: &mut dyn FnMut(WorkloadProgress),
) -> Result<Report, BenchError> {
    settings.check(&model.config.text_config)?;
    let crew = Crew::new(settings.threads, settings.each)?;
    let (facts, place) = (model.facts(), model.device.clone());
    let before = measure(&crew, &place)?;
    let mut timed = Vec::with_capacity(workloads.len());
    // The last one uses the model itself.
    let models = std::iter::repeat_n(model, workloads.len());
    for (model, &workload) in models.zip(workloads) {
        timed.push(time(workload, model, settings, &crew, progress)?);
    }
    // Again, as other programs may have disturbed the first measurement: a peak is the best that can be reached.
    let peak = better(before, measure_at(before.size, &crew, &place)?);
    Ok(Report {
        flora: env!("CARGO_PKG_VERSION").to_owned(),
        device: device.to_owned(),
        threads: crew.threads(),
        each: settings.each,
        cpu: machine::cpu(),
        model: facts,
        peak,
        results: timed.into_iter().map(|timed| timed.measurement(peak, &crew)).collect(),
    })
}

/// A workload with finished repeats.
struct Timed {
    workload: Workload,
    job: Job,
    samples: Samples,
    peak_memory_bytes: Option<u64>,
    outcome: Option<Vec<u32>>,
}

fn time(
    workload: Workload,
    model: BenchModel,
    settings: &Settings,
    crew: &Crew,
    progress: &mut dyn FnMut(WorkloadProgress),
) -> Result<Timed, BenchError> {
    let mut job = prepare(workload, model, settings, crew.batches())?;
    let outcome = match settings.outcomes {
        true => crew.outcome(&mut job.works)?.map(|it| it.into_iter().map(f32::to_bits).collect()),
        false => None,
    };
    let mut samples = Samples::default();
    let total = settings.warmup + settings.repeats;
    progress(WorkloadProgress { workload, done: 0, total });
    for done in 0..total {
        match done < settings.warmup {
            true => crew.run(&mut job.works)?,
            false => samples.add(|| crew.run(&mut job.works))?,
        }
        progress(WorkloadProgress { workload, done: done + 1, total });
    }
    let peak_memory_bytes = flora_core::memory::peak_memory_bytes();
    // The next workload needs the memory.
    job.works.clear();
    Ok(Timed { workload, job, samples, peak_memory_bytes, outcome })
}

impl Timed {
    fn measurement(self, peak: Peak, crew: &Crew) -> Measurement {
        let Self { workload, job, samples, peak_memory_bytes, outcome } = self;
        let seconds = Seconds {
            median: median(&samples.seconds).expect("at least one repeat"),
            min: samples.seconds.iter().copied().fold(f64::INFINITY, f64::min),
            samples: samples.seconds,
        };
        let gflop = 2e-9 * job.multiply_adds as f64 * crew.batches() as f64;
        let gflops = gflop / seconds.median;
        Measurement {
            workload,
            batch: job.batch,
            tokens: job.tokens,
            classes: job.classes,
            precision: job.precision,
            unit: workload.unit().to_owned(),
            cpu_seconds: median(&samples.cpu_seconds),
            items_per_second: (job.batch * crew.batches()) as f64 / seconds.median,
            gflop,
            gflops,
            share_of_peak: gflops / peak.gflops,
            peak_memory_bytes,
            outcome,
            difference: None,
            seconds,
        }
    }
}

//! Benchmarks of a machine, a device and a model: flora's workloads, timed, and compared with the machine's
//! peak rate of matrix multiplication.
//!
//! ```no_run
//! use burn::tensor::Device;
//! use flora_bench::{BenchModel, Settings, Workload, run};
//!
//! let model = BenchModel::random("vit-b-32", &Device::flex())?;
//! let settings = Settings { batch: 8, ..Settings::default() };
//! let report = run(model, "cpu", &[Workload::ImageEncode], &settings, &mut |_| {})?;
//! let images = &report.results[0];
//! println!("{:.1} images/s, {:.0} % of the peak", images.items_per_second, 100.0 * images.share_of_peak);
//! # Ok::<(), flora_bench::BenchError>(())
//! ```
//!
//! [`Workload`] lists the workloads, [`Settings`] their sizes and the number of threads, and [`count`] their
//! arithmetic. Inputs are drawn from a fixed seed: no data set is needed, and with [`BenchModel::random`] no file at
//! all.

mod clock;
pub mod count;
mod crew;
mod error;
mod machine;
mod model;
mod peak;
mod report;
mod run;
mod samples;
mod settings;
mod texts;
mod work;
mod workload;

pub use error::BenchError;
pub use model::BenchModel;
pub use report::{Measurement, ModelFacts, Peak, Report, Seconds};
pub use run::{WorkloadProgress, run};
pub use settings::{Settings, TextLength};
pub use workload::Workload;

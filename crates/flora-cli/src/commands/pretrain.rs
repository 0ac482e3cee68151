use std::path::PathBuf;

use flora::core::text;
use flora::pretrain::{PretrainConfig, PretrainError};

use crate::device::DeviceArgs;
use crate::failure::Failure;
use crate::output::{self, Overwrite};

/// Train a small CLIP from scratch on pairs of images and captions
#[derive(Debug, clap::Args)]
pub(crate) struct Pretrain {
    /// The training configuration, for example examples/pretrain-clip-nano.toml
    #[arg(value_name = "FILE.toml")]
    file: PathBuf,
    #[command(flatten)]
    device: DeviceArgs,
    /// Passes over the pairs, instead of the file's
    #[arg(long, value_name = "N")]
    epochs: Option<usize>,
    /// Resume after this epoch from the checkpoint of an earlier run
    #[arg(long, value_name = "EPOCH")]
    resume_from: Option<usize>,
    #[command(flatten)]
    overwrite: Overwrite,
}

impl Pretrain {
    pub(crate) fn run(self) -> Result<(), Failure> {
        let place = self.device.open()?;
        let mut config = PretrainConfig::from_file(&self.file).map_err(Failure::input)?;
        config.epochs = self.epochs.unwrap_or(config.epochs);
        config.resume_from = self.resume_from.or(config.resume_from);
        self.overwrite.check_folder("out", &config.out)?;
        if config.resume_from.is_none() {
            self.overwrite.check_folder("log", &config.log_folder()).map_err(|failure| {
                match failure {
                    Failure::Input(problem) => Failure::Input(format!(
                        "{problem}; --resume-from resumes the existing training"
                    )),
                    other => other,
                }
            })?;
        }
        if !flora::device::is_cpu(&place.name) {
            (config.shard_size, config.threads) = (0, 1);
        }
        let summary =
            flora::pretrain::pretrain(&config, &place.device).map_err(|error| match error {
                PretrainError::Stopped(_) => Failure::run(error),
                _ => Failure::input(error),
            })?;
        output::line(format!(
            "{} steps on {} pairs in {:.0} s ({:.0} pairs/s); model in {}",
            summary.steps,
            summary.train_pairs,
            summary.seconds,
            summary.pairs_per_second,
            text::path(&config.out)
        ));
        Ok(())
    }
}

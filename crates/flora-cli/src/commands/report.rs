use std::path::PathBuf;

use flora::core::text;
use flora::report::{PREDICTIONS, PREDICTIONS_BEFORE, page};

use super::evaluated_run::write_predictions;
use super::trained_run::RunArgs;
use super::watch::folders;
use crate::device::DeviceArgs;
use crate::failure::Failure;
use crate::output::{self, CSV, HTML, Overwrite};

/// Put a run, several runs, or a sweep on one HTML page: figures, tables, examples, and how to repeat it
///
/// The page is one file that loads nothing and opens in any browser. Several runs are overlaid.
#[derive(Debug, clap::Args)]
pub(crate) struct Report {
    /// Run folders or names below runs/, or the folder of one sweep
    #[arg(value_name = "DIR", required = true)]
    folders: Vec<PathBuf>,
    /// The page [default: report.html in the folder, or of several runs, in the current one]
    #[arg(long, value_name = "FILE.html")]
    out: Option<PathBuf>,
    /// First evaluate the run's test images with its model, and with the model before training, for confusion matrices
    /// and example images. Writes predictions.csv and predictions-before.csv into the run's folder
    #[arg(long)]
    predictions: bool,
    #[command(flatten)]
    overwrite: Overwrite,
    #[command(flatten)]
    device: DeviceArgs,
}

impl Report {
    pub(crate) fn run(self) -> Result<(), Failure> {
        let folders = folders(&self.folders);
        let out = self.out.unwrap_or_else(|| page::default_file(&folders));
        self.overwrite.check("--out", &out, HTML)?;
        if self.predictions {
            let [folder] = &folders[..] else {
                let problem =
                    "--predictions: pages of several runs show no predictions; name one run";
                return Err(Failure::Input(problem.to_owned()));
            };
            for name in [PREDICTIONS, PREDICTIONS_BEFORE] {
                self.overwrite.check("--predictions", &folder.join(name), CSV)?;
            }
            let run = RunArgs::of(folder.clone()).open(&self.device)?;
            write_predictions(&run.expect("its folder is given"))?;
        }
        page::write(&folders, &out).map_err(Failure::input)?;
        output::line(format!("written to {}", text::path(&out)));
        Ok(())
    }
}

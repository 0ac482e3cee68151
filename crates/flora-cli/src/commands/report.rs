use std::path::PathBuf;

use flora::core::text;
use flora::report::page;

use super::watch::folders;
use crate::failure::Failure;
use crate::output::{self, HTML, Overwrite};

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
    #[command(flatten)]
    overwrite: Overwrite,
}

impl Report {
    pub(crate) fn run(self) -> Result<(), Failure> {
        let folders = folders(&self.folders);
        let out = self.out.unwrap_or_else(|| page::default_file(&folders));
        self.overwrite.check("--out", &out, HTML)?;
        page::write(&folders, &out).map_err(Failure::input)?;
        output::line(format!("written to {}", text::path(&out)));
        Ok(())
    }
}

use std::path::PathBuf;

use flora::core::text;
use flora::data::Split;
use flora::report::plots;

use super::experiment_args::ExperimentArgs;
use crate::failure::Failure;
use crate::output::{self, CSV, Overwrite, PNG};

/// Show how an experiment deals its data out to clients
#[derive(Debug, clap::Args)]
pub(crate) struct Partition {
    #[command(flatten)]
    experiment: ExperimentArgs,
    /// Also write the partition to this JSON file
    #[arg(long, value_name = "FILE.json")]
    out: Option<PathBuf>,
    /// List the images of every client in this file, a line each: client,split,index,class,path
    #[arg(long, value_name = "FILE.csv")]
    files: Option<PathBuf>,
    /// Draw how many training images of each class every client has into this file
    #[arg(long, value_name = "FILE.png")]
    png: Option<PathBuf>,
    #[command(flatten)]
    overwrite: Overwrite,
}

impl Partition {
    pub(crate) fn run(self) -> Result<(), Failure> {
        let experiment = self.experiment.resolve()?;
        self.overwrite.check_all([
            ("--out", &self.out, &["json"]),
            ("--files", &self.files, CSV),
            ("--png", &self.png, PNG),
        ])?;
        let (dataset, partition) = flora::tuning::partition(&experiment).map_err(Failure::input)?;
        let validates = partition.scored_on() == Split::Validation;
        let mut rows = Vec::new();
        let counts = partition.class_counts(&dataset);
        for (client, counts) in partition.clients.iter().zip(&counts) {
            let held = counts.iter().filter(|&&count| count > 0).count();
            let most = (0..counts.len()).max_by_key(|&class| (counts[class], usize::MAX - class));
            let share = |class: usize| 100.0 * counts[class] as f64 / client.train.len() as f64;
            let tested = match validates {
                true => format!("{} + {}", client.validation.len(), client.test.len()),
                false => client.test.len().to_string(),
            };
            rows.push([
                client.id.clone(),
                client.train.len().to_string(),
                tested,
                format!("{held} of {}", counts.len()),
                most.filter(|_| !client.train.is_empty()).map_or_else(String::new, |class| {
                    format!("{} ({:.0} %)", dataset.classes()[class], share(class))
                }),
            ]);
        }
        let tested = if validates { "validation + test" } else { "test" };
        output::table(["client", "train", tested, "classes", "most frequent"], rows);
        if let Some(remark) = experiment.partition.remark(&partition, &dataset) {
            output::line(format!("note: {}", text::printable(&remark)));
        }
        if validates && let Some(held) = dataset.count_groups(&[Split::Validation]) {
            output::line(format!(
                "note: the validation images are {held} whole groups, and no image of these is trained on"
            ));
        }
        if let Some(path) = self.out {
            partition.described(&dataset).save(&path).map_err(Failure::input)?;
            output::line(format!("written to {}", text::path(&path)));
        }
        if let Some(path) = self.files {
            partition.save_files(&path, &dataset).map_err(Failure::input)?;
            output::line(format!("images listed in {}", text::path(&path)));
        }
        if let Some(path) = self.png {
            let title = format!("{} · {}", experiment.name, dataset.title());
            let clients: Vec<String> = partition.clients.iter().map(|it| it.id.clone()).collect();
            let figure = plots::partition(&clients, dataset.classes(), &counts, &title)
                .map_err(Failure::input)?;
            output::figure(&path, &figure).map_err(Failure::run)?;
            output::line(format!("drawn into {}", text::path(&path)));
        }
        Ok(())
    }
}

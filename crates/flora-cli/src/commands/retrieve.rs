use flora::data::FeatureCache;
use flora::inference::{Chosen, Notice, retrieve};
use flora::report::retrieval::{Recall, RetrievalReport, table};

use super::dataset_args::DatasetArgs;
use super::model_args::{Loaded, ModelArgs};
use crate::failure::Failure;
use crate::{bar, output};

/// Retrieve each image's text among all texts of a data set, and each text's image: recall at 1, 5 and 10
#[derive(Debug, clap::Args)]
pub(crate) struct Retrieve {
    #[command(flatten)]
    data: DatasetArgs,
    /// Print JSON instead of a table
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    model: ModelArgs,
}

impl Retrieve {
    pub(crate) fn run(self) -> Result<(), Failure> {
        let loaded = self.model.load()?;
        let Chosen { dataset, notes, .. } = self.data.open(&loaded)?;
        for note in notes {
            output::warning(&note);
        }
        let texts = dataset.texts().map_err(|error| Failure::Input(format!("--data: {error}")))?;
        let Loaded { model, workers, .. } = loaded;
        let cache = flora::tuning::assets::default_cache().map(FeatureCache::new);
        let bar = bar::steps("images", dataset.len());
        let mut notify = |notice| match notice {
            Notice::Progress { done, .. } => bar.set_position(done as u64),
            Notice::Warning(message) => bar.suspend(|| output::warning(&message)),
            Notice::Note(_) => {}
        };
        let ranks = retrieve(&model, &dataset, &texts, cache.as_ref(), &workers, &mut notify);
        bar.finish_and_clear();
        let reports: Vec<_> = ranks
            .map_err(Failure::input)?
            .into_iter()
            .map(|ranks| RetrievalReport {
                image_to_text: Recall::of(&ranks.of_text, ranks.texts),
                text_to_image: Recall::of(&ranks.of_image, ranks.images),
                name: ranks.name,
            })
            .collect();
        if self.json {
            output::json_lines(&reports)?;
        } else {
            output::line(table(&reports, output::page()));
        }
        Ok(())
    }
}

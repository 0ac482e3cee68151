//! A site of a federation: its own images and its own copy of the model, and a server's plan for them.
//!
//! On the CPU, a [`SiteClient`] is bit-identical to the simulation's client that has the same name and images: the
//! order of the examples, the dropout masks and the optimizer depend on the plan and on the name alone, and image
//! features do not depend on other images. This requires the data set's own split into training and test images. Any
//! other protocol, and validation images, are drawn from the available images, and a site has only its own.

mod agree;
mod client;
mod plan;

use std::path::PathBuf;
use std::sync::OnceLock;

use burn::tensor::Device;
use flora_clip::Checkpoint;
use flora_core::workers::Workers;
use flora_data::{ClientShard, Dataset, Split};
use flora_federation::ClientInfo;

pub use self::agree::{Agreed, agree, read_profile};
pub use self::client::SiteClient;
pub use self::plan::{Base, Plan, SiteProfile, plan};
pub(crate) use self::plan::{MOST_ATTEMPTS, MOST_SAVE_EVERY, check};

use crate::client::client_info;
use crate::prepare::{Masking, site_cohort};
use crate::travel::Noise;
use crate::{Experiment, Observer, TuningError};

/// Settings of a site: its images, its model and its device.
#[derive(Debug, Clone)]
pub struct SiteConfig {
    /// A data set's TOML description, or a folder of images.
    pub data: PathBuf,
    /// Folder of the images, instead of the one in the description.
    pub root: Option<PathBuf>,
    /// The domain of the data set that belongs to the site; by default, all images do.
    pub domain: Option<String>,
    /// A checkpoint, as [`ModelConfig::path`](crate::ModelConfig::path) names it.
    pub model: String,
    /// Folder of the cached image features, instead of the user's cache folder.
    pub cache: Option<PathBuf>,
    /// The device to compute on.
    pub device: Device,
    /// Threads for encoding images: 0 for one per processor. Affects the time, never the result.
    pub threads: usize,
}

/// A site with its data set and model.
#[derive(Debug)]
pub struct Site {
    config: SiteConfig,
    dataset: Dataset,
    checkpoint: Checkpoint,
    /// Computed on first use, because it reads all weights.
    base: OnceLock<Base>,
}

/// A validated plan, with the site's images as it requires them.
struct Planned {
    experiment: Experiment,
    dataset: Dataset,
    shard: ClientShard,
    scored_on: Split,
}

impl Site {
    /// Opens the data set and the model. Image files are listed, but not read.
    ///
    /// # Errors
    ///
    /// A data set, a domain or a model that does not exist or is damaged.
    pub fn open(config: SiteConfig) -> Result<Self, TuningError> {
        let found = |path: &PathBuf| {
            flora_hub::find(path).map_err(|error| TuningError::Sites(format!("data: {error}")))
        };
        let root = config.root.as_ref().map(found).transpose()?;
        let dataset = Dataset::open(&found(&config.data)?, root.as_deref())?;
        let dataset = match &config.domain {
            Some(domain) => dataset.with_domain(domain)?,
            None => dataset,
        };
        let model = flora_hub::resolve(&config.model, &mut |_| {})
            .map_err(|error| TuningError::Sites(format!("model: {error}")))?;
        let checkpoint = Checkpoint::open(&model)?;
        Ok(Self { config, dataset, checkpoint, base: OnceLock::new() })
    }

    /// The images.
    pub fn dataset(&self) -> &Dataset {
        &self.dataset
    }

    /// The site's profile. The weights are read once, on first use.
    ///
    /// # Errors
    ///
    /// Weights that cannot be read.
    pub fn profile(&self) -> Result<SiteProfile, TuningError> {
        Ok(SiteProfile {
            classes: self.dataset.classes().to_vec(),
            template: self.dataset.template().as_str().to_owned(),
            images: self.dataset.len(),
            base: self.base()?.clone(),
            flora: env!("CARGO_PKG_VERSION").to_owned(),
        })
    }

    fn base(&self) -> Result<&Base, TuningError> {
        if let Some(base) = self.base.get() {
            return Ok(base);
        }
        let base = Base::of_checkpoint(&self.checkpoint)?;
        Ok(self.base.get_or_init(|| base))
    }

    /// The site's client id and numbers of examples under a plan, before any long work.
    ///
    /// # Errors
    ///
    /// An invalid plan, one that a site cannot follow, or one with another model or other classes than the site's.
    pub fn info(&self, plan: &Plan) -> Result<ClientInfo, TuningError> {
        let Planned { shard, scored_on, .. } = self.planned(plan)?;
        Ok(client_info(&shard, scored_on))
    }

    /// Creates the client for the plan. Image features are computed, or read from the cache, with progress reported to
    /// `observer`. Nothing else of the images is kept.
    ///
    /// # Errors
    ///
    /// The errors of [`info`](Self::info), images that cannot be used, and settings that do not fit the model.
    pub fn client(
        &self,
        plan: &Plan,
        observer: &mut dyn Observer,
    ) -> Result<SiteClient, TuningError> {
        self.client_with(plan, &Noise::Fresh, Masking::default(), observer)
    }

    /// The same, with the source of its noise, if it protects its data, and with its masks.
    pub(crate) fn client_with(
        &self,
        plan: &Plan,
        noise: &Noise,
        masking: Masking,
        observer: &mut dyn Observer,
    ) -> Result<SiteClient, TuningError> {
        let Planned { experiment, dataset, shard, scored_on } = self.planned(plan)?;
        let workers = Workers::new(self.config.threads)?;
        let cohort = site_cohort(&experiment, dataset, &workers, &self.config.device, observer)?;
        // The name alone differs between the sites of a run.
        let common = Plan { client: String::new(), ..plan.clone() };
        let masking = Masking { plan: serde_json::to_vec(&common).expect("plain data"), ..masking };
        SiteClient::new(&experiment, shard, scored_on, &cohort, noise, masking)
    }

    /// The validated plan, if this site can follow it.
    fn planned(&self, plan: &Plan) -> Result<Planned, TuningError> {
        let refuse = |problem: String| Err(TuningError::Plan(problem));
        let mut experiment = Experiment::from_toml("experiment", &plan.experiment, &[])
            .map_err(|error| TuningError::Plan(error.to_string()))?;
        check(&experiment).map_err(TuningError::Plan)?;
        if experiment.method.init_adapter.is_some() {
            return refuse(
                "method.init_adapter: the adapter is on the server; it is sent as values".into(),
            );
        }
        if plan.client.is_empty() {
            return refuse("client: the site has no name".into());
        }
        let base = self.base()?;
        if base.weights != plan.base.weights {
            return refuse(format!(
                "the run starts from the weights {}, and those of this site's model are {}; give the site the same \
                 model",
                plan.base.weights, base.weights
            ));
        }
        if base.settings != plan.base.settings {
            return refuse(
                "this site's model has the weights of the run's, but another configuration, preprocessing or \
                 tokenizer; copy the whole folder"
                    .to_owned(),
            );
        }
        let path = self.checkpoint.path().to_str();
        experiment.model.path = path.unwrap_or(&self.config.model).to_owned();
        experiment.data.path = self.config.data.clone();
        experiment.data.root = self.config.root.clone();
        experiment.data.cache = self.config.cache.clone();
        experiment.data.template = Some(plan.template.clone());
        experiment.federation.threads = self.config.threads;
        let data = &experiment.data;
        let dataset = self.dataset.clone().with_classes(&plan.classes)?;
        let dataset =
            dataset.with_protocol(data.protocol).with_validation(data.validation, data.seed);
        let scored_on = match data.validation.is_zero() {
            true => Split::Test,
            false => Split::Validation,
        };
        let shard = ClientShard {
            id: plan.client.clone(),
            train: dataset.indices(Split::Train),
            validation: dataset.indices(Split::Validation),
            test: dataset.indices(Split::Test),
        };
        Ok(Planned { experiment, dataset, shard, scored_on })
    }
}

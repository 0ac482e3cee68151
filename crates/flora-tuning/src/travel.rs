//! What happens to messages on their way, and who draws the noise.

use std::sync::Arc;

use flora_compression::{Codec, Coded, Compressed};
use flora_core::Dtype;
use flora_core::seed;
use flora_federation::{Download, Rounded, Transform};
use flora_privacy::{ClearMetrics, Noised, PrivacyConfig, Quiet, Secret};
use rand::Rng;

use crate::hidden::Hidden;
use crate::{Experiment, TuningError};

/// Where noise comes from.
#[derive(Debug, Clone)]
pub(crate) enum Noise {
    /// From the experiment's seed, so that a simulation can be repeated. Whoever knows the seed can take it away again.
    Seeded,
    /// From the operating system, where a server or a client is somebody's machine.
    Fresh,
    /// From what such a client keeps.
    Kept(Secret),
}

impl Noise {
    /// What the noise of `label` is drawn from.
    pub(crate) fn secret(
        &self,
        experiment: &Experiment,
        label: &str,
    ) -> Result<Secret, TuningError> {
        match self {
            Self::Kept(secret) => Ok(secret.clone()),
            Self::Seeded => {
                let mut bytes = [0; 32];
                seed::stream(experiment.seed, &format!("privacy {label}")).fill_bytes(&mut bytes);
                Ok(Secret::new(bytes))
            }
            Self::Fresh => Secret::fresh().map_err(|problem| {
                crate::prepare::refused(experiment, format!("federation.privacy: {problem}"))
            }),
        }
    }
}

impl Experiment {
    /// What happens to answers on their way, as the server undoes it.
    pub(crate) fn fleet_layers(&self) -> Vec<Box<dyn Transform>> {
        let quiet = self.is_quiet().then(|| Box::new(Quiet) as Box<dyn Transform>);
        quiet.into_iter().chain(self.compression()).collect()
    }

    /// The same, as the client called `id` does it: first it hides, then it keeps quiet, then it compresses.
    pub(crate) fn client_layers(
        &self,
        id: &str,
        noise: &Noise,
    ) -> Result<Vec<Box<dyn Transform>>, TuningError> {
        let mut layers = Vec::new();
        if let Some(PrivacyConfig::Local(local)) = &self.federation.privacy {
            let budget = local.budget(self.rounds()).map_err(|error| self.private(error))?;
            let reach = local.clip * (1.0 + 7.0 * 2.0 * budget.mechanism.noise);
            if let Some(secure) =
                self.federation.secure.as_ref().filter(|it| f64::from(it.range) < reach)
            {
                return Err(crate::prepare::refused(
                    self,
                    format!(
                        "federation.secure.range: noised numbers reach {reach:.3}, and the lanes {}; choose range = {:.1}",
                        secure.range,
                        reach.ceil()
                    ),
                ));
            }
            let secret = noise.secret(self, &format!("of client {id}"))?;
            layers.push(Box::new(Noised::new(budget, local.clip, secret)) as Box<dyn Transform>);
        }
        layers.extend(self.fleet_layers());
        Ok(layers)
    }

    /// How a client hides its images, with the noise of `id`.
    pub(crate) fn hidden(&self, noise: &Noise, id: &str) -> Result<Option<Hidden>, TuningError> {
        let Some(PrivacyConfig::Sample(config)) = &self.federation.privacy else { return Ok(None) };
        let secret = noise.secret(self, &format!("of client {id}"))?;
        let epochs = self.rounds() * self.training.local_epochs;
        Ok(Some(Hidden::new(config.clone(), secret, epochs, self.training.batch_size)))
    }

    /// What happens to tasks on their way.
    pub(crate) fn download(&self) -> Option<Arc<dyn Download>> {
        match self.federation.download {
            Codec::F32 => None,
            codec => Some(Arc::new(Coded::new(codec, self.seed))),
        }
    }

    /// Whether what clients measure stays with them.
    pub(crate) fn is_quiet(&self) -> bool {
        let privacy = self.federation.privacy.as_ref();
        privacy.is_some_and(|privacy| privacy.metrics() == ClearMetrics::Off)
    }

    fn compression(&self) -> Option<Box<dyn Transform>> {
        match self.federation.upload {
            Codec::F32 => None,
            // Parameters, and not updates: sums are rounded as well.
            Codec::F16 => Some(Box::new(Rounded(Dtype::F16))),
            Codec::Bf16 => Some(Box::new(Rounded(Dtype::Bf16))),
            codec => {
                let compressed = Compressed::new(codec, self.seed);
                Some(Box::new(match self.federation.has_feedback() {
                    true => compressed.with_feedback(),
                    false => compressed,
                }))
            }
        }
    }

    /// Settings of privacy that no accountant takes.
    pub(crate) fn private(&self, error: flora_privacy::PrivacyError) -> TuningError {
        crate::prepare::refused(self, format!("federation.privacy.{error}"))
    }
}

//! Encodings of messages, and the source of privacy noise.

use std::sync::Arc;

use flora_compression::{Codec, Coded, Compressed};
use flora_core::seed;
use flora_core::{Dtype, ParameterRecord};
use flora_federation::{Download, Rounded, Transform};
use flora_privacy::{ClearMetrics, Noised, PrivacyConfig, Quiet, Secret};
use flora_secagg::Config;
use rand::Rng;

use crate::hidden::Hidden;
use crate::{Experiment, TuningError};

/// The source of noise.
#[derive(Debug, Clone)]
pub(crate) enum Noise {
    /// The experiment's seed, so that a simulation can be repeated. Anyone who knows the seed can remove the noise.
    Seeded,
    /// The operating system, for servers and clients on their own machines.
    Fresh,
    /// A secret that such a client stores.
    Secret(Secret),
}

impl Noise {
    /// The secret for the noise of `label`.
    pub(crate) fn secret(
        &self,
        experiment: &Experiment,
        label: &str,
    ) -> Result<Secret, TuningError> {
        match self {
            Self::Secret(secret) => Ok(secret.clone()),
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
    /// The encodings of replies, as the server decodes them.
    pub(crate) fn fleet_layers(&self) -> Vec<Box<dyn Transform>> {
        let quiet = self.is_quiet().then(|| Box::new(Quiet) as Box<dyn Transform>);
        quiet.into_iter().chain(self.compression()).collect()
    }

    /// The encodings of the client called `id`: privacy first, then removal of measurements, then compression.
    pub(crate) fn client_layers(
        &self,
        id: &str,
        noise: &Noise,
        initial: &ParameterRecord,
    ) -> Result<Vec<Box<dyn Transform>>, TuningError> {
        let mut layers = Vec::new();
        if let Some(PrivacyConfig::Local(local)) = &self.federation.privacy {
            let budget = local.budget(self.rounds()).map_err(|error| self.private(error))?;
            if let Some(secure) = &self.federation.secure {
                let deviation = 2.0 * budget.mechanism.noise * local.clip;
                self.check_room(secure, local.clip, deviation, initial)?;
            }
            let secret = noise.secret(self, &format!("of client {id}"))?;
            layers.push(Box::new(Noised::new(budget, local.clip, secret)) as Box<dyn Transform>);
        }
        layers.extend(self.fleet_layers());
        Ok(layers)
    }

    /// Whether the lanes have room for an update of the norm `clip` with noise of a standard deviation.
    fn check_room(
        &self,
        secure: &Config,
        clip: f64,
        deviation: f64,
        initial: &ParameterRecord,
    ) -> Result<(), TuningError> {
        // A normal number beyond seven deviations occurs once in 4e11; a norm deviates by 0.7 of one at any length.
        let (field, room, reach) = match secure.norm {
            None => ("range", secure.range, clip + 7.0 * deviation),
            Some(norm) => {
                let numbers = self.federation.strategy.answered(initial).num_parameters();
                ("norm", norm, clip + deviation * ((numbers as f64).sqrt() + 7.0))
            }
        };
        if f64::from(room) >= reach {
            return Ok(());
        }
        let problem = format!(
            "federation.secure.{field}: noised updates reach {reach:.3}, and the lanes {room}; choose {field} = {:.1}",
            reach.ceil()
        );
        Err(crate::prepare::refused(self, problem))
    }

    /// The protection of a client's images, with the noise of `id`.
    pub(crate) fn hidden(&self, noise: &Noise, id: &str) -> Result<Option<Hidden>, TuningError> {
        let Some(PrivacyConfig::Sample(config)) = &self.federation.privacy else { return Ok(None) };
        let secret = noise.secret(self, &format!("of client {id}"))?;
        let epochs = self.rounds() * self.training.local_epochs;
        Ok(Some(Hidden::new(config.clone(), secret, epochs, self.training.batch_size)))
    }

    /// The encoding of tasks with the parameters of a run that begins with `initial`.
    pub(crate) fn download(&self, initial: &ParameterRecord) -> Option<Arc<dyn Download>> {
        match self.federation.download {
            Codec::F32 => None,
            codec => Some(Arc::new(Coded::new(codec, self.seed).with_shapes_of(initial))),
        }
    }

    /// Whether clients keep their measurements.
    pub(crate) fn is_quiet(&self) -> bool {
        let privacy = self.federation.privacy.as_ref();
        privacy.is_some_and(|privacy| privacy.metrics() == ClearMetrics::Off)
    }

    fn compression(&self) -> Option<Box<dyn Transform>> {
        match self.federation.upload {
            Codec::F32 => None,
            // For parameters, not updates: sums are rounded as well.
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

    /// Settings of privacy that the accountant rejects.
    pub(crate) fn private(&self, error: flora_privacy::PrivacyError) -> TuningError {
        crate::prepare::refused(self, format!("federation.privacy.{error}"))
    }
}

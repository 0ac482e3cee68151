//! Messages of Flower's own servers: `FedAvg`, `FedProx`, `FedAdam` and the others of `flwr.serverapp.strategy`, and
//! the wrappers for central differential privacy.

use std::sync::Arc;

use flora_compression::Codec;
use flora_core::{Dtype, HostTensor, ParameterRecord};
use flora_federation::protocol::SERVER_ROUND;
use flora_federation::{Config, Kind, Message, Metrics, NUM_EXAMPLES, Value};
use flora_privacy::PrivacyConfig;
use flora_strategies::StrategyConfig;

use super::{number_if_any, text_if_any};
use crate::{Experiment, MethodName, Plan, Site, plan};

/// Settings of a server's message that a site understands.
pub(super) struct Stock {
    /// The round, from 0.
    pub(super) round: usize,
    experiment: Option<String>,
    classes: Option<Vec<String>>,
    template: Option<String>,
    /// The maximum norm of an update, to which the site clips.
    clipping_norm: Option<f64>,
}

const CLIPPING_NORM: &str = "clipping_norm";
const NORM_BIT: &str = "norm_bit";

impl Stock {
    pub(super) fn read(config: &Config) -> Result<Self, String> {
        let text = |key: &str| Ok::<_, String>(text_if_any(config, key)?.map(str::to_owned));
        let classes = text("classes")?.map(|json| {
            serde_json::from_str(&json)
                .map_err(|_| "the server's setting `classes` is not a list of names".to_owned())
        });
        // Flower counts from 1, and 0 is before the first round.
        let round = number_if_any(config, SERVER_ROUND)?.map_or(0, |round| round.saturating_sub(1));
        let clipping_norm = config.get(CLIPPING_NORM).map(|value| match value {
            Value::Float(norm) if *norm > 0.0 && norm.is_finite() => Ok(*norm),
            Value::Int(norm) if *norm > 0 => Ok(*norm as f64),
            _ => Err(format!("the server's setting `{CLIPPING_NORM}` is not a positive number")),
        });
        Ok(Self {
            round,
            experiment: text("experiment")?,
            classes: classes.transpose()?,
            template: text("template")?,
            clipping_norm: clipping_norm.transpose()?,
        })
    }

    /// The experiment in the server's message, if any.
    pub(super) fn experiment(&self) -> Result<Option<Experiment>, String> {
        let Some(text) = &self.experiment else { return Ok(None) };
        Experiment::from_toml("the server's setting `experiment`", text, &[])
            .map(Some)
            .map_err(|error| error.to_string())
    }

    /// The site's plan. Classes and prompt that the server does not name are the site's own.
    pub(super) fn plan(
        &self,
        experiment: &Experiment,
        site: &Site,
        name: &str,
    ) -> Result<Plan, String> {
        let refuse = |problem: &str| Err(format!("{}: {problem}", experiment.name));
        if experiment.federation.strategy != StrategyConfig::default() {
            return refuse(
                "federation.strategy: the server's own strategy aggregates; leave it out",
            );
        }
        if !experiment.federation.share().is_all() {
            return refuse(
                "federation.participants: \"alone\" leaves nothing to send to the server; choose \"all\"",
            );
        }
        let federation = &experiment.federation;
        let is_half = matches!(federation.upload, Codec::F32 | Codec::F16 | Codec::Bf16);
        if !is_half || !federation.download.is_lossless() {
            return refuse(
                "federation.upload and federation.download: Flower's strategies read arrays of numbers; choose \"f32\" or \
                 \"f16\", and \"f32\"",
            );
        }
        if federation.secure.is_some() {
            return refuse(
                "federation.secure: flora's masks need flora's server; leave it out, or use Flower's SecAggPlusWorkflow",
            );
        }
        if let Some(PrivacyConfig::Central(_)) = federation.privacy {
            return refuse(
                "federation.privacy: central privacy is the server's; use Flower's wrapper in the ServerApp, or choose kind = \
                 \"local\" or \"sample\"",
            );
        }
        if experiment.method.init_adapter.is_some() {
            return refuse(
                "method.init_adapter: a site does not read files that an experiment names; leave it out, and let the \
                 ServerApp begin with the adapter's arrays",
            );
        }
        if experiment.method.closed_form.start.is_some() {
            return refuse(
                "method.closed_form.start: a site does not read files that an experiment names; leave it out, and let \
                 the ServerApp add the sums up",
            );
        }
        let method = &experiment.method;
        if method.name == MethodName::Lda && method.closed_form.lambda.is_none() {
            return refuse(
                "method.closed_form.lambda: the default of lda depends on the number of all images, which means do \
                 not contain; set \
                 it to the square of ten times the classes over the images",
            );
        }
        if method.name == MethodName::Gda {
            return refuse(
                "method.name: the shrinkage of gda depends on the number of all images, which means do not contain; \
                 choose \
                 ridge, ncm, or lda with method.closed_form.lambda",
            );
        }
        let own = site.profile().map_err(|error| error.to_string())?;
        let classes = self.classes.clone().unwrap_or(own.classes);
        let template = self.template.clone();
        let template =
            template.or_else(|| experiment.data.template.clone()).unwrap_or(own.template);
        plan(experiment, classes, template, own.base, name.to_owned())
            .map_err(|error| error.to_string())
    }

    /// A reply in the server's format: arrays in the order in which they were sent, and finite metrics with the same
    /// names at every site.
    pub(super) fn answer(
        &self,
        kind: &Kind,
        sent: &ParameterRecord,
        answer: Message,
    ) -> Result<Message, String> {
        let examples = answer.num_examples().unwrap_or(0);
        if examples == 0 {
            // The server would divide by it, or average untrained parameters.
            return Err("this site has no image for that".to_owned());
        }
        let number = |name: &str| match answer.metrics.get(name) {
            Some(value) if value.is_finite() => Ok(*value),
            _ => Err(format!("its {name} is not a number")),
        };
        let mut metrics = Metrics::from([(NUM_EXAMPLES.to_owned(), examples as f64)]);
        // A site that hides its images reports nothing else about them, at all sites alike.
        let tells = *kind == Kind::Evaluate || answer.metrics.contains_key("loss");
        if tells {
            metrics.insert("loss".to_owned(), number("loss")?);
        }
        if *kind == Kind::Evaluate {
            metrics.insert("accuracy".to_owned(), number("accuracy")?);
            return Ok(Message { metrics, ..Message::default() });
        }
        // `QFedAvg` expects this metric.
        if tells {
            metrics.insert("train_loss".to_owned(), number("loss")?);
        }
        let trained = answer.expect_parameters("site").map_err(|error| error.message)?;
        let (trained, clipped) = self.clip(sent, &trained.cast(Dtype::F32))?;
        if let Some(clipped) = clipped {
            metrics.insert(NORM_BIT.to_owned(), f64::from(u8::from(clipped)));
        }
        Ok(Message { metrics, ..Message::parameters(Arc::new(trained)) })
    }

    /// The parameters in the sent order; if the server requests it, with a clipped update, and whether it was clipped:
    /// Flower's flat clipping, `w + min(1, C / |u|) u` with `u = w' - w` and one norm over all arrays.
    fn clip(
        &self,
        sent: &ParameterRecord,
        trained: &ParameterRecord,
    ) -> Result<(ParameterRecord, Option<bool>), String> {
        let wrong = |error: flora_core::RecordError| error.to_string();
        let mut factor = None;
        if let Some(bound) = self.clipping_norm {
            let norm = sent.distance(trained);
            factor = Some(if norm > bound { bound / norm } else { 1.0 });
        }
        let mut ordered = ParameterRecord::new();
        for (name, before) in sent.iter() {
            let after = trained.get(name).ok_or_else(|| format!("{name} was not trained"))?;
            let values = match factor {
                None => after.to_f32().into_owned(),
                Some(factor) => {
                    let pairs = before.to_f32();
                    let moved = |(w, trained): (&f32, &f32)| {
                        (f64::from(*w) + factor * (f64::from(*trained) - f64::from(*w))) as f32
                    };
                    pairs.iter().zip(after.to_f32().iter()).map(moved).collect()
                }
            };
            let tensor = HostTensor::from_f32(after.shape(), values).map_err(wrong)?;
            ordered.insert(name, tensor).map_err(wrong)?;
        }
        Ok((ordered, factor.map(|factor| factor < 1.0)))
    }
}

/// Arrays that a server sent by number, with the names of `initial`, in whose order they are; `None` if they have
/// names.
pub(super) fn named(
    sent: &ParameterRecord,
    initial: &ParameterRecord,
) -> Result<Option<ParameterRecord>, String> {
    let by_number = sent.iter().enumerate().all(|(at, (name, _))| name == at.to_string());
    if !by_number || sent.len() != initial.len() {
        return Ok(None);
    }
    let mut named = ParameterRecord::new();
    for ((_, tensor), (name, _)) in sent.iter().zip(initial.iter()) {
        named.insert(name, tensor.clone()).map_err(|error| error.to_string())?;
    }
    Ok(Some(named))
}

/// The server's arrays in the method's order and element types. A server may send them in any order, and some send
/// double precision from the second round on.
pub(super) fn as_initial(
    sent: &ParameterRecord,
    initial: &ParameterRecord,
) -> Result<ParameterRecord, String> {
    let mut ordered = ParameterRecord::new();
    for (name, own) in initial.iter() {
        let tensor = sent.get(name).ok_or_else(|| {
            format!("the server's arrays have no {name}; is its experiment the one that they were made for?")
        })?;
        if tensor.shape() != own.shape() {
            return Err(format!(
                "the server's array {name} has the shape {:?} instead of {:?}",
                tensor.shape(),
                own.shape()
            ));
        }
        ordered.insert(name, tensor.cast(own.dtype())).map_err(|error| error.to_string())?;
    }
    match sent.iter().find(|(name, _)| initial.get(name).is_none()) {
        Some((name, _)) => Err(format!("the server's array {name} is not trained")),
        None => {
            ordered.check_finite().map_err(|error| format!("the server's arrays: {error}"))?;
            Ok(ordered)
        }
    }
}

#[cfg(test)]
mod tests;

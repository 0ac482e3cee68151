//! Limits on a site's participation.

use std::path::Path;

use flora_core::{HostTensor, files};
use flora_federation::{Kind, Message, PARAMETERS};
use flora_privacy::{ClearMetrics, PrivacyConfig};
use serde::Deserialize;

use crate::{Experiment, MethodName, Plan, TuningError};

/// The default of [`Policy::max_views`].
const MAX_VIEWS: usize = 10;
/// The default of [`Policy::max_delta`].
const MAX_DELTA: f64 = 1e-5;

/// Limits on a site's participation, from a TOML file. A plan that exceeds them is refused before training; a reply
/// that exceeds them is refused before it leaves.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Policy {
    /// SHA-256 of the only permitted base weights, as printed by `flora doctor --model`.
    pub base_digest: Option<String>,
    /// The permitted methods; all if the list is empty.
    pub methods: Vec<MethodName>,
    /// The minimum number of this site's training images: an update from few images reveals much about each.
    pub min_examples: usize,
    /// The maximum number of rounds of a run.
    pub max_rounds: Option<usize>,
    /// The maximum number of local epochs per round.
    pub max_local_epochs: Option<usize>,
    /// The maximum number of views of each training image (`data.views`), each of which takes as much time and space as
    /// all training images; 10 by default.
    pub max_views: Option<usize>,
    /// The maximum L2 norm of an update that may leave. With a bound, parameters leave as updates only: the site does
    /// not answer queries for its client's last trained parameters (`output.keep_clients`).
    pub max_update_norm: Option<f64>,
    /// The maximum epsilon of a run. If set, a plan must make this site hide its images from everyone else
    /// (`federation.privacy`, `kind = "local"` or `"sample"`, with an `epsilon`) and keep its losses.
    pub max_epsilon: Option<f64>,
    /// The maximum delta for [`max_epsilon`](Self::max_epsilon); 1e-5 by default.
    pub max_delta: Option<f64>,
    /// Whether masked updates (`federation.secure`) may leave if half of a client's share holders or fewer open a
    /// secret. A server that lies could then read this site's update. False by default.
    pub allow_minority: bool,
}

impl Policy {
    /// Reads a policy file.
    ///
    /// # Errors
    ///
    /// A file that cannot be read or is not TOML, unknown keys and invalid values, by field.
    pub fn load(path: &Path) -> Result<Self, TuningError> {
        let wrong = |problem: String| TuningError::Experiment {
            origin: path.display().to_string(),
            problem,
        };
        let text =
            files::read_text(path).map_err(|error| wrong(format!("cannot be read: {error}")))?;
        let policy: Self = toml::from_str(&text).map_err(|error| wrong(error.to_string()))?;
        policy.check_values().map_err(wrong)?;
        Ok(policy)
    }

    fn check_values(&self) -> Result<(), String> {
        if let Some(digest) = &self.base_digest {
            let is_hex = |byte: u8| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte);
            if digest.len() != 64 || !digest.bytes().all(is_hex) {
                return Err("base_digest: it is not 64 digits of 0-9 and a-f".to_owned());
            }
        }
        if self.max_rounds == Some(0) {
            return Err("max_rounds: 0 allows nothing; leave it out, or raise it".to_owned());
        }
        if let Some(epsilon) = self.max_epsilon.filter(|it| !(*it > 0.0 && it.is_finite())) {
            return Err(format!("max_epsilon: {epsilon} is not a positive number"));
        }
        match self.max_update_norm {
            Some(norm) if !(norm > 0.0 && norm.is_finite()) => {
                Err(format!("max_update_norm: {norm} is not a positive number"))
            }
            _ => Ok(()),
        }
    }

    /// Checks a plan; returns its number of rounds, and after how many the server saves a state.
    pub(super) fn check(&self, plan: &Plan) -> Result<(usize, usize), String> {
        let experiment = Experiment::from_toml("the server's experiment", &plan.experiment, &[])
            .map_err(|error| error.to_string())?;
        if let Some(digest) = &self.base_digest
            && *digest != plan.base.weights
        {
            return refuse("base_digest", format!("a run on the weights {}", plan.base.weights));
        }
        let method = experiment.method.name;
        if !self.methods.is_empty() && !self.methods.contains(&method) {
            return refuse("methods", format!("the method {}", method.as_str()));
        }
        // Methods in closed form read every image once.
        let epochs = if method.is_closed_form() { 1 } else { experiment.training.local_epochs };
        if self.max_local_epochs.is_some_and(|most| epochs > most) {
            return refuse("max_local_epochs", format!("{epochs} epochs a round"));
        }
        let (views, most) = (experiment.data.views, self.max_views.unwrap_or(MAX_VIEWS));
        if views > most {
            return refuse("max_views", format!("{views} views of each image (at most {most})"));
        }
        if self.max_update_norm.is_some() && experiment.federation.secure.is_some() {
            return refuse("max_update_norm", "updates under masks, whose norm is unknown".into());
        }
        if let Some(most) = self.max_epsilon {
            let (epsilon, delta, metrics) = match &experiment.federation.privacy {
                Some(PrivacyConfig::Local(it)) => (it.epsilon, it.delta, it.metrics),
                Some(PrivacyConfig::Sample(it)) => (it.epsilon, it.delta, it.metrics),
                _ => (None, 0.0, ClearMetrics::Off),
            };
            if delta > self.max_delta.unwrap_or(MAX_DELTA) {
                return refuse("max_delta", format!("a delta of {delta:e}"));
            }
            match epsilon {
                None => return refuse("max_epsilon", "a run without a budget of its own".into()),
                Some(epsilon) if epsilon > most => {
                    return refuse("max_epsilon", format!("an epsilon of {epsilon}"));
                }
                Some(_) if metrics != ClearMetrics::Off => {
                    return refuse("max_epsilon", "losses that no budget covers".into());
                }
                Some(_) => {}
            }
        }
        let rounds = experiment.rounds();
        match self.max_rounds {
            Some(most) if rounds > most => {
                refuse("max_rounds", format!("a run of {rounds} rounds"))
            }
            _ => Ok((rounds, experiment.output.save_every)),
        }
    }

    /// What the site requires of masks.
    pub(super) fn masks(&self) -> flora_secagg::Policy {
        flora_secagg::Policy { majority: !self.allow_minority, ..Default::default() }
    }

    /// Checks the number of training images.
    pub(super) fn check_examples(&self, num_examples: usize) -> Result<(), String> {
        match num_examples < self.min_examples {
            true => refuse("min_examples", format!("training on {num_examples} images")),
            false => Ok(()),
        }
    }

    /// Checks whether another round may be trained of a run that announced `planned`.
    pub(super) fn check_round(&self, round: usize, planned: usize) -> Result<(), String> {
        let most = self.max_rounds.unwrap_or(usize::MAX);
        match round >= most {
            true => {
                let round = round.saturating_add(1);
                refuse("max_rounds", format!("round {round} of a run of {planned}"))
            }
            false => Ok(()),
        }
    }

    /// Checks whether a task is permitted at all.
    pub(super) fn check_task(&self, kind: &Kind) -> Result<(), String> {
        match kind {
            // These parameters are not an update of anything sent here, so no norm limits what they reveal.
            Kind::Query(name) if name == PARAMETERS && self.max_update_norm.is_some() => {
                refuse("max_update_norm", "the query of all trained parameters".to_owned())
            }
            _ => Ok(()),
        }
    }

    /// Whether updates have a bound.
    pub(super) fn bounds_updates(&self) -> bool {
        self.max_update_norm.is_some()
    }

    /// Checks whether a trained update may leave.
    pub(super) fn check_update(&self, sent: &Message, answer: &Message) -> Result<(), String> {
        let Some(most) = self.max_update_norm else { return Ok(()) };
        let mut squares = 0.0;
        for (name, record) in &answer.records {
            // A tensor that was not sent has no distance to the sent one, and so would have no bound.
            let Some(before) = sent.records.get(name) else {
                return refuse("max_update_norm", format!("a record `{name}` that was not sent"));
            };
            let has_before = |(tensor, after): (&str, &HostTensor)| {
                before.get(tensor).is_some_and(|before| before.shape() == after.shape())
            };
            if let Some((tensor, _)) = record.iter().find(|it| !has_before(*it)) {
                let what = format!("an array {tensor} that was not sent, or in another shape");
                return refuse("max_update_norm", what);
            }
            squares += before.distance(record).powi(2);
        }
        let norm = squares.sqrt();
        // NaN is not within any bound.
        match norm <= most {
            true => Ok(()),
            false => refuse("max_update_norm", format!("an update of the norm {norm:.4}")),
        }
    }
}

fn refuse<T>(field: &str, what: String) -> Result<T, String> {
    Err(format!("this site's policy ({field}) does not allow {what}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn load(text: &str) -> Result<Policy, TuningError> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("policy.toml");
        std::fs::write(&path, text).unwrap();
        Policy::load(&path)
    }

    #[test]
    fn mistakes_are_named() {
        let policy = load("methods = ['flora']\nmin_examples = 20\nmax_rounds = 5").unwrap();
        assert_eq!((policy.methods.len(), policy.min_examples), (1, 20));
        for (text, words) in [
            ("method = ['flora']", "method"),
            ("methods = ['flour']", "flour"),
            ("base_digest = 'abc'", "base_digest"),
            ("max_rounds = 0", "max_rounds"),
            ("max_update_norm = -1.0", "max_update_norm"),
        ] {
            let error = load(text).unwrap_err().to_string();
            assert!(error.contains(words) && error.contains("policy.toml"), "{error}");
        }
    }

    #[test]
    fn rounds_and_examples_are_counted() {
        let policy = Policy { max_rounds: Some(3), min_examples: 10, ..Policy::default() };
        assert!(policy.check_round(2, 3).is_ok());
        assert!(policy.check_round(3, 3).unwrap_err().contains("max_rounds"));
        assert!(policy.check_examples(10).is_ok());
        assert!(policy.check_examples(9).unwrap_err().contains("min_examples"));
    }

    #[test]
    fn what_was_not_sent_has_no_bound_and_stays() {
        let message = |name: &str, shape: &[usize]| {
            let mut record = flora_core::ParameterRecord::new();
            let zeros = vec![0.0; shape.iter().product()];
            record.insert(name, HostTensor::from_f32(shape, zeros).unwrap()).unwrap();
            Message::parameters(std::sync::Arc::new(record))
        };
        let sent = message("a", &[2, 3]);
        let mut renamed = sent.clone();
        let record = renamed.records.remove(PARAMETERS).unwrap();
        renamed.records.insert("other".to_owned(), record);
        let bounded = Policy { max_update_norm: Some(1.0), ..Policy::default() };
        for (answer, is_bounded) in [
            (&sent, true),
            (&message("b", &[2, 3]), false),
            (&message("a", &[3, 2]), false),
            (&renamed, false),
            // As a reply to an evaluation.
            (&Message::default(), true),
        ] {
            let checked = bounded.check_update(&sent, answer);
            assert_eq!(checked.is_ok(), is_bounded, "{checked:?}");
            assert!(is_bounded || checked.unwrap_err().contains("max_update_norm"));
            assert!(Policy::default().check_update(&sent, answer).is_ok());
        }
    }
}

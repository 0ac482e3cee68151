//! The proximal term, which keeps a client near the model that it was sent.

use std::collections::BTreeMap;

use burn::tensor::Tensor;
use flora_core::ParameterRecord;
use flora_federation::{Config, Value};
use flora_lora::named::visit;

use crate::{Trainable, TuningError, TuningModel};

/// The setting of a message; Flower's name for it.
const PROXIMAL_MU: &str = "proximal-mu";

/// The proximal term of FedProx ([arXiv 1812.06127](https://arxiv.org/abs/1812.06127)), which a task requests with the
/// setting `proximal-mu`: the loss of every step gains `mu/2 ||w - w_sent||^2`, and so the gradient `mu (w - w_sent)`,
/// over the trained parameters that were sent.
pub(crate) struct Proximal {
    mu: f64,
    /// The sent parameters, by the model's names and in its layout.
    sent: BTreeMap<String, Vec<f32>>,
}

impl Proximal {
    /// The term that `config` requests, around the `sent` parameters, whose values `model` currently has.
    pub(crate) fn asked(
        config: &Config,
        trainable: Trainable,
        model: &TuningModel,
        sent: &ParameterRecord,
    ) -> Result<Option<Self>, TuningError> {
        let Some(mu) = mu(config)? else { return Ok(None) };
        let mut values = BTreeMap::new();
        visit(model, |place, parameter| {
            let name = trainable.entry(place).map(|entry| entry.name);
            if name.is_some_and(|name| sent.get(&name).is_some()) {
                values.insert(place.name.to_owned(), parameter.values());
            }
        });
        Ok(Some(Self { mu, sent: values }))
    }

    /// `loss` with the term for the current model.
    pub(crate) fn add_to(&self, loss: Tensor<1>, model: &TuningModel) -> Tensor<1> {
        let mut sum = None;
        visit(model, |place, parameter| {
            let Some(sent) = self.sent.get(place.name) else { return };
            let more = parameter.half_squared_distance(sent);
            sum = Some(match sum.take() {
                None => more,
                Some(sum) => sum + more,
            });
        });
        match sum {
            None => loss,
            Some(sum) => loss + sum.mul_scalar(self.mu),
        }
    }
}

/// The weight of the term; `None` if there is none.
fn mu(config: &Config) -> Result<Option<f64>, TuningError> {
    let refuse = |problem: String| Err(TuningError::Setting { name: PROXIMAL_MU, problem });
    let mu = match config.get(PROXIMAL_MU) {
        None => return Ok(None),
        Some(&Value::Float(mu)) => mu,
        Some(&Value::Int(mu)) => mu as f64,
        Some(other) => return refuse(format!("{other:?} is not a number; send 0 or more")),
    };
    // The model's values are f32.
    if !(mu as f32).is_finite() || mu < 0.0 {
        return refuse(format!("{mu} is not 0 or a positive number"));
    }
    Ok((mu > 0.0).then_some(mu))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(value: Value) -> Result<Option<f64>, String> {
        let config = Config::from([(PROXIMAL_MU.to_owned(), value)]);
        mu(&config).map_err(|error| error.to_string())
    }

    #[test]
    fn only_positive_numbers_are_a_term() {
        assert_eq!(mu(&Config::new()).unwrap(), None);
        assert_eq!(of(Value::Float(0.0)), Ok(None));
        assert_eq!(of(Value::Int(0)), Ok(None));
        assert_eq!(of(Value::Float(0.5)), Ok(Some(0.5)));
        assert_eq!(of(Value::Int(2)), Ok(Some(2.0)));
        for bad in [f64::NAN, f64::INFINITY, -0.5, 1e300].map(Value::Float) {
            let message = of(bad).unwrap_err();
            assert!(message.contains("`proximal-mu`"), "{message}");
        }
        let message = of(Value::Text("much".into())).unwrap_err();
        assert!(message.contains("much") && message.contains("not a number"), "{message}");
    }
}

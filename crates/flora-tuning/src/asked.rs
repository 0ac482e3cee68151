//! The server's instructions for a training task besides the initial parameters.

use flora_core::ParameterRecord;
use flora_federation::{Config, Value};
use flora_lora::named::map;
use flora_strategies::lora::{ESTIMATE, FRESH_OPTIMIZER, TRAIN};

use crate::{Trainable, TuningError, TuningModel};

/// The settings of a training task that select the trained parameters and the optimizer's state.
#[derive(Debug, Default, PartialEq)]
pub(crate) struct Asked {
    /// Only parameters whose names contain this are trained and answered.
    trains: Option<String>,
    /// The optimizer is reset.
    pub(crate) begins_anew: bool,
    /// A gradient is answered, and nothing is trained.
    pub(crate) estimates: bool,
}

impl Asked {
    pub(crate) fn of(config: &Config) -> Result<Self, TuningError> {
        let trains = match config.get(TRAIN) {
            None => None,
            Some(Value::Text(part)) => Some(part.clone()),
            Some(other) => return Err(refuse(TRAIN, format!("{other:?} is not a part of a name"))),
        };
        let flag = |name| match config.get(name) {
            None => Ok(false),
            Some(Value::Bool(on)) => Ok(*on),
            Some(other) => Err(refuse(name, format!("{other:?} is not true or false"))),
        };
        Ok(Self { trains, begins_anew: flag(FRESH_OPTIMIZER)?, estimates: flag(ESTIMATE)? })
    }

    /// Whether only a part of the parameters needs to be sent.
    pub(crate) fn of_a_part(&self) -> bool {
        self.trains.is_some()
    }

    /// `model`, with gradients only for the parameters to be trained.
    pub(crate) fn freeze(
        &self,
        model: TuningModel,
        trainable: Trainable,
    ) -> Result<TuningModel, TuningError> {
        let Some(part) = &self.trains else { return Ok(model) };
        let mut trained = 0;
        let model = map(model, |place, parameter| match trainable.entry(place) {
            Some(entry) if entry.name.contains(part) => trained += 1,
            Some(_) => parameter.freeze(),
            None => {}
        });
        match trained {
            0 => Err(refuse(TRAIN, format!("no parameter's name contains `{part}`"))),
            _ => Ok(model),
        }
    }

    /// The part of the trained record to answer; `None` for all of it.
    pub(crate) fn part(&self, trained: &ParameterRecord) -> Option<ParameterRecord> {
        let part = self.trains.as_deref()?;
        Some(trained.filter(|name| name.contains(part)))
    }
}

fn refuse(name: &'static str, problem: String) -> TuningError {
    TuningError::Setting { name, problem }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(name: &str, value: Value) -> Result<Asked, String> {
        let config = Config::from([(name.to_owned(), value)]);
        Asked::of(&config).map_err(|error| error.to_string())
    }

    #[test]
    fn settings_of_other_kinds_are_refused() {
        assert_eq!(Asked::of(&Config::new()).unwrap(), Asked::default());
        let asked = of(TRAIN, Value::Text("lora_B".into())).unwrap();
        assert_eq!(asked, Asked { trains: Some("lora_B".into()), ..Asked::default() });
        assert!(of(ESTIMATE, Value::Bool(true)).unwrap().estimates);
        assert!(of(ESTIMATE, Value::Int(1)).unwrap_err().contains("`flora.estimate`"));
        assert!(of(FRESH_OPTIMIZER, Value::Bool(true)).unwrap().begins_anew);
        let message = of(TRAIN, Value::Int(1)).unwrap_err();
        assert!(message.contains("`flora.train`"), "{message}");
        let message = of(FRESH_OPTIMIZER, Value::Text("yes".into())).unwrap_err();
        assert!(message.contains("`flora.fresh-optimizer`"), "{message}");
    }
}

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::FederationError;

/// Which faults to inject, the table `[faults]` of an experiment. Chances and shares are in `[0, 1]`.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Faults {
    /// The chance that a client fails to train in a round.
    pub fail: f64,
    /// The chance that a client takes [`delay`](Self::delay) longer to train in a round. With a
    /// deadline below the delay, its answer is late. Nobody waits in earnest.
    pub straggle: f64,
    /// Seconds that a straggler takes longer.
    pub delay: f64,
    /// The chance that a client leaves in a round, from round 1 on.
    pub drop_out: f64,
    /// For how many rounds it stays away.
    pub absence: usize,
    /// The share of the clients that send a NaN, always.
    pub nan: f64,
    /// The share of the clients that send a tensor of another shape, always.
    pub wrong_shape: f64,
    /// The share of the clients that send finite but huge numbers, always.
    pub huge: f64,
    /// The share of the clients that answer the round before, always from round 1 on.
    pub stale: f64,
}

impl Default for Faults {
    /// None.
    fn default() -> Self {
        Self {
            fail: 0.0,
            straggle: 0.0,
            delay: 3600.0,
            drop_out: 0.0,
            absence: 1,
            nan: 0.0,
            wrong_shape: 0.0,
            huge: 0.0,
            stale: 0.0,
        }
    }
}

impl Faults {
    /// Whether none are injected.
    pub fn is_none(&self) -> bool {
        let Self { fail, straggle, drop_out, nan, wrong_shape, huge, stale, .. } = *self;
        [fail, straggle, drop_out, nan, wrong_shape, huge, stale].iter().all(|&it| it == 0.0)
    }

    /// Checks the values.
    ///
    /// # Errors
    /// [`FederationError::Faults`] names the field.
    pub fn check(&self) -> Result<(), FederationError> {
        let Self { fail, straggle, delay, drop_out, absence, nan, wrong_shape, huge, stale } =
            *self;
        let wrong = |field, problem| Err(FederationError::Faults { field, problem });
        for (field, value) in [
            ("fail", fail),
            ("straggle", straggle),
            ("drop_out", drop_out),
            ("nan", nan),
            ("wrong_shape", wrong_shape),
            ("huge", huge),
            ("stale", stale),
        ] {
            if !(0.0..=1.0).contains(&value) {
                return wrong(field, format!("{value} is not between 0 and 1"));
            }
        }
        if Duration::try_from_secs_f64(delay).is_err() {
            return wrong("delay", format!("{delay} is not a number of seconds"));
        }
        if absence == 0 {
            return wrong(
                "absence",
                "0 rounds are no absence; set drop_out = 0 instead".to_owned(),
            );
        }
        let sum = nan + wrong_shape + huge + stale;
        if sum > 1.0 + 1e-9 {
            let problem =
                format!("the shares of nan, wrong_shape, huge and stale add up to {sum}, above 1");
            return wrong("nan", problem);
        }
        Ok(())
    }
}

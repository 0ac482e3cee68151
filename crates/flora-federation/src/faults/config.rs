use std::{collections::BTreeSet, time::Duration};

use serde::{Deserialize, Serialize};

use super::{Attack, drawn};
use crate::{ClientInfo, FederationError};

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
    /// The share of the clients with training examples that attack, always and all in the way of
    /// [`attack`](Self::attack).
    #[serde(skip_serializing_if = "is_zero")]
    pub attackers: f64,
    /// What attackers do.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub attack: Option<Attack>,
}

fn is_zero(share: &f64) -> bool {
    *share == 0.0
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
            attackers: 0.0,
            attack: None,
        }
    }
}

impl Faults {
    /// Whether answers come that nobody should use.
    pub fn spoils(&self) -> bool {
        [self.nan, self.wrong_shape, self.huge, self.stale].iter().any(|&chance| chance > 0.0)
    }

    /// Whether none are injected.
    pub fn is_none(&self) -> bool {
        let Self { fail, straggle, drop_out, nan, wrong_shape, huge, stale, attackers, .. } = *self;
        let all = [fail, straggle, drop_out, nan, wrong_shape, huge, stale, attackers];
        all.iter().all(|&it| it == 0.0)
    }

    /// Checks the values.
    ///
    /// # Errors
    /// [`FederationError::Faults`] names the field.
    pub fn check(&self) -> Result<(), FederationError> {
        let Self { fail, straggle, delay, drop_out, absence, attackers, attack, .. } = *self;
        let Self { nan, wrong_shape, huge, stale, .. } = *self;
        let wrong = |field, problem| Err(FederationError::Faults { field, problem });
        for (field, value) in [
            ("fail", fail),
            ("straggle", straggle),
            ("drop_out", drop_out),
            ("nan", nan),
            ("wrong_shape", wrong_shape),
            ("huge", huge),
            ("stale", stale),
            ("attackers", attackers),
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
        let sum = sum + attackers;
        if sum > 1.0 + 1e-9 {
            let problem = format!(
                "with the shares of nan, wrong_shape, huge and stale it adds up to {sum}, above 1"
            );
            return wrong("attackers", problem);
        }
        match attack {
            None if attackers > 0.0 => {
                let problem =
                    format!("{attackers} of the clients attack, but how? Set faults.attack");
                wrong("attackers", problem)
            }
            Some(_) if attackers == 0.0 => {
                let problem = "nobody attacks; set faults.attackers to a share of the clients";
                wrong("attack", problem.to_owned())
            }
            None => Ok(()),
            Some(attack) => attack.check().or_else(|(field, problem)| wrong(field, problem)),
        }
    }

    /// Checks that some of these clients, which are all, attack where attackers are asked for.
    ///
    /// # Errors
    /// [`FederationError::Faults`] for a share that is nobody.
    pub fn check_clients(&self, clients: &[ClientInfo], seed: u64) -> Result<(), FederationError> {
        if self.attackers > 0.0 && self.attackers(clients, seed).is_empty() {
            let (share, all) = (self.attackers, clients.len());
            let problem = format!("{share} of {all} clients is nobody; set a larger share");
            return Err(FederationError::Faults { field: "attackers", problem });
        }
        Ok(())
    }

    /// Who attacks, of clients of which all are listed, in any order: the share [`attackers`](Self::attackers) of
    /// those with training examples, rounded. `seed` is that of [`Faulty`](crate::Faulty), whose attackers these are.
    /// It is for those who make clients, and flip the labels of these for [`Attack::LabelFlip`].
    ///
    /// The draw depends on nothing but the seed and the clients' ids: other attacks have the same attackers, and more
    /// attackers are these and others.
    pub fn attackers(&self, clients: &[ClientInfo], seed: u64) -> BTreeSet<String> {
        drawn(self, seed, clients).1
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn impossible_values_are_named() {
        let noise = |std| Some(Attack::GaussianNoise { std });
        let some = Faults { attackers: 0.2, attack: noise(0.5), ..Faults::default() };
        assert!(some.check().is_ok());
        for (faults, words) in [
            (Faults { attackers: -0.1, ..some }, "faults.attackers: -0.1 is not between 0 and 1"),
            (Faults { attackers: f64::NAN, ..some }, "faults.attackers: NaN"),
            (Faults { attackers: 0.0, ..some }, "faults.attack: nobody attacks"),
            (Faults { attack: None, ..some }, "Set faults.attack"),
            (Faults { nan: 0.9, ..some }, "faults.attackers: with the shares"),
            (Faults { nan: 0.9, huge: 0.9, ..some }, "faults.nan: the shares"),
            (Faults { attack: noise(0.0), ..some }, "faults.attack.std: 0 is not a number above 0"),
            (Faults { attack: noise(f64::INFINITY), ..some }, "faults.attack.std: inf"),
        ] {
            let error = faults.check().unwrap_err().to_string();
            assert!(error.contains(words), "{error}");
        }
        for (attack, words) in [
            (Attack::SignFlip { factor: -1.0 }, "faults.attack.factor: -1 is not"),
            (Attack::Scaled { factor: f64::NAN }, "faults.attack.factor: NaN is not a number"),
            (Attack::Scaled { factor: 1.0 }, "faults.attack.factor: 1 leaves the update"),
            (Attack::LittleIsEnough { z: Some(f64::NAN) }, "faults.attack.z: NaN is not"),
            (Attack::InnerProduct { epsilon: 0.0 }, "faults.attack.epsilon: 0 is not"),
        ] {
            let error = Faults { attack: Some(attack), ..some }.check().unwrap_err().to_string();
            assert!(error.contains(words), "{error}");
        }
        for attack in [
            Attack::LabelFlip {},
            Attack::Scaled { factor: -3.0 },
            Attack::LittleIsEnough { z: Some(-0.5) },
        ] {
            assert!(Faults { attack: Some(attack), ..some }.check().is_ok());
        }
    }

    /// The text of an experiment decides whether a sweep has run it already.
    #[test]
    fn a_table_without_an_attack_is_written_as_before() {
        let text = toml::to_string(&Faults::default()).unwrap();
        let expected = "fail = 0.0\nstraggle = 0.0\ndelay = 3600.0\ndrop_out = 0.0\nabsence = 1\n\
                        nan = 0.0\nwrong_shape = 0.0\nhuge = 0.0\nstale = 0.0\n";
        assert_eq!(text, expected);
        assert_eq!(toml::from_str::<Faults>(&text).unwrap(), Faults::default());
    }

    #[test]
    fn an_attack_is_a_word_or_a_table() {
        for (text, attack) in [
            ("'label-flip'", Attack::LabelFlip {}),
            ("'sign-flip'", Attack::SignFlip { factor: 1.0 }),
            ("{ kind = 'sign-flip', factor = 2 }", Attack::SignFlip { factor: 2.0 }),
            ("'scaled'", Attack::Scaled { factor: 10.0 }),
            ("'gaussian-noise'", Attack::GaussianNoise { std: 0.1 }),
            ("'little-is-enough'", Attack::LittleIsEnough { z: None }),
            ("{ kind = 'little-is-enough', z = 1.5 }", Attack::LittleIsEnough { z: Some(1.5) }),
            ("'inner-product'", Attack::InnerProduct { epsilon: 0.5 }),
        ] {
            let text = format!("attackers = 0.2\nattack = {text}");
            let faults: Faults = toml::from_str(&text).unwrap();
            assert_eq!((faults.attackers, faults.attack), (0.2, Some(attack)), "{text}");
            let written = toml::to_string(&faults).unwrap();
            assert_eq!(toml::from_str::<Faults>(&written).unwrap(), faults, "{written}");
        }
        for (text, words) in [
            ("'sign-flp'", "unknown variant `sign-flp`"),
            ("{ kind = 'sign-flip', faktor = 2.0 }", "unknown field `faktor`, expected `factor`"),
            ("{ kind = 'label-flip', factor = 2.0 }", "unknown field `factor`"),
            ("{ factor = 2.0 }", "missing field `kind`"),
            ("0.2", "expected the name of an attack or a table with a kind"),
        ] {
            let error = toml::from_str::<Faults>(&format!("attack = {text}")).unwrap_err();
            assert!(error.to_string().contains(words), "{error}");
        }
    }
}

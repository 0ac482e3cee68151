use std::{collections::BTreeSet, time::Duration};

use serde::{Deserialize, Serialize};

use super::{Attack, drawn};
use crate::{ClientInfo, FederationError};

/// Faults to inject, the table `[faults]` of an experiment. Probabilities and shares are in `[0, 1]`.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Faults {
    /// Probability that a client fails to train in a round.
    pub fail: f64,
    /// Probability that a client takes [`delay`](Self::delay) seconds longer to train in a round. With a deadline below
    /// the delay, its reply is late. The delay is simulated: nobody waits for it.
    pub straggle: f64,
    /// Extra seconds of a straggler.
    pub delay: f64,
    /// Probability that a client leaves in a round, from round 1 on.
    pub drop_out: f64,
    /// Number of rounds that it stays away.
    pub absence: usize,
    /// Share of the clients that send a NaN, in every round.
    pub nan: f64,
    /// Share of the clients that send a tensor with a wrong shape, in every round.
    pub wrong_shape: f64,
    /// Share of the clients that send finite but huge values, in every round.
    pub huge: f64,
    /// Share of the clients that reply with the previous round's result, from round 1 on.
    pub stale: f64,
    /// Share of the clients with training examples that attack in every round, all with the same
    /// [`attack`](Self::attack).
    #[serde(skip_serializing_if = "is_zero")]
    pub attackers: f64,
    /// The attack.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub attack: Option<Attack>,
}

fn is_zero(share: &f64) -> bool {
    *share == 0.0
}

impl Default for Faults {
    /// No faults.
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
    /// Whether some replies must not be used.
    pub fn spoils(&self) -> bool {
        [self.nan, self.wrong_shape, self.huge, self.stale].iter().any(|&chance| chance > 0.0)
    }

    /// Whether no faults are injected.
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
                let problem = format!(
                    "{attackers} of the clients attack, but no attack is named; set faults.attack"
                );
                wrong("attackers", problem)
            }
            Some(_) if attackers == 0.0 => {
                let problem = "no client attacks; set faults.attackers to a share of the clients";
                wrong("attack", problem.to_owned())
            }
            None => Ok(()),
            Some(attack) => attack.check().or_else(|(field, problem)| wrong(field, problem)),
        }
    }

    /// Checks that the share of attackers selects at least one of the fleet's clients. `clients` must list all of them.
    ///
    /// # Errors
    /// [`FederationError::Faults`] for a share that rounds to no client.
    pub fn check_clients(&self, clients: &[ClientInfo], seed: u64) -> Result<(), FederationError> {
        if self.attackers > 0.0 && self.attackers(clients, seed).is_empty() {
            let (share, all) = (self.attackers, clients.len());
            let problem =
                format!("{share} of {all} clients rounds to no client; set a larger share");
            return Err(FederationError::Faults { field: "attackers", problem });
        }
        Ok(())
    }

    /// The attackers among `clients`, which must list the whole fleet, in any order: the share
    /// [`attackers`](Self::attackers) of those with training examples, rounded. `seed` is that of
    /// [`Faulty`](crate::Faulty). A caller that creates clients flips the labels of these for [`Attack::LabelFlip`].
    ///
    /// The draw depends only on the seed and the client ids. Every attack has the same attackers, and a larger share
    /// adds attackers to those of a smaller one.
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
            (Faults { attackers: 0.0, ..some }, "faults.attack: no client attacks"),
            (Faults { attack: None, ..some }, "set faults.attack"),
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

    /// A sweep compares the text of experiments to decide whether it has run one already.
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

use std::fmt;

use rand_chacha::rand_core::CryptoRng;
use serde::{Deserialize, Serialize};

use crate::{
    Faults, Result, Rounding, SecaggError, Setup,
    lanes::Grid,
    plan::{Plan, plan},
};

/// A client's number, which it keeps for the whole run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct ClientId(pub u64);

impl fmt::Display for ClientId {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(formatter)
    }
}

/// One attempt at one round's sum. Every key, mask, share and signature belongs to one attempt.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Session {
    /// The run, 255 bytes at most.
    pub run: String,
    /// The round.
    pub round: u64,
    /// Counts the attempts at the round; see [`Past`](crate::Past).
    pub attempt: u64,
}

impl fmt::Display for Session {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "run \"{}\", round {}, attempt {}", self.run, self.round, self.attempt)
    }
}

/// Settings of secure aggregation, the same for all rounds of a run.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// The largest magnitude of a coordinate of an update; a larger one is an error of the client. Default 1.
    #[serde(deserialize_with = "flora_core::settings::single")]
    pub range: f32,
    /// The largest L2 norm of an update; a larger one is an error of the client. With it, updates are rotated at random
    /// before they are rounded, and `range` is ignored: all coordinates are then within `6 / sqrt(length)` times the
    /// norm, so that few bits are enough for any update. Default: none.
    #[serde(deserialize_with = "flora_core::settings::optional_single")]
    pub norm: Option<f32>,
    /// Bits of one client's value, 2 to 31. Default: as many as leave room for the sum of all clients in 32.
    pub bits: Option<u32>,
    /// Whether lanes are sent in as few bits as the sum of all clients needs: `bits` plus the logarithm of the number
    /// of clients; otherwise in 32. Default: true if `bits` is set.
    pub packed: Option<bool>,
    /// How values become lanes. Default: [`Rounding::Stochastic`] with a `norm` or packed
    /// lanes, else [`Rounding::Nearest`].
    pub rounding: Option<Rounding>,
    /// The largest weight of a client; times the number of clients it must be below 2^32. Resolution is best if it is
    /// close to the largest actual weight. Default 1.
    pub max_weight: u64,
    /// Neighbours of each client: even, or all others. Default: all others with up to `dense` clients, else by
    /// [`plan`](crate::plan) for `faults`.
    pub neighbours: Option<usize>,
    /// How many of a client's `neighbours + 1` share holders (itself among them) open a secret. Default: more than
    /// two thirds with up to `dense` clients, else by [`plan`](crate::plan) for `faults`.
    pub threshold: Option<usize>,
    /// The fewest clients in a sum. Default: half of the clients, and at least `threshold`.
    pub minimum: Option<usize>,
    /// Up to this number of clients, every client is a neighbour of every other. Default 32.
    pub dense: usize,
    /// The faults that a sparse graph must tolerate.
    pub faults: Faults,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            range: 1.0,
            norm: None,
            bits: None,
            packed: None,
            rounding: None,
            max_weight: 1,
            neighbours: None,
            threshold: None,
            minimum: None,
            dense: 32,
            faults: Faults::default(),
        }
    }
}

impl Config {
    /// Checks that this number of clients can take part, each with this policy.
    ///
    /// # Errors
    ///
    /// As [`setup`](Self::setup), and a setup that the policy refuses.
    pub fn check(&self, clients: usize, policy: &Policy) -> Result<()> {
        let session = Session { run: "check".to_owned(), round: 0, attempt: 0 };
        let valid = policy.clients.max(2)..=clients;
        if let Some(minimum) = self.minimum.filter(|it| !valid.is_empty() && !valid.contains(it)) {
            let problem = format!("{minimum}; {} to {clients} work", valid.start());
            return Err(SecaggError::setting("minimum", problem));
        }
        let roster = (0..clients as u64).map(ClientId).collect();
        let setup = self.setup(session, roster, 1, &mut crate::system_rng()?)?;
        // Before the minimum, which a higher threshold raises.
        policy.check_majority(&setup)?;
        let found = setup.minimum();
        if self.minimum.is_none() && found < policy.clients && policy.clients <= clients {
            let problem = format!(
                "it is {found} with this threshold, and clients want {} at least; choose {} to {clients}",
                policy.clients, policy.clients
            );
            return Err(SecaggError::setting("minimum", problem));
        }
        policy.check(&setup)
    }

    /// Checks that these settings give a setup like this one for its clients: a client compares what the server made
    /// of the plan. The largest weight may differ if the plan leaves it open.
    pub(crate) fn check_planned(&self, setup: &Setup) -> Result<()> {
        let own = Self { max_weight: self.max_weight.max(1), ..self.clone() };
        let own = match self.max_weight {
            0 | 1 => Self { max_weight: setup.grid().max_weight, ..own },
            _ => own,
        };
        let session = setup.session().clone();
        let planned = own.setup(
            session,
            setup.clients().to_vec(),
            setup.length(),
            &mut crate::system_rng()?,
        )?;
        let named = |setup: &Setup| if setup.is_rotated() { "norm" } else { "range" };
        let (expected, found) = (named(&planned), named(setup));
        if expected != found {
            let problem = format!("a {found} instead of the {expected} of the plan");
            return Err(SecaggError::setting(expected, problem));
        }
        let (planned_grid, grid) = (planned.grid(), setup.grid());
        let differ = |field, found: String, planned: String| match found == planned {
            true => Ok(()),
            false => {
                let problem = format!("{found} instead of {planned} of the plan");
                Err(SecaggError::setting(field, problem))
            }
        };
        let number = |field, of: &dyn Fn(&Setup) -> u64| {
            differ(field, of(setup).to_string(), of(&planned).to_string())
        };
        differ(found, grid.range.to_string(), planned_grid.range.to_string())?;
        number("neighbours", &|it| it.degree() as u64)?;
        number("threshold", &|it| it.threshold() as u64)?;
        number("minimum", &|it| it.minimum() as u64)?;
        number("bits", &|it| it.bits().into())?;
        number("max_weight", &|it| it.grid().max_weight)?;
        differ("packed", grid.is_packed.to_string(), planned_grid.is_packed.to_string())?;
        differ("rounding", format!("{:?}", grid.rounding), format!("{:?}", planned_grid.rounding))
    }

    /// The setup of one attempt with these clients and updates of `length` values. `rng` draws the graph.
    ///
    /// # Errors
    ///
    /// [`SecaggError::Setting`] names the invalid setting.
    pub fn setup(
        &self,
        session: Session,
        mut clients: Vec<ClientId>,
        length: usize,
        rng: &mut impl CryptoRng,
    ) -> Result<Setup> {
        self.faults.check()?;
        clients.sort_unstable();
        let count = clients.len();
        let is_packed = self.packed.unwrap_or(self.bits.is_some());
        let planned = match (self.neighbours, self.threshold) {
            (Some(degree), Some(threshold)) => Plan { degree, threshold },
            (Some(degree), None) => {
                Plan { degree, threshold: two_thirds(degree.saturating_add(1)) }
            }
            (None, threshold) => {
                let found = match count <= self.dense {
                    true => Plan { degree: count.saturating_sub(1), threshold: two_thirds(count) },
                    false => plan(count, &self.faults)?,
                };
                Plan { threshold: threshold.unwrap_or(found.threshold), ..found }
            }
        };
        let mut seed = [0; 32];
        rng.fill_bytes(&mut seed);
        Setup::new(
            session,
            clients,
            planned,
            self.minimum.unwrap_or(planned.threshold.max(count.div_ceil(2))),
            Grid {
                range: self.norm.unwrap_or(self.range),
                is_rotated: self.norm.is_some(),
                is_packed,
                bits: self.bits.unwrap_or(Grid::most_bits(count)),
                // With few bits, rounding to the nearest would make zeros of all small numbers.
                rounding: self.rounding.unwrap_or(match is_packed || self.norm.is_some() {
                    false => Rounding::Nearest,
                    true => Rounding::Stochastic,
                }),
                max_weight: self.max_weight,
            },
            length,
            seed,
        )
    }
}

/// The smallest number above two thirds.
fn two_thirds(count: usize) -> usize {
    count / 3 * 2 + count % 3 * 2 / 3 + 1
}

/// A client's own conditions for a setup. Setups come from the server, which may be the adversary.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Policy {
    /// The minimum number of clients in a sum that contains its update. Default 3: from a sum of two, each client
    /// learns the other's update.
    pub clients: usize,
    /// Whether the threshold must be more than half of a client's share holders: then a server that sends different
    /// clients different messages cannot open both secrets of one, unless `2 threshold - holders` of the holders help
    /// it. Complete graphs satisfy this by default; sparse ones if `faults.server` is `active`. Default true.
    pub majority: bool,
}

impl Default for Policy {
    fn default() -> Self {
        Self { clients: 3, majority: true }
    }
}

impl Policy {
    pub(crate) fn check(&self, setup: &Setup) -> Result<()> {
        if setup.minimum() < self.clients {
            return Err(SecaggError::Policy(format!(
                "it allows a sum of {} clients, and this client wants {} at least",
                setup.minimum(),
                self.clients
            )));
        }
        self.check_majority(setup)
    }

    fn check_majority(&self, setup: &Setup) -> Result<()> {
        if self.majority && 2 * setup.threshold() <= setup.degree() + 1 {
            return Err(SecaggError::Policy(format!(
                "{} of {} holders open a secret, and this client wants more than half; raise the threshold, or plan \
                 with faults.server = \"active\" or a smaller faults.dropout",
                setup.threshold(),
                setup.degree() + 1
            )));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use flora_core::{explain, settings};

    use super::*;

    #[derive(Debug, Default, Deserialize)]
    #[serde(default, deny_unknown_fields)]
    struct Federation {
        secure: Option<Config>,
    }

    fn refused(text: &str) -> String {
        let read = toml::from_str::<Federation>(text).map_err(|error| error.to_string());
        let checked =
            read.and_then(|_| settings::refuse_lists::<Federation>(&text.parse().unwrap()));
        explain::toml(&checked.unwrap_err())
    }

    #[test]
    fn values_that_would_change_are_refused_by_name() {
        for (value, told) in [
            ("[]", "secure: expected a table, found a list"),
            ("[0.5, 1.0]", "secure: expected a table, found a list"),
            ("{ faults = [] }", "secure.faults: expected a table, found a list"),
            ("{ norm = 1e-300 }", "1e-300 does not fit in single precision; the smallest number"),
            ("{ norm = 1e300 }", "1e300 does not fit in single precision; the largest number"),
            ("{ range = 1e300 }", "1e300 does not fit in single precision; the largest number"),
        ] {
            let refused = refused(&format!("secure = {value}"));
            assert!(refused.contains(told), "{value}: {refused}");
        }
        let text = "secure = { range = 2, norm = 0.5, bits = 8 }";
        let read: Federation = toml::from_str(text).unwrap();
        let config = Config { range: 2.0, norm: Some(0.5), bits: Some(8), ..Config::default() };
        assert_eq!(read.secure, Some(config));
        assert_eq!(settings::refuse_lists::<Federation>(&text.parse().unwrap()), Ok(()));
    }

    /// As docs/privacy.md says.
    #[test]
    fn small_runs_have_a_majority_by_default_and_large_ones_can() {
        let check = |faults: Faults, clients| {
            Config { faults, ..Config::default() }.check(clients, &Policy::default())
        };
        for clients in 3..=50 {
            check(Faults::default(), clients).unwrap();
        }
        let error = check(Faults::default(), 1000).unwrap_err().to_string();
        assert!(error.contains("35 of 95 holders") && error.contains("faults.dropout"), "{error}");
        for clients in [64, 100, 300, 1000] {
            check(Faults { dropout: 0.1, ..Faults::default() }, clients).unwrap();
            check(Faults { server: crate::Adversary::Active, ..Faults::default() }, clients)
                .unwrap();
        }
    }

    #[test]
    fn the_minimum_that_is_asked_for_is_one_that_works() {
        let policy = Policy::default();
        let of = |minimum, threshold| Config { minimum, threshold, ..Config::default() };
        for minimum in [0, 1, 2, 5] {
            let error = of(Some(minimum), None).check(4, &policy).unwrap_err().to_string();
            assert_eq!(error, format!("minimum: {minimum}; 3 to 4 work"));
        }
        for minimum in [3, 4] {
            assert!(of(Some(minimum), None).check(4, &policy).is_ok(), "{minimum}");
        }
        let error = of(None, Some(2)).check(4, &policy).unwrap_err().to_string();
        assert!(
            error.contains("2 of 4 holders") && error.contains("raise the threshold"),
            "{error}"
        );
        assert!(of(None, Some(3)).check(4, &policy).is_ok());
        let minority = Policy { majority: false, ..policy };
        let error = of(None, Some(2)).check(4, &minority).unwrap_err().to_string();
        let words =
            "minimum: it is 2 with this threshold, and clients want 3 at least; choose 3 to 4";
        assert_eq!(error, words);
        assert!(of(Some(3), Some(2)).check(4, &minority).is_ok());
        // No minimum would do.
        let error = of(None, None).check(2, &policy).unwrap_err().to_string();
        assert!(error.contains("wants 3 at least"), "{error}");
    }

    #[test]
    fn two_thirds_is_the_fewest_above() {
        for count in 1..100 {
            let found = two_thirds(count);
            assert!(3 * found > 2 * count && 3 * (found - 1) <= 2 * count);
        }
    }
}

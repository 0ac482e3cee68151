//! How many neighbours a client needs, by exact tails (Bell et al. 2020, section 3,
//! <https://eprint.iacr.org/2020/704>).

use serde::{Deserialize, Serialize};
use statrs::function::factorial::ln_binomial;

use crate::{Result, SecaggError};

/// The server that a plan must withstand.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Adversary {
    /// It follows the protocol, and combines everything it sees with the corrupt clients' data.
    #[default]
    Curious,
    /// It also lies about dropouts, and sends different clients different messages.
    Active,
}

/// Dropouts and corrupt clients that a graph must tolerate.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Faults {
    /// The largest share of the clients that may drop out in an attempt, in `[0, 1)`. Default 0.3.
    pub dropout: f64,
    /// The largest share that may collude with the server, in `[0, 1)`. Default 0.1.
    pub corrupt: f64,
    /// Each of the bad events has a probability of at most `2^-bits`, over all clients together. Default 30.
    pub bits: u32,
    /// Which server. Default [`Adversary::Curious`].
    pub server: Adversary,
}

impl Faults {
    /// Checks the values, whether or not a plan needs them.
    ///
    /// # Errors
    ///
    /// A share outside `[0, 1)`, shares that leave no honest client, or a probability below 2^-1000.
    pub(crate) fn check(&self) -> Result<()> {
        for (field, part) in [("faults.dropout", self.dropout), ("faults.corrupt", self.corrupt)] {
            if !(0.0..1.0).contains(&part) {
                return Err(SecaggError::setting(field, format!("{part} is not in [0, 1)")));
            }
        }
        if self.dropout + self.corrupt >= 1.0 {
            let sum = self.dropout + self.corrupt;
            return Err(SecaggError::setting(
                "faults",
                format!("dropout and corrupt are {sum} together, and no honest client is left"),
            ));
        }
        if self.bits > 1000 {
            return Err(SecaggError::setting(
                "faults.bits",
                format!("{} is above 1000", self.bits),
            ));
        }
        Ok(())
    }
}

impl Default for Faults {
    fn default() -> Self {
        Self { dropout: 0.3, corrupt: 0.1, bits: 30, server: Adversary::Curious }
    }
}

/// The parameters of a graph.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Plan {
    /// Neighbours of each client: even, or all others.
    pub degree: usize,
    /// How many of a client's `degree + 1` share holders, itself among them, open its secrets.
    pub threshold: usize,
}

/// The smallest number that is reached with a probability of at most `allowed`, in the hypergeometric distribution:
/// `draws` out of `all` without replacement, `marked` of which count.
fn bound(all: u64, marked: u64, draws: u64, allowed: f64) -> u64 {
    let whole = ln_binomial(all, draws);
    let (least, most) = ((draws + marked).saturating_sub(all), marked.min(draws));
    let mut tail = 0.0;
    for x in (least..=most).rev() {
        tail += (ln_binomial(marked, x) + ln_binomial(all - marked, draws - x) - whole).exp();
        if tail > allowed {
            return x + 1;
        }
    }
    least
}

/// The smallest even number of neighbours, and the largest threshold with it, such that each of these events has a
/// probability of at most `2^-bits` over all clients, if dropped and corrupt clients are drawn at random:
///
/// - A client has `threshold - 1` corrupt neighbours. It never masks or opens with fewer neighbours, so without
///   this event at least one of them is honest.
/// - With an active server: a client has `2 threshold - holders` corrupt neighbours, with whose help the server could
///   open both of its secrets. Or `threshold - 1 - degree / 2` neighbours on one side of it on the ring are corrupt;
///   then the server could declare the others of that side dropped and cut the ring into parts.
/// - Fewer than `threshold - 1` neighbours of a client answer (it holds a share of its own seed), or fewer than
///   `threshold` of a client that dropped out.
/// - The honest clients that answer fall into two groups without a common edge. That takes two runs of `degree / 2`
///   dropped or corrupt clients on the ring.
///
/// # Errors
///
/// Shares outside `[0, 1)`, and faults that even a complete graph does not tolerate.
pub fn plan(clients: usize, faults: &Faults) -> Result<Plan> {
    faults.check()?;
    if clients < 2 {
        return Err(SecaggError::setting("clients", format!("{clients} are too few for a sum")));
    }
    let others = clients as u64 - 1;
    // The small term keeps 0.3 * 10 = 3.0000000000000004 from becoming 4, and rounding up is the safe side.
    let up = |part: f64| ((part * clients as f64 - 1e-9).ceil() as u64).min(others);
    let (gone, corrupt) = (up(faults.dropout), up(faults.corrupt));
    let allowed = (-f64::from(faults.bits)).exp2() / clients as f64;
    for degree in (2..others).step_by(2).chain([others]) {
        let reached = |marked| bound(others, marked, degree, allowed);
        let least = match faults.server {
            Adversary::Curious => reached(corrupt) + 1,
            Adversary::Active if degree == others => (degree + 1 + reached(corrupt)).div_ceil(2),
            Adversary::Active => {
                let side = bound(others, corrupt, degree / 2, allowed / 2.0);
                (degree + 1 + reached(corrupt)).div_ceil(2).max(degree / 2 + side + 1)
            }
        };
        // Of a client that answers, which is a holder itself, and of one that is gone, and not among its own
        // neighbours.
        let here = (degree + 2).saturating_sub(reached(gone));
        let most = here.min((degree + 1).saturating_sub(reached(gone.saturating_sub(1))));
        let bad = faults.dropout + faults.corrupt;
        let split = degree < others
            && 0.5 * bad.powi(degree as i32) * (clients as f64).powi(2) > allowed * clients as f64;
        if !split && least.max(2) <= most {
            return Ok(Plan { degree: degree as usize, threshold: most as usize });
        }
    }
    Err(SecaggError::setting(
        "faults",
        format!(
            "no graph of {clients} clients bears a dropout of {} with {} corrupt; raise `dense` to {clients} \
             at least, so that all clients are neighbours, or lower `faults.dropout`",
            faults.dropout, faults.corrupt
        ),
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tails_are_those_of_counting() {
        // Two of five marked, three drawn: P[X >= x] = 1, 9/10, 3/10, 0 for x = 0 to 3.
        for (allowed, expected) in
            [(1.01, 0), (0.95, 1), (0.9001, 1), (0.8999, 2), (0.3001, 2), (0.2999, 3), (0.0, 3)]
        {
            assert_eq!(bound(5, 2, 3, allowed), expected, "{allowed}");
        }
    }

    #[test]
    fn sparse_graphs_are_sparse_and_small_ones_complete() {
        let of = |clients, faults: &Faults| plan(clients, faults).unwrap();
        let faults = Faults::default();
        assert_eq!(of(10, &faults), Plan { degree: 9, threshold: 7 });
        let thousand = of(1000, &faults);
        assert!(thousand.degree % 2 == 0 && thousand.degree < 100, "{thousand:?}");
        assert!(of(100_000, &faults).degree < 2 * thousand.degree);
        let active = Faults { dropout: 0.1, corrupt: 0.05, server: Adversary::Active, ..faults };
        for clients in [50, 100, 1000] {
            let plan = of(clients, &active);
            assert!(2 * plan.threshold > plan.degree + 1, "{plan:?}");
        }
        let hopeless = Faults { dropout: 0.6, server: Adversary::Active, ..faults };
        let error = plan(1000, &hopeless).unwrap_err().to_string();
        assert!(error.contains("raise `dense` to 1000 at least"), "{error}");
        assert!(plan(1000, &Faults { corrupt: f64::NAN, ..faults }).is_err());
    }

    /// With a few bits the events happen often enough to be counted.
    #[test]
    fn graphs_fail_as_rarely_as_planned() {
        let faults = Faults { bits: 4, ..Faults::default() };
        let (count, rounds) = (100, 500);
        let plan = plan(count, &faults).unwrap();
        let (mut short, mut surrounded) = (0, 0);
        for round in 0..rounds {
            let mut seed = [0; 32];
            seed[..4].copy_from_slice(&u32::to_le_bytes(round));
            let graph = crate::graph::all(&seed, count, plan.degree);
            // The first 30 drop out, the last 10 are corrupt: the graph is in random order.
            let near =
                |i: usize, of: &dyn Fn(u32) -> bool| graph[i].iter().filter(|j| of(**j)).count();
            let holders = |i: usize| near(i, &|j| j >= 30) + usize::from(i >= 30);
            short += u32::from((0..count).any(|i| holders(i) < plan.threshold));
            surrounded += u32::from((0..90).any(|i| near(i, &|j| j >= 90) + 1 >= plan.threshold));
        }
        // Each of two kinds of client can be short: at most 2/16 and 1/16 of 500, and four standard deviations.
        assert!(short <= 62 + 30 && surrounded <= 31 + 22, "{plan:?}: {short} {surrounded}");
    }

    /// Also where all clients are neighbours, and nothing is planned for them.
    #[test]
    fn faults_are_checked() {
        let of = |dropout, corrupt, bits| Faults { dropout, corrupt, bits, ..Faults::default() };
        assert!(Faults::default().check().is_ok());
        for (faults, words) in [
            (of(f64::NAN, 0.0, 30), "faults.dropout: NaN"),
            (of(0.0, 1.0, 30), "faults.corrupt: 1"),
            (of(0.9, 0.9, 30), "faults: dropout and corrupt are 1.8 together"),
            (of(0.3, 0.1, 100_000), "faults.bits: 100000"),
        ] {
            let error = faults.check().unwrap_err().to_string();
            assert!(error.starts_with(words), "{error}");
        }
    }
}

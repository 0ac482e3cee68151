use std::num::NonZeroUsize;

use clap::{Args, Subcommand, ValueEnum};
use flora::privacy::{Accountant, Mechanism, Sampling};
use flora::report::units::bound;
use serde::Serialize;

use crate::failure::Failure;
use crate::output;

/// Plan differential privacy: compute the budget of a noise level, or the noise for a budget
///
/// In each round, each client takes part with a probability and clips its update to a norm, and the server adds
/// Gaussian noise to the sum. The guarantee is per client: without any one of them, each result would be almost as
/// likely.
///
/// To plan for individual images instead (`kind = "sample"`), give the number of steps as --rounds, and the batch size
/// divided by the number of a client's images as --rate; the guarantee is then per image. Ten rounds of one epoch on
/// 600 images in batches of 32 are 190 steps: `flora privacy noise --epsilon 8 --rate 0.0533 --rounds 190`.
#[derive(Debug, Args)]
pub(crate) struct Privacy {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Compute the epsilon that rounds with a given noise spend
    Epsilon {
        /// The noise multiplier: the noise's standard deviation divided by the clipping norm
        #[arg(long, value_name = "Z", allow_negative_numbers = true)]
        noise: f64,
        #[command(flatten)]
        rounds: Rounds,
    },
    /// Compute the smallest noise multiplier that stays within an epsilon
    Noise {
        /// The budget
        #[arg(long, value_name = "E", allow_negative_numbers = true)]
        epsilon: f64,
        #[command(flatten)]
        rounds: Rounds,
    },
}

#[derive(Debug, Args)]
struct Rounds {
    /// The probability that a client takes part in a round
    #[arg(long, value_name = "Q", default_value_t = 1.0, allow_negative_numbers = true)]
    rate: f64,
    /// How the participants of a round are drawn
    #[arg(long, value_enum, default_value_t)]
    sampling: Draw,
    /// The number of rounds
    #[arg(long, value_name = "N")]
    rounds: usize,
    /// The probability that the privacy loss exceeds epsilon; below one divided by the number of clients
    #[arg(long, value_name = "D", default_value_t = 1e-5, allow_negative_numbers = true)]
    delta: f64,
    /// The accountant, which composes the privacy loss of rounds
    #[arg(long, value_enum, default_value_t)]
    accountant: Kind,
    /// The number of clients, to estimate how much of the updates remains under the noise
    #[arg(long, value_name = "N")]
    clients: Option<NonZeroUsize>,
    /// The number of values in an update; 24,576 for the paper's adapter of ViT-B/32
    #[arg(long, value_name = "N", default_value = "24576")]
    numbers: NonZeroUsize,
    /// Print a JSON object
    #[arg(long)]
    json: bool,
}

#[derive(Debug, Clone, Copy, Default, ValueEnum)]
enum Kind {
    /// Rényi differential privacy: fast, slightly too large
    Rdp,
    /// The distribution of the privacy loss: nearly tight
    #[default]
    Pld,
    /// The exact formula of the Gaussian mechanism, for full participation only
    Exact,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, ValueEnum)]
enum Draw {
    /// Each client independently
    #[default]
    Poisson,
    /// A fixed number of clients, without replacement; needs `--accountant rdp`
    Fixed,
}

impl Rounds {
    /// Checks that the delta protects each of the clients. Before the accountant, which may take seconds.
    fn check_delta(&self) -> Result<(), Failure> {
        let delta = self.delta;
        if let Some(clients) = self.clients.filter(|it| delta >= 1.0 / it.get() as f64) {
            let least = 1.0 / clients.get() as f64;
            let problem = format!(
                "--delta: {delta:e} is not below {least:e}, one divided by the number of clients: the guarantee \
                 would permit revealing everything about a client"
            );
            return Err(Failure::Input(problem));
        }
        Ok(())
    }

    fn mechanism(&self, noise: f64) -> Mechanism {
        let sampling = match self.sampling {
            Draw::Poisson => Sampling::Poisson,
            Draw::Fixed => Sampling::Fixed,
        };
        Mechanism { rate: self.rate, noise, rounds: self.rounds, sampling }
    }
}

impl From<Kind> for Accountant {
    fn from(kind: Kind) -> Self {
        match kind {
            Kind::Rdp => Self::Rdp,
            Kind::Pld => Self::Pld,
            Kind::Exact => Self::Exact,
        }
    }
}

/// The result, for other programs.
#[derive(Serialize)]
struct Answer {
    epsilon: f64,
    delta: f64,
    noise: f64,
    rate: f64,
    rounds: usize,
    sampling: Sampling,
    accountant: Accountant,
    #[serde(skip_serializing_if = "Option::is_none")]
    noise_on_the_mean: Option<f64>,
}

impl Privacy {
    pub(crate) fn run(self) -> Result<(), Failure> {
        let (Command::Epsilon { rounds, .. } | Command::Noise { rounds, .. }) = &self.command;
        rounds.check_delta()?;
        let (rounds, noise) = match self.command {
            Command::Epsilon { noise, rounds } => (rounds, noise),
            Command::Noise { epsilon, rounds } => {
                let accountant = Accountant::from(rounds.accountant);
                let found = accountant.noise(rounds.mechanism(0.0), epsilon, rounds.delta);
                (rounds, found.map_err(option)?)
            }
        };
        let &Rounds { rate, rounds: count, delta, numbers, .. } = &rounds;
        let accountant = Accountant::from(rounds.accountant);
        let mechanism = rounds.mechanism(noise);
        let epsilon = accountant.epsilon(&mechanism, delta).map_err(option)?;
        let root = (numbers.get() as f64).sqrt();
        let on_the_mean = |clients: NonZeroUsize| noise * root / (rate * clients.get() as f64);
        let noise_on_the_mean = rounds.clients.map(on_the_mean);
        if rounds.json {
            return output::json(&Answer {
                epsilon,
                delta,
                noise,
                rate,
                rounds: count,
                sampling: mechanism.sampling,
                accountant,
                noise_on_the_mean,
            });
        }
        output::line(format_args!("epsilon  {} at delta {delta:e}", bound(epsilon)));
        output::line(format_args!("noise    {} times the clipping norm", bound(noise)));
        output::line(format_args!("rounds   {count}, {}", drawn(&rounds)));
        if let (Some(clients), Some(norm)) = (rounds.clients, noise_on_the_mean) {
            output::line(useless(clients, norm, on_the_mean(NonZeroUsize::MIN)));
        }
        Ok(())
    }
}

/// The sampling in words.
fn drawn(rounds: &Rounds) -> String {
    match (rounds.rate, rounds.sampling) {
        (1.0, _) => "with every client".to_owned(),
        (rate, Draw::Poisson) => format!("each client with a probability of {rate}"),
        (rate, Draw::Fixed) => format!("a share of {rate} of the clients"),
    }
}

/// The noise on the mean of the updates, in words. `alone` is its norm with one client.
fn useless(clients: NonZeroUsize, norm: f64, alone: f64) -> String {
    let enough = alone.ceil();
    let told = format!("mean     of {clients} clients: noise of {norm:.3} times the clipping norm");
    match norm {
        norm if norm > 1.0 => format!(
            "{told}, more than any update; with {enough} clients it would be as much. Protect examples instead \
             of clients, or train fewer numbers"
        ),
        _ => told,
    }
}

/// Prefixes the error with the option's name.
fn option(error: flora::privacy::PrivacyError) -> Failure {
    Failure::Input(format!("--{error}"))
}

//! Central privacy of a run, and notes about any private run.

use flora_core::ParameterRecord;
use flora_data::Partition;
use flora_federation::{ClientInfo, Event, Registered, Selection, SelectionConfig, Strategy};
use flora_privacy::{
    Budget, Central, CentralConfig, CentralFacts, ClearMetrics, PrivacyConfig, Releases, Sampling,
};
use flora_secagg::{Config, MOST_EXAMPLES, Policy};

use crate::experiment::FederationConfig;
use crate::prepare::refused;
use crate::run::trainers_of;
use crate::travel::Noise;
use crate::{Experiment, TuningError};

/// Wraps the strategy so that it receives noised means, and removes reports about single replies.
pub(crate) fn central(
    experiment: &Experiment,
    strategy: Box<dyn Strategy>,
    config: &CentralConfig,
    (initial, infos): (&ParameterRecord, &[ClientInfo]),
    (noise, releases): (&Noise, Releases),
) -> Result<(Box<dyn Strategy>, Vec<Event>), TuningError> {
    let (federation, clients) = (&experiment.federation, trainers_of(infos));
    let (rate, sampling) = match federation.selection {
        SelectionConfig::Poisson { rate } => (rate, Sampling::Poisson),
        _ => (federation.selector().count(clients) as f64 / clients as f64, Sampling::Fixed),
    };
    let budget = config.budget(rate, sampling, experiment.rounds());
    let budget = budget.map_err(|error| experiment.private(error))?;
    let answered = federation.strategy.clone();
    let numbers = answered.answered(initial).num_parameters();
    let mut told = told(experiment, noise, infos);
    told.extend(plan(&budget, clients, numbers));
    let secret = noise.secret(experiment, "of the server")?;
    let facts = CentralFacts {
        budget,
        clip: config.clip,
        adaptive: config.adaptive,
        clients,
        is_answered: Box::new(move |name| answered.is_answered(name)),
        secret,
        releases,
    };
    let central = Central::new(strategy, facts);
    central.check().map_err(|error| refused(experiment, error.to_string()))?;
    Ok((Box::new(central), told))
}

/// The selection of clients with central privacy: a fraction is one of all registered clients, because the accounted
/// rate must not depend on who is present.
pub(crate) fn selection(
    federation: &FederationConfig,
    clients: &[ClientInfo],
) -> Box<dyn Selection> {
    let trainers: Vec<_> = clients.iter().filter(|it| it.num_examples > 0).cloned().collect();
    match federation.selection {
        SelectionConfig::Fraction {} => Box::new(Registered::new(federation.selector(), &trainers)),
        _ => federation.selection(),
    }
}

/// The cost of central privacy, in words.
fn plan(budget: &Budget, clients: usize, numbers: usize) -> Vec<Event> {
    let Budget { mechanism, delta, .. } = budget;
    let norm = mechanism.noise * (numbers as f64).sqrt() / (mechanism.rate * clients as f64);
    let message = format!(
        "privacy: noise of {:.4} times the clipping norm, {} rounds; on the mean of a round, noise with a norm of {norm:.2} times \
         that of the largest update",
        mechanism.noise, mechanism.rounds
    );
    let mut told = vec![Event::Note { message }];
    if norm > 1.0 {
        told.push(Event::Warning {
            message: format!(
                "privacy: with {clients} clients and {numbers} numbers the noise is more than any update; protect \
                 examples (kind = \
                 \"sample\"), train fewer numbers, or have more clients"
            ),
        });
    }
    if *delta >= 1.0 / clients as f64 {
        told.push(Event::Warning {
            message: format!(
                "privacy: delta = {delta:e} is not below one divided by the number of clients, {clients}: the \
                 guarantee would permit revealing everything about a \
                 client"
            ),
        });
    }
    told
}

/// Notes about a run with privacy.
pub(crate) fn told(experiment: &Experiment, noise: &Noise, clients: &[ClientInfo]) -> Vec<Event> {
    let Some(privacy) = &experiment.federation.privacy else { return Vec::new() };
    let mut told = Vec::new();
    if matches!(noise, Noise::Seeded) {
        let message = "privacy: a simulation draws its noise from the experiment's seed, so that it can be \
                       repeated; anyone who knows the \
                       seed can remove the noise. flora serve and flora node draw theirs from the operating system";
        told.push(Event::Note { message: message.to_owned() });
    }
    let images =
        clients.iter().map(|client| client.num_examples).filter(|&images| images > 0).min();
    if let (PrivacyConfig::Sample(config), Some(images)) = (privacy, images)
        && config.delta >= 1.0 / images as f64
    {
        let message = format!(
            "privacy: delta = {:e} is not below one divided by the number of a client's images, {images}: the \
             guarantee would permit revealing everything about an image",
            config.delta
        );
        told.push(Event::Warning { message });
    }
    if privacy.metrics() == ClearMetrics::Clear {
        let message = "privacy: clients report losses and norms without noise (federation.privacy.metrics = \
                       \"clear\"), and no \
                       budget covers these";
        told.push(Event::Warning { message: message.to_owned() });
    }
    told
}

/// Checks whether these clients can use secure aggregation, before the long work of a round. Returns a warning if sites
/// refuse the thresholds unless their policies allow them.
pub(crate) fn check_secure(
    experiment: &Experiment,
    infos: &[ClientInfo],
    noise: &Noise,
) -> Result<Vec<Event>, TuningError> {
    let federation = &experiment.federation;
    let Some(secure) = &federation.secure else { return Ok(Vec::new()) };
    let clients = trainers_of(infos);
    let (selection, rounds) = (federation.selector(), experiment.rounds());
    let count = match federation.selection {
        SelectionConfig::Poisson { .. } => clients,
        ref other => other.fewest(selection, clients, rounds),
    };
    // As in a round: clients that register more do not take part.
    let examples = infos.iter().map(|info| info.num_examples as u64);
    let most = examples.filter(|examples| *examples <= MOST_EXAMPLES).max().unwrap_or(1);
    let secure = match secure.max_weight {
        0 | 1 => &Config { max_weight: most.max(1), ..secure.clone() },
        _ => secure,
    };
    secure.check(count, &Policy { majority: false, ..Policy::default() }).map_err(|error| {
        let problem = format!("federation.secure: with {count} clients in a round: {error}");
        refused(experiment, problem)
    })?;
    if matches!(noise, Noise::Seeded) {
        return Ok(Vec::new());
    }
    let warned = secure.check(count, &Policy::default()).err().map(|error| Event::Warning {
        message: format!(
            "federation.secure: with {count} clients in a round, sites refuse the plan unless their policies have \
             allow_minority: {error}"
        ),
    });
    Ok(warned.into_iter().collect())
}

/// Checks whether images can be protected under this partition.
pub(crate) fn check_partition(
    experiment: &Experiment,
    partition: &Partition,
) -> Result<(), TuningError> {
    let hides = matches!(experiment.federation.privacy, Some(PrivacyConfig::Sample(_)));
    match hides && partition.class_groups.is_some() {
        false => Ok(()),
        true => Err(refused(
            experiment,
            "federation.privacy: an image is compared with the classes of its group only, which its gradient would \
             reveal; choose a partition without groups"
                .to_owned(),
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn checked(examples: &[usize], noise: &Noise) -> Result<Vec<Event>, TuningError> {
        let text = "name = 'noise'\nmodel.path = 'm'\ndata.path = 'd'\nfederation.secure = {}\n\
                    partition = { kind = 'natural' }";
        let experiment = Experiment::from_toml("noise.toml", text, &[]).unwrap();
        let info = |(number, &num_examples): (usize, &usize)| ClientInfo {
            id: format!("client {number}"),
            num_examples,
            num_test_examples: 1,
        };
        let infos: Vec<_> = examples.iter().enumerate().map(info).collect();
        check_secure(&experiment, &infos, noise)
    }

    #[test]
    fn masks_are_checked_with_the_real_numbers_of_examples() {
        assert!(checked(&[12; 5], &Noise::Fresh).unwrap().is_empty());
        // One client that lies is left out of the rounds, and does not keep the run from beginning.
        assert!(checked(&[12, 12, 12, 12, 1 << 40], &Noise::Fresh).unwrap().is_empty());
        // The total of these is beyond 2^32: known before the first round.
        let error = checked(&[1 << 23; 1000], &Noise::Fresh).unwrap_err().to_string();
        assert!(
            error.contains("federation.secure: with 1000 clients in a round: max_weight"),
            "{error}"
        );
    }

    #[test]
    fn thresholds_that_sites_refuse_are_told_at_the_start() {
        let told = checked(&[12; 1000], &Noise::Fresh).unwrap();
        let [Event::Warning { message }] = &told[..] else { panic!("{told:?}") };
        assert!(message.contains("allow_minority") && message.contains("35 of 95"), "{message}");
        assert!(checked(&[12; 1000], &Noise::Seeded).unwrap().is_empty());
    }
}

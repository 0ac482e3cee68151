//! Computes the attackers' replies from the trained updates of all clients.

use std::{collections::BTreeMap, sync::Arc};

use flora_core::{HostTensor, ParameterRecord, RecordError, seed};
use rand::RngExt;

use super::{
    Attack,
    normal::{normal, quantile},
};
use crate::{Answer, Message, PARAMETERS};

/// Updates, by name: shape and values.
type Updates = BTreeMap<String, (Vec<usize>, Vec<f64>)>;

impl Attack {
    /// Replaces the replies of `attackers`, which know those of `honest`. Both are sorted by client and hold only
    /// replies of this round.
    pub(super) fn replace(
        self,
        seed: u64,
        attackers: Vec<(&Message, &mut Answer)>,
        honest: &[(&Message, &Answer)],
    ) {
        let collusion = match self {
            Self::LabelFlip {} => return,
            Self::LittleIsEnough { z } => {
                let usual = || z_max(honest.len() + attackers.len(), attackers.len());
                let z = z.unwrap_or_else(usual);
                common(honest, |mean, std| mean - z * std)
            }
            Self::InnerProduct { epsilon } => common(honest, |mean, _| -epsilon * mean),
            _ => Updates::new(),
        };
        for (sent, answer) in attackers {
            let noise = format!(
                "faults {} noise round {} attempt {}",
                answer.client, answer.round, answer.attempt
            );
            let change = |name: &str, shape: &[usize], update: &mut [f64]| match self {
                Self::SignFlip { factor } => update.iter_mut().for_each(|it| *it *= -factor),
                Self::Scaled { factor } => update.iter_mut().for_each(|it| *it *= factor),
                Self::GaussianNoise { std } => {
                    let mut random = seed::stream(seed, &format!("{noise} tensor {name}"));
                    update.iter_mut().for_each(|it| *it = std * normal(random.random()));
                }
                _ => match collusion.get(name) {
                    Some((same, values)) if same == shape => update.copy_from_slice(values),
                    // No honest client sent such a tensor.
                    _ => {}
                },
            };
            let Ok(message) = &mut answer.result else { continue };
            if let Some(sent) = sent.get_parameters()
                && let Some(trained) = message.records.get_mut(PARAMETERS)
                && let Ok(changed) = changed(sent, trained, change)
            {
                *trained = Arc::new(changed);
            }
        }
    }
}

/// The record with replaced updates.
fn changed(
    sent: &ParameterRecord,
    trained: &ParameterRecord,
    change: impl Fn(&str, &[usize], &mut [f64]),
) -> Result<ParameterRecord, RecordError> {
    let mut record = ParameterRecord::new();
    for (name, tensor) in trained.iter() {
        let Some((before, mut update)) = update(sent, name, tensor) else {
            record.insert(name, tensor.clone())?;
            continue;
        };
        change(name, tensor.shape(), &mut update);
        let before = before.to_f32();
        let values = before.iter().zip(update).map(|(x, by)| (f64::from(*x) + by) as f32);
        let tensor = HostTensor::from_f32(tensor.shape(), values.collect())?.cast(tensor.dtype());
        record.insert(name, tensor)?;
    }
    Ok(record)
}

/// The sent tensor and its update by training; `None` if no tensor of that shape was sent.
fn update<'a>(
    sent: &'a ParameterRecord,
    name: &str,
    trained: &HostTensor,
) -> Option<(&'a HostTensor, Vec<f64>)> {
    let before = sent.get(name).filter(|before| before.shape() == trained.shape())?;
    let (from, to) = (before.to_f32(), trained.to_f32());
    let update = to.iter().zip(from.iter()).map(|(to, from)| f64::from(*to) - f64::from(*from));
    Some((before, update.collect()))
}

/// The update of all attackers that know the honest updates: for each value, a function of its mean and population
/// standard deviation. Tensors of the same name with another shape are left out.
fn common(honest: &[(&Message, &Answer)], made: impl Fn(f64, f64) -> f64) -> Updates {
    let parameters = |&(sent, answer): &(&Message, &Answer)| {
        let trained = answer.result.as_ref().ok()?.get_parameters()?;
        // An attacker ignores a model that diverged.
        trained.check_finite().is_ok().then_some(())?;
        Some((Arc::clone(sent.get_parameters()?), Arc::clone(trained)))
    };
    let honest: Vec<_> = honest.iter().filter_map(parameters).collect();
    let mut updates = Updates::new();
    for (_, some) in &honest {
        for (name, tensor) in some.iter() {
            if updates.contains_key(name) {
                continue;
            }
            let theirs = || {
                honest.iter().filter_map(|(sent, trained)| {
                    let trained = trained.get(name).filter(|it| it.shape() == tensor.shape())?;
                    Some(update(sent, name, trained)?.1)
                })
            };
            let Some(mean) = means(theirs(), |x, _| x) else { continue };
            let variance = means(theirs(), |x, at| (x - mean[at]).powi(2)).unwrap_or_default();
            let made = mean.iter().zip(variance).map(|(mean, it)| made(*mean, it.sqrt()));
            updates.insert(name.to_owned(), (tensor.shape().to_vec(), made.collect()));
        }
    }
    updates
}

/// The mean over updates of a function of each value and its position; `None` without updates.
fn means(
    updates: impl Iterator<Item = Vec<f64>>,
    of: impl Fn(f64, usize) -> f64,
) -> Option<Vec<f64>> {
    let mut sums: Option<Vec<f64>> = None;
    let mut count = 0.0;
    for update in updates {
        count += 1.0;
        let sums = sums.get_or_insert_with(|| vec![0.0; update.len()]);
        for (at, (sum, x)) in sums.iter_mut().zip(update).enumerate() {
            *sum += of(x, at);
        }
    }
    Some(sums?.into_iter().map(|sum| sum / count).collect())
}

/// The largest `z` of [`Attack::LittleIsEnough`] with which the attackers stay closer to the mean than as many honest
/// clients as they need for a majority of `clients`.
fn z_max(clients: usize, attackers: usize) -> f64 {
    let honest = clients - attackers;
    // Attackers that are the majority need no honest clients, and any `z` would do.
    let supporters = (clients / 2 + 1).saturating_sub(attackers).max(1);
    match honest.saturating_sub(supporters) {
        // A single honest client has no deviation.
        0 => 0.0,
        others => quantile(others as f64 / honest as f64),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::*;

    #[test]
    fn z_is_that_of_the_paper() {
        let fixture: Value =
            serde_json::from_str(include_str!("../../tests/fixtures/attacks.json")).unwrap();
        for row in fixture["z_max"].as_array().unwrap() {
            let count = |name: &str| row[name].as_u64().unwrap() as usize;
            let (clients, attackers) = (count("clients"), count("attackers"));
            let found = z_max(clients, attackers);
            match row["z"].as_f64() {
                Some(z) => assert!((found - z).abs() < 1e-9, "{row}: {found}"),
                // No honest client has to be outdone; the result is that for one.
                None => {
                    let honest = (clients - attackers) as f64;
                    let expected =
                        if honest > 1.0 { quantile((honest - 1.0) / honest) } else { 0.0 };
                    assert_eq!(found, expected, "{row}");
                }
            }
        }
        assert_eq!(z_max(2, 1), 0.0);
        assert_eq!(z_max(3, 3), 0.0);
    }
}

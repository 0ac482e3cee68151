//! The trust boundary: checks on replies before a strategy sees them.

use std::sync::Arc;

use flora_core::ParameterRecord;

use crate::{
    Accepted, Answer, CheckError, ClientInfo, Failure, Message, PARAMETERS, Reason, Strategy,
};

/// If the user sets no bound, an update is rejected if its norm exceeds this multiple of its round's median. Honest
/// clients differ by the ratio of their numbers of steps, a few hundred at most.
const TIMES_THE_MEDIAN: f64 = 1_000.0;

/// An update is also rejected if its norm exceeds this multiple of the parameters' norm: the training exploded, however
/// many clients agree. One is added for parameters that start at zero.
const TIMES_THE_PARAMETERS: f64 = 1_000.0;

/// The fewest updates whose median a single client cannot choose.
const FEWEST_FOR_MEDIAN: usize = 3;

/// A reply that passed the checks on a single reply. Its update is compared with the others once all of the round
/// have arrived.
pub(crate) struct Checked {
    pub(crate) accepted: Accepted,
    /// The L2 norm of the update to the parameters.
    pub(crate) norm: f64,
    /// The L2 norm of the update to all other records.
    pub(crate) others: f64,
}

/// The default of [`Strategy::check`]: the same records as sent, with the same names, shapes and element types, and
/// finite.
pub(crate) fn same_records(sent: &Message, answer: &Message) -> Result<(), CheckError> {
    for (name, record) in &sent.records {
        let Some(found) = answer.records.get(name) else {
            return Err(CheckError::Missing { name: name.clone() });
        };
        found.check_matches(record)?;
        found.check_dtypes(record)?;
    }
    match answer.records.keys().find(|name| !sent.records.contains_key(*name)) {
        Some(name) => Err(CheckError::Unexpected { name: name.clone() }),
        None => Ok(answer.records.values().try_for_each(|record| record.check_finite())?),
    }
}

/// Checks a single reply to a training task.
pub(crate) fn check(
    answer: &Answer,
    round: usize,
    info: &ClientInfo,
    sent: &Message,
    strategy: &dyn Strategy,
) -> Result<Checked, Failure> {
    let refuse = |message: String| Failure { reason: Reason::Refused, message };
    let message = answer.result.as_ref().map_err(Failure::clone)?;
    if answer.round != round {
        return Err(refuse(format!("it replies to round {}, not {round}", answer.round)));
    }
    let Some(num_examples) = message.num_examples() else {
        let told = message.metrics.get(crate::NUM_EXAMPLES);
        let told = told.map_or("no metric".to_owned(), |number| format!("{number} as"));
        return Err(refuse(format!(
            "its reply has {told} `{}`; it must be a whole number",
            crate::NUM_EXAMPLES
        )));
    };
    // It would count towards the quorum, but weigh nothing.
    if num_examples == 0 {
        return Err(refuse("it claims to have trained on 0 examples".to_owned()));
    }
    // Otherwise a client could outweigh all others by a false claim.
    if num_examples > info.num_examples {
        return Err(refuse(format!(
            "it claims {num_examples} training examples, but registered with {}",
            info.num_examples
        )));
    }
    strategy.check(sent, message).map_err(|error| refuse(error.to_string()))?;
    let Some(parameters) = message.get_parameters() else {
        return Err(refuse("its reply has no record `parameters`".to_owned()));
    };
    let accepted = Accepted {
        client: info.clone(),
        sent: sent.clone(),
        num_examples,
        parameters: Arc::clone(parameters),
        message: message.clone(),
    };
    let moved = |(name, sent): (&String, &Arc<ParameterRecord>)| {
        message.records.get(name).map_or(0.0, |answered| sent.distance(answered))
    };
    let (parameters, others): (Vec<_>, Vec<_>) =
        sent.records.iter().partition(|(name, _)| *name == PARAMETERS);
    let norm = |records: Vec<_>| {
        records.into_iter().map(moved).map(|norm| norm * norm).sum::<f64>().sqrt()
    };
    Ok(Checked { accepted, norm: norm(parameters), others: norm(others) })
}

/// The largest accepted norm of an update in a round with updates of these norms, for parameters of norm `sent`.
pub(crate) fn bound(asked: Option<f64>, sent: f64, norms: impl Iterator<Item = f64>) -> f64 {
    if let Some(bound) = asked {
        return bound;
    }
    let largest = TIMES_THE_PARAMETERS * (1.0 + sent);
    // A client whose loss has no gradient moves nothing, and its norm of 0 tells nothing about the others.
    let mut moved: Vec<f64> = norms.filter(|&norm| norm > 0.0).collect();
    if moved.len() < FEWEST_FOR_MEDIAN {
        return largest;
    }
    moved.sort_by(f64::total_cmp);
    largest.min(TIMES_THE_MEDIAN * moved[(moved.len() - 1) / 2])
}

#[cfg(test)]
mod tests {
    use flora_core::{Dtype, HostTensor};

    use super::*;
    use crate::{FedAvg, Kind, Metrics, Task};

    fn record(name: &str, values: &[f32]) -> ParameterRecord {
        let mut record = ParameterRecord::new();
        let tensor = HostTensor::from_f32([values.len()], values.to_vec()).unwrap();
        record.insert(name, tensor).unwrap();
        record
    }

    fn refusal(change: impl FnOnce(&mut Answer)) -> String {
        let sent = Message::parameters(Arc::new(record("w", &[1.0, 1.0])));
        let message = Message::trained(record("w", &[1.0, 2.0]), 10, Metrics::new());
        let client = "a".to_owned();
        let info = ClientInfo { id: client.clone(), num_examples: 10, num_test_examples: 0 };
        let task = Task { client, round: 3, attempt: 0, kind: Kind::Train, message: sent.clone() };
        let mut answer = Answer::new(&task, Ok(message));
        let good = check(&answer, 3, &info, &sent, &FedAvg).unwrap();
        assert_eq!((good.norm, good.accepted.num_examples), (1.0, 10));
        change(&mut answer);
        let failure = check(&answer, 3, &info, &sent, &FedAvg).err().expect("refused");
        assert_eq!(failure.reason, Reason::Refused);
        failure.message
    }

    fn with(change: impl FnOnce(&mut Message)) -> String {
        refusal(|answer| change(answer.result.as_mut().unwrap()))
    }

    fn parameters(record: ParameterRecord) -> String {
        with(|message| {
            message.records.insert(crate::PARAMETERS.to_owned(), Arc::new(record));
        })
    }

    #[test]
    fn every_check_says_what_is_wrong() {
        for (message, words) in [
            (refusal(|answer| answer.round = 2), "it replies to round 2, not 3"),
            (
                with(|message| {
                    message.metrics.insert(crate::NUM_EXAMPLES.to_owned(), 11.0);
                }),
                "claims 11 training examples, but registered with 10",
            ),
            (
                with(|message| {
                    message.metrics.insert(crate::NUM_EXAMPLES.to_owned(), f64::NAN);
                }),
                "NaN as `num-examples`",
            ),
            (
                with(|message| {
                    message.metrics.insert(crate::NUM_EXAMPLES.to_owned(), 0.0);
                }),
                "on 0 examples",
            ),
            (with(|message| message.metrics.clear()), "no metric `num-examples`"),
            (with(|message| message.records.clear()), "record `parameters` is missing"),
            (
                with(|message| {
                    message.records.insert("more".to_owned(), Arc::default());
                }),
                "unexpected record `more`",
            ),
            (parameters(record("v", &[1.0, 2.0])), "tensor `w` is missing"),
            (parameters(record("w", &[1.0])), "expected [2]"),
            (parameters(record("w", &[1.0, f32::INFINITY])), "holds inf"),
            (
                parameters(record("w", &[1.0, 2.0]).cast(Dtype::F16)),
                "element type f16, expected f32",
            ),
        ] {
            assert!(message.contains(words), "{message}");
        }
    }

    #[test]
    fn the_bound_follows_the_parameters_and_the_median_of_those_who_moved() {
        assert_eq!(bound(Some(0.5), 1.0, [9.0].into_iter()), 0.5);
        assert_eq!(bound(None, 3.0, [0.0, 1e30, 1.0].into_iter()), 4_000.0);
        assert_eq!(bound(None, 3.0, [0.0, 0.0, 2.0, 1e30, 1.0, 3.0].into_iter()), 2_000.0);
        assert_eq!(bound(None, 0.0, [1e30, 1e30, 1e30].into_iter()), 1_000.0);
    }
}

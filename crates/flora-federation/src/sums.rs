use std::collections::BTreeSet;
use std::sync::Arc;

use flora_core::{HostTensor, ParameterRecord};

use crate::{
    Accepted, Aggregate, ClientInfo, Global, Kind, Message, Strategy, StrategyError, Value,
};

/// Sums over the examples of all clients: the strategy for methods with a closed-form solution from such sums.
///
/// A client replies with the mean over its `n_k` training examples, whose norm does not grow with their number; the
/// next global record is the current one plus `sum_k n_k x_k`. [`FedAvg`](crate::FedAvg) would compute the
/// example-weighted mean of the same replies, so a server other than flora's gets these sums divided by the number of
/// all examples.
///
/// Each client is counted once, in whatever number of rounds: its later replies change nothing. A [`Kind::Train`] task
/// contains zeros, because a client does not need the others' sums to compute its own.
///
/// Sums are taken in f64 and in the order of the client ids.
///
/// ```
/// use flora_federation::{Strategy, Sums};
///
/// assert_eq!(Sums::new().name(), "sums");
/// assert_eq!(Sums::new().subtracting().name(), "sums-subtracting");
/// ```
#[derive(Debug, Clone, Default)]
pub struct Sums {
    counted: BTreeSet<String>,
    subtracts: bool,
    /// The zeros that every training client is sent.
    zeros: Option<Arc<ParameterRecord>>,
}

/// The setting of the state with the counted clients, as a JSON list.
const COUNTED: &str = "counted";

/// Relative to a subtracted part, the rest of a sum in f32 that is rounding error.
const ROUNDING: f64 = 1e-6;

impl Sums {
    /// Sums without any counted client.
    pub fn new() -> Self {
        Self::default()
    }

    /// Subtracts the sums of clients instead: they leave, and the global record becomes, up to rounding, as if they had
    /// never taken part.
    #[must_use]
    pub fn subtracting(self) -> Self {
        Self { subtracts: true, ..self }
    }

    /// The counted clients.
    pub fn counted(&self) -> &BTreeSet<String> {
        &self.counted
    }

    /// The counted clients in a [`state`](Strategy::state); `None` if it belongs to another strategy.
    pub fn counted_in(state: &Message) -> Option<BTreeSet<String>> {
        let Some(Value::Text(counted)) = state.config.get(COUNTED) else { return None };
        serde_json::from_str(counted).ok()
    }

    fn moved(&self, before: f32, sum: f64) -> f32 {
        let before = f64::from(before);
        if !self.subtracts {
            return (before + sum) as f32;
        }
        let left = before - sum;
        if left.abs() <= ROUNDING * sum.abs() { 0.0 } else { left as f32 }
    }
}

impl Strategy for Sums {
    fn name(&self) -> &str {
        if self.subtracts { "sums-subtracting" } else { "sums" }
    }

    fn instruct(&mut self, global: &Global, _client: &ClientInfo, kind: &Kind) -> Message {
        let parameters = match kind {
            Kind::Train => {
                let made =
                    self.zeros.take().filter(|it| it.check_matches(&global.parameters).is_ok());
                let zeros = made.unwrap_or_else(|| Arc::new(zeros(&global.parameters)));
                Arc::clone(self.zeros.insert(zeros))
            }
            _ => Arc::clone(&global.parameters),
        };
        Message::parameters(parameters)
    }

    fn aggregate(
        &mut self,
        global: &Global,
        accepted: &[Accepted],
    ) -> Result<Aggregate, StrategyError> {
        let new = |answer: &&Accepted| !self.counted.contains(&answer.client.id);
        let new: Vec<&Accepted> = accepted.iter().filter(new).collect();
        let mut parameters = ParameterRecord::new();
        for (name, tensor) in global.parameters.iter() {
            let mut sums = vec![0.0_f64; tensor.len()];
            for answer in &new {
                let weight = answer.num_examples as f64;
                let theirs = answer.parameters.get(name).expect("the answer passed the checks");
                for (sum, value) in sums.iter_mut().zip(theirs.to_f32().iter()) {
                    *sum += weight * f64::from(*value);
                }
            }
            let before = tensor.to_f32();
            let values = before.iter().zip(sums).map(|(before, sum)| self.moved(*before, sum));
            let tensor =
                HostTensor::from_f32(tensor.shape(), values.collect())?.cast(tensor.dtype());
            parameters.insert(name, tensor)?;
        }
        self.counted.extend(new.iter().map(|answer| answer.client.id.clone()));
        Ok(Aggregate::new(parameters))
    }

    fn state(&self) -> Message {
        let counted = serde_json::to_string(&self.counted).expect("plain data");
        let mut message = Message::default();
        message.config.insert(COUNTED.to_owned(), Value::Text(counted));
        message
    }

    fn restore(&mut self, state: Message) -> Result<(), StrategyError> {
        let wrong = || StrategyError::State(format!("`{COUNTED}` is not a list of clients"));
        self.counted = Self::counted_in(&state).ok_or_else(wrong)?;
        Ok(())
    }
}

fn zeros(record: &ParameterRecord) -> ParameterRecord {
    let mut zeros = ParameterRecord::new();
    for (name, tensor) in record.iter() {
        let values = vec![0.0; tensor.len()];
        let zero = HostTensor::from_f32(tensor.shape(), values).expect("as many as it has");
        zeros.insert(name, zero.cast(tensor.dtype())).expect("each name once");
    }
    zeros
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Metrics;

    fn record(values: &[f32]) -> ParameterRecord {
        let mut record = ParameterRecord::new();
        record.insert("g", HostTensor::from_f32([values.len()], values.to_vec()).unwrap()).unwrap();
        record
    }

    fn answer(id: &str, num_examples: usize, mean: &[f32]) -> Accepted {
        let message = Message::trained(record(mean), num_examples, Metrics::new());
        Accepted {
            client: ClientInfo { id: id.to_owned(), num_examples, num_test_examples: 0 },
            sent: Message::default(),
            num_examples,
            parameters: Arc::clone(message.get_parameters().unwrap()),
            message,
        }
    }

    fn round(sums: &mut Sums, global: &ParameterRecord, answers: &[Accepted]) -> ParameterRecord {
        let global = Global { round: 0, parameters: Arc::new(global.clone()) };
        sums.aggregate(&global, answers).unwrap().parameters
    }

    #[test]
    fn a_late_client_adds_its_own_and_a_leaving_one_takes_it_away() {
        let (a, b) = (answer("a", 3, &[1.0, 0.1]), answer("b", 7, &[0.5, 0.3]));
        let all = round(&mut Sums::new(), &record(&[0.0, 0.0]), &[a.clone(), b.clone()]);
        assert_eq!(
            *all.get("g").unwrap().to_f32(),
            [6.5, (3.0 * 0.1f32 as f64 + 7.0 * 0.3f32 as f64) as f32]
        );
        let mut sums = Sums::new();
        let first = round(&mut sums, &record(&[0.0, 0.0]), std::slice::from_ref(&a));
        // Counted clients are excluded.
        let second = round(&mut sums, &first, &[a.clone(), b.clone()]);
        assert!(second.distance(&all) < 1e-6, "{second:?}");
        assert_eq!(round(&mut sums, &second, &[a.clone(), b.clone()]), second);
        let left = round(&mut Sums::new().subtracting(), &all, std::slice::from_ref(&b));
        assert!(left.distance(&first) < 1e-6, "{left:?}");
        // Without clients the sums are exactly zero: a rounding error would be taken for images.
        let nobody = round(&mut Sums::new().subtracting(), &left, std::slice::from_ref(&a));
        assert_eq!(*nobody.get("g").unwrap().to_f32(), [0.0, 0.0]);
    }

    #[test]
    fn who_is_counted_is_remembered() {
        let a = answer("a", 3, &[1.0]);
        let mut sums = Sums::new();
        let once = round(&mut sums, &record(&[0.0]), std::slice::from_ref(&a));
        let mut resumed = Sums::new();
        resumed.restore(sums.state()).unwrap();
        assert_eq!(resumed.counted(), sums.counted());
        assert_eq!(round(&mut resumed, &once, &[a]), once);
        for state in [Message::default(), {
            let mut state = sums.state();
            state.config.insert(COUNTED.to_owned(), Value::Text("a".to_owned()));
            state
        }] {
            let error = sums.restore(state).unwrap_err().to_string();
            assert!(error.contains("not a list of clients"), "{error}");
        }
    }

    #[test]
    fn clients_are_sent_nothing_of_the_others_sums() {
        let global = Global { round: 1, parameters: Arc::new(record(&[5.0, 7.0])) };
        let info = answer("a", 1, &[1.0]).client;
        let mut sums = Sums::new();
        let sent = |message: Message| {
            message.get_parameters().unwrap().get("g").unwrap().to_f32().into_owned()
        };
        let first = sums.instruct(&global, &info, &Kind::Train);
        let again = sums.instruct(&global, &info, &Kind::Train);
        let same = |message: &Message| Arc::as_ptr(message.get_parameters().unwrap());
        assert_eq!(same(&first), same(&again), "one for all");
        assert_eq!(sent(first), [0.0, 0.0]);
        assert_eq!(sent(sums.instruct(&global, &info, &Kind::Evaluate)), [5.0, 7.0]);
    }
}

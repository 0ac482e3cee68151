use std::sync::Arc;

use flora_core::{HostTensor, ParameterRecord, RecordError};
use flora_federation::{
    Accepted, Aggregate, ClientInfo, Global, Kind, Message, Strategy, StrategyError,
};
use serde::{Deserialize, Serialize};

use crate::values::{self, above_zero, checked};

/// The record of a task to train, and of its answer, that holds a control variate: a tensor for each of the parameters.
pub const CONTROL: &str = "control";

/// The settings of [`Scaffold`].
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ScaffoldConfig {
    /// The server's step towards the mean of the answers, above 0; 1 is the mean itself.
    pub server_learning_rate: f64,
}

impl Default for ScaffoldConfig {
    fn default() -> Self {
        Self { server_learning_rate: 1.0 }
    }
}

impl ScaffoldConfig {
    /// Checks the settings.
    ///
    /// # Errors
    /// What is wrong, beginning with the field's name.
    pub fn check(&self) -> Result<(), String> {
        above_zero("server_learning_rate", self.server_learning_rate)
    }
}

/// SCAFFOLD (Karimireddy et al. 2019, <https://arxiv.org/abs/1910.06378>), with the control variates of its option II:
/// clients are kept from drifting towards their own optimum.
///
/// A task to train carries the server's control variate `c` as the record [`CONTROL`]. A client adds `c - c_k` to the gradient
/// of each of its K steps of SGD with the rate `eta`, where `c_k`, its own control variate, stays with it and begins as zeros. Then
/// `c_k+ = c_k - c + (x - y_k) / (K eta)` for the parameters `x` that it was sent and `y_k` that it came to. It answers `y_k`, and `c`
/// moved by as much as its own: `c + c_k+ - c_k`, so that what the round loop measures as the update is the change of both.
///
/// The server steps by plain means over the S answers, whatever the numbers of examples, as the paper does:
/// `x <- x + server_learning_rate mean(y_k - x)` and `c <- c + |S| / N mean(c_k+ - c_k)`, with N the clients that there are.
pub struct Scaffold {
    config: ScaffoldConfig,
    clients: usize,
    /// The server's; none before the first round.
    control: Option<Arc<ParameterRecord>>,
}

impl Scaffold {
    /// The rule for a federation of so many clients that may train. Settings that do not pass [`ScaffoldConfig::check`]
    /// are an error of the first aggregation.
    pub fn new(config: ScaffoldConfig, clients: usize) -> Self {
        Self { config, clients, control: None }
    }

    /// The server's, which is zero at the start.
    fn control(&mut self, parameters: &ParameterRecord) -> Arc<ParameterRecord> {
        let zeros = || {
            let mut zeros = ParameterRecord::new();
            for (name, tensor) in parameters.iter() {
                let values = vec![0.0; tensor.len()];
                let tensor = HostTensor::from_f32(tensor.shape(), values);
                zeros.insert(name, tensor.expect("as many")).expect("names of a record");
            }
            Arc::new(zeros)
        };
        Arc::clone(self.control.get_or_insert_with(zeros))
    }
}

/// A client's control variate after a round, `own - control + (sent - trained) / (steps rate)`: `own` is that of before,
/// none for zeros, `control` the server's, and `trained` what so many steps of SGD made of `sent`.
///
/// # Errors
/// A tensor of `trained` that another record does not have in its shape.
pub fn client_control(
    own: Option<&ParameterRecord>,
    control: &ParameterRecord,
    (sent, trained): (&ParameterRecord, &ParameterRecord),
    (steps, rate): (usize, f64),
) -> Result<ParameterRecord, RecordError> {
    let mut next = ParameterRecord::new();
    for (name, trained) in trained.iter() {
        let before =
            own.map(|own| own.matching(name, trained)).transpose()?.map(HostTensor::to_f32);
        let (server, sent) = (control.matching(name, trained)?, sent.matching(name, trained)?);
        let (server, from, to) = (server.to_f32(), sent.to_f32(), trained.to_f32());
        let values = (0..to.len()).map(|at| {
            let before = before.as_ref().map_or(0.0, |own| f64::from(own[at]));
            let gradient = (f64::from(from[at]) - f64::from(to[at])) / (steps as f64 * rate);
            before - f64::from(server[at]) + gradient
        });
        next.insert(name, values::rounded(values, sent)?)?;
    }
    Ok(next)
}

/// `control + after - before`, which a client answers; `before` is zero where there is none.
///
/// # Errors
/// As [`client_control`].
pub fn answered_control(
    control: &ParameterRecord,
    before: Option<&ParameterRecord>,
    after: &ParameterRecord,
) -> Result<ParameterRecord, RecordError> {
    let mut answer = ParameterRecord::new();
    for (name, after) in after.iter() {
        let server = control.matching(name, after)?;
        let before = before.map(|it| it.matching(name, after)).transpose()?.map(HostTensor::to_f32);
        let values = server
            .to_f32()
            .iter()
            .zip(after.to_f32().iter())
            .enumerate()
            .map(|(at, (server, after))| {
                let before = before.as_ref().map_or(0.0, |it| f64::from(it[at]));
                f64::from(*server) + f64::from(*after) - before
            })
            .collect::<Vec<f64>>();
        answer.insert(name, values::rounded(values, server)?)?;
    }
    Ok(answer)
}

/// `from + rate sum (to_k - from)`, tensor by tensor.
fn stepped(
    from: &ParameterRecord,
    to: &[&ParameterRecord],
    rate: f64,
) -> Result<ParameterRecord, StrategyError> {
    let mut next = ParameterRecord::new();
    for (name, old) in from.iter() {
        let start = old.to_f32();
        let mut sums = vec![0.0_f64; old.len()];
        for record in to {
            let theirs = record.matching(name, old)?.to_f32();
            for ((sum, to), from) in sums.iter_mut().zip(theirs.iter()).zip(start.iter()) {
                *sum += f64::from(*to) - f64::from(*from);
            }
        }
        let moved = |(&from, sum): (&f32, f64)| f64::from(from) + rate * sum;
        next.insert(name, values::rounded(start.iter().zip(sums).map(moved), old)?)?;
    }
    Ok(next)
}

impl Strategy for Scaffold {
    fn name(&self) -> &str {
        "scaffold"
    }

    fn instruct(&mut self, global: &Global, _client: &ClientInfo, kind: &Kind) -> Message {
        let mut message = Message::parameters(Arc::clone(&global.parameters));
        if *kind == Kind::Train {
            let control = self.control(&global.parameters);
            message.records.insert(CONTROL.to_owned(), control);
        }
        message
    }

    fn aggregate(
        &mut self,
        global: &Global,
        accepted: &[Accepted],
    ) -> Result<Aggregate, StrategyError> {
        checked(self.name(), self.config.check())?;
        let answers = values::in_order(accepted);
        let control = self.control(&global.parameters);
        let mut controls = Vec::with_capacity(answers.len());
        for answer in &answers {
            let record = answer.message.records.get(CONTROL).ok_or_else(|| {
                let problem = format!("client {} answered no record `{CONTROL}`", answer.client.id);
                StrategyError::Other(problem)
            })?;
            controls.push(record.as_ref());
        }
        let trained: Vec<_> = answers.iter().map(|answer| answer.parameters.as_ref()).collect();
        let count = answers.len().max(1) as f64;
        let rate = self.config.server_learning_rate / count;
        let parameters = stepped(&global.parameters, &trained, rate)?;
        // |S| / N times the mean over S.
        let control = stepped(&control, &controls, 1.0 / self.clients.max(answers.len()) as f64)?;
        control.check_finite()?;
        self.control = Some(Arc::new(control));
        Ok(Aggregate::new(parameters))
    }

    fn state(&self) -> Message {
        let control = self.control.iter().map(|it| (CONTROL.to_owned(), Arc::clone(it)));
        Message { records: control.collect(), ..Message::default() }
    }

    fn restore(&mut self, mut state: Message) -> Result<(), StrategyError> {
        self.control = state.records.remove(CONTROL);
        match state == Message::default() {
            true => Ok(()),
            false => Err(StrategyError::State("scaffold keeps a control variate only".to_owned())),
        }
    }
}

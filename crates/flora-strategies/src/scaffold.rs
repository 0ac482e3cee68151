use std::{collections::BTreeMap, sync::Arc};

use flora_core::{HostTensor, ParameterRecord, RecordError};
use flora_federation::{
    Accepted, Aggregate, ClientInfo, Global, Kind, Message, Strategy, StrategyError, Value,
};
use serde::{Deserialize, Serialize};

use crate::values::{self, above_zero, checked};

/// The record of a training task, and of its reply, that holds a control variate: one tensor per parameter.
pub const CONTROL: &str = "control";

/// The setting of a training task with its number, beside [`CONTROL`].
pub const TASK: &str = "flora.control-task";

/// The setting of a training task that names the client's last counted task; absent if there is none.
pub const COUNTED: &str = "flora.control-counted";

/// Settings of [`Scaffold`].
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ScaffoldConfig {
    /// The server's step size towards the mean of the replies, above 0; 1 is the mean itself.
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
    /// The problem, beginning with the field's name.
    pub fn check(&self) -> Result<(), String> {
        above_zero("server_learning_rate", self.server_learning_rate)
    }
}

/// SCAFFOLD (Karimireddy et al. 2019, <https://arxiv.org/abs/1910.06378>), with the control variates of its option II,
/// which keep clients from drifting towards their own optimum.
///
/// A training task contains the server's control variate `c` as the record [`CONTROL`]. A client adds `c - c_k` to the
/// gradient of each of its K steps of SGD with learning rate `eta`, where `c_k`, its own control variate, stays with it
/// and starts at zero. Then `c_k+ = c_k - c + (x - y_k) / (K eta)` for the received parameters `x` and the trained ones
/// `y_k` ([`client_control`]). It returns `y_k`, and `c` shifted by the change of its own: `c + c_k+ - c_k`
/// ([`answered_control`]).
///
/// The server steps by plain means over the S replies, whatever the numbers of examples, as in the paper: `x <- x +
/// server_learning_rate mean(y_k - x)`. `c` is the sum of all counted `c_k+ - c_k`, divided by the number of clients
/// that may train or, if larger, of clients that ever answered.
///
/// A reply may be late, rejected, or of a round that does not count. Each task therefore names the client's last
/// counted task ([`TASK`], [`COUNTED`]), and the client continues from the `c_k` of that one. If a client loses its
/// `c_k`, its old contribution stays in `c`.
pub struct Scaffold {
    config: ScaffoldConfig,
    /// Number of clients that may train.
    clients: usize,
    /// Number of tasks so far.
    tasks: i64,
    /// The last counted task of each client.
    counted: BTreeMap<String, i64>,
    /// The sum of the clients' control variates; `None` before the first round.
    sum: Option<Arc<ParameterRecord>>,
    /// The server's control variate, computed once for all clients of a round.
    control: Option<Arc<ParameterRecord>>,
}

/// Prefix of a client id in the names of last tasks in the state.
const PREFIX: &str = "counted.";

impl Scaffold {
    /// Creates the rule; `clients` is the number of clients that may train. Settings that fail
    /// [`ScaffoldConfig::check`] are an error of the first aggregation.
    pub fn new(config: ScaffoldConfig, clients: usize) -> Self {
        Self { config, clients, tasks: 0, counted: BTreeMap::new(), sum: None, control: None }
    }

    /// The server's control variate, which is zero at the start.
    fn control(&mut self, parameters: &ParameterRecord) -> Arc<ParameterRecord> {
        let make = || match &self.sum {
            None => Arc::new(parameters.zeros_like()),
            Some(sum) => Arc::new(divided(sum, self.clients.max(self.counted.len()))),
        };
        if self.control.is_none() {
            self.control = Some(make());
        }
        self.control.clone().expect("it was made")
    }
}

fn divided(sum: &ParameterRecord, by: usize) -> ParameterRecord {
    let mut divided = ParameterRecord::new();
    for (name, tensor) in sum.iter() {
        let values =
            tensor.to_f32().iter().map(|&it| f64::from(it) / by as f64).collect::<Vec<_>>();
        let tensor = values::rounded(values, tensor).expect("as many");
        divided.insert(name, tensor).expect("names of a record");
    }
    divided
}

/// A client's control variate after a round, `own - control + (sent - trained) / (steps rate)`: `own` is its previous
/// one (`None` for zeros), `control` the server's, and `trained` the result of `steps` steps of SGD from `sent`.
///
/// # Errors
/// A tensor of `trained` that another record lacks or has in another shape.
pub fn client_control(
    own: Option<&ParameterRecord>,
    control: &ParameterRecord,
    (sent, trained): (&ParameterRecord, &ParameterRecord),
    (steps, rate): (usize, f64),
) -> Result<ParameterRecord, RecordError> {
    let mut next = ParameterRecord::new();
    for (name, trained) in trained.iter() {
        let own = own.map(|own| own.matching(name, trained)).transpose()?.map(HostTensor::to_f32);
        let (server, sent) = (control.matching(name, trained)?, sent.matching(name, trained)?);
        let (server, from, to) = (server.to_f32(), sent.to_f32(), trained.to_f32());
        let values = (0..to.len()).map(|at| {
            let own = own.as_ref().map_or(0.0, |own| f64::from(own[at]));
            let gradient = (f64::from(from[at]) - f64::from(to[at])) / (steps as f64 * rate);
            own - f64::from(server[at]) + gradient
        });
        next.insert(name, values::rounded(values, sent)?)?;
    }
    Ok(next)
}

/// `control + after - before`, which a client answers; `before` is zero if absent.
///
/// # Errors
/// The errors of [`client_control`].
pub fn answered_control(
    control: &ParameterRecord,
    before: Option<&ParameterRecord>,
    after: &ParameterRecord,
) -> Result<ParameterRecord, RecordError> {
    let mut answer = ParameterRecord::new();
    for (name, after) in after.iter() {
        let server = control.matching(name, after)?;
        let before = before.map(|it| it.matching(name, after)).transpose()?.map(HostTensor::to_f32);
        let (from, to) = (server.to_f32(), after.to_f32());
        let values = (0..to.len()).map(|at| {
            let before = before.as_ref().map_or(0.0, |it| f64::from(it[at]));
            f64::from(from[at]) + f64::from(to[at]) - before
        });
        answer.insert(name, values::rounded(values, server)?)?;
    }
    Ok(answer)
}

/// `start + rate sum (to_k - from)`, tensor by tensor.
fn stepped(
    start: &ParameterRecord,
    from: &ParameterRecord,
    to: &[&ParameterRecord],
    rate: f64,
) -> Result<ParameterRecord, StrategyError> {
    let mut next = ParameterRecord::new();
    for (name, old) in start.iter() {
        let from = from.matching(name, old)?.to_f32();
        let mut sums = vec![0.0_f64; old.len()];
        for record in to {
            let theirs = record.matching(name, old)?.to_f32();
            for ((sum, to), from) in sums.iter_mut().zip(theirs.iter()).zip(from.iter()) {
                *sum += f64::from(*to) - f64::from(*from);
            }
        }
        let moved = |(&start, sum): (&f32, f64)| f64::from(start) + rate * sum;
        next.insert(name, values::rounded(old.to_f32().iter().zip(sums).map(moved), old)?)?;
    }
    Ok(next)
}

impl Strategy for Scaffold {
    fn name(&self) -> &str {
        "scaffold"
    }

    fn instruct(&mut self, global: &Global, client: &ClientInfo, kind: &Kind) -> Message {
        let mut message = Message::parameters(Arc::clone(&global.parameters));
        if *kind != Kind::Train {
            return message;
        }
        let control = self.control(&global.parameters);
        message.records.insert(CONTROL.to_owned(), control);
        message.config.insert(TASK.to_owned(), Value::Int(self.tasks));
        self.tasks += 1;
        if let Some(&counted) = self.counted.get(&client.id) {
            message.config.insert(COUNTED.to_owned(), Value::Int(counted));
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
                let problem =
                    format!("client {} did not return a record `{CONTROL}`", answer.client.id);
                StrategyError::Other(problem)
            })?;
            controls.push(record.as_ref());
        }
        let trained: Vec<_> = answers.iter().map(|answer| answer.parameters.as_ref()).collect();
        let rate = self.config.server_learning_rate / answers.len().max(1) as f64;
        let parameters = stepped(&global.parameters, &global.parameters, &trained, rate)?;
        let before = match &self.sum {
            Some(sum) => Arc::clone(sum),
            None => Arc::new(global.parameters.zeros_like()),
        };
        let sum = stepped(&before, &control, &controls, 1.0)?;
        sum.check_finite()?;
        for answer in &answers {
            if let Some(&Value::Int(task)) = answer.sent.config.get(TASK) {
                self.counted.insert(answer.client.id.clone(), task);
            }
        }
        (self.sum, self.control) = (Some(Arc::new(sum)), None);
        Ok(Aggregate::new(parameters))
    }

    fn state(&self) -> Message {
        let records = self.sum.iter().map(|it| (CONTROL.to_owned(), Arc::clone(it))).collect();
        let counted = self.counted.iter();
        let counted = counted.map(|(id, &task)| (format!("{PREFIX}{id}"), Value::Int(task)));
        let own = [("clients", self.clients as i64), ("tasks", self.tasks)];
        let own = own.map(|(name, value)| (name.to_owned(), Value::Int(value)));
        Message { records, config: counted.chain(own).collect(), ..Message::default() }
    }

    fn restore(&mut self, mut state: Message) -> Result<(), StrategyError> {
        let wrong = |what: &str| StrategyError::State(format!("scaffold: {what}"));
        let sum = state.records.remove(CONTROL);
        let mut counted = BTreeMap::new();
        let (mut clients, mut tasks) = (None, None);
        for (name, value) in &state.config {
            let &Value::Int(value) = value else { return Err(wrong("a number is not an integer")) };
            match (name.as_str(), name.strip_prefix(PREFIX)) {
                (_, Some(id)) => drop(counted.insert(id.to_owned(), value)),
                ("clients", _) => clients = usize::try_from(value).ok(),
                ("tasks", _) => tasks = Some(value),
                _ => return Err(wrong(&format!("`{name}` is unknown"))),
            }
        }
        if !state.records.is_empty() || !state.metrics.is_empty() {
            return Err(wrong("it holds more than a control variate"));
        }
        self.clients = clients.ok_or_else(|| wrong("`clients` is missing"))?;
        self.tasks = tasks.ok_or_else(|| wrong("`tasks` is missing"))?;
        (self.counted, self.sum, self.control) = (counted, sum, None);
        Ok(())
    }
}

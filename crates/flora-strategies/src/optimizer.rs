//! Server optimizers: they use the mean of a round as a direction to step in.

mod adaptive;
mod momentum;
mod nested;

use std::sync::Arc;

use flora_core::{Dtype, HostTensor, ParameterRecord};
use flora_federation::{
    Accepted, Aggregate, CheckError, ClientInfo, Global, Kind, Message, Strategy, StrategyError,
};

pub use adaptive::{FedAdagrad, FedAdam, FedYogi};
pub use momentum::FedAvgM;

use crate::values::{self, checked};

/// How the server steps from the global parameters towards the mean of a round.
#[derive(Debug, Clone, PartialEq)]
pub enum ServerOptimizer {
    /// Momentum.
    FedAvgM(FedAvgM),
    /// Adam.
    FedAdam(FedAdam),
    /// Yogi.
    FedYogi(FedYogi),
    /// Adagrad.
    FedAdagrad(FedAdagrad),
}

/// The step of one coordinate, from `delta = mean - old` and the coordinate's moments, which it updates. The moments
/// are those of [`ServerOptimizer::moments`], in that order.
type Step = Box<dyn Fn(f64, &mut [f64]) -> f64>;

impl ServerOptimizer {
    /// The name: `fedavgm`, `fedadam`, `fedyogi` or `fedadagrad`.
    pub fn name(&self) -> &'static str {
        match self {
            Self::FedAvgM(_) => "fedavgm",
            Self::FedAdam(_) => "fedadam",
            Self::FedYogi(_) => "fedyogi",
            Self::FedAdagrad(_) => "fedadagrad",
        }
    }

    /// Checks the settings.
    ///
    /// # Errors
    /// The problem, beginning with the field's name.
    pub fn check(&self) -> Result<(), String> {
        match self {
            Self::FedAvgM(config) => config.check(),
            Self::FedAdam(config) => config.check(),
            Self::FedYogi(config) => config.check(),
            Self::FedAdagrad(config) => config.check(),
        }
    }

    /// The names of the moments kept per coordinate between rounds.
    fn moments(&self) -> &'static [&'static str] {
        match self {
            Self::FedAvgM(config) => config.moments(),
            Self::FedAdam(_) | Self::FedYogi(_) => &["m", "v"],
            Self::FedAdagrad(_) => &["v"],
        }
    }

    /// The step of `round`; `None` if it ends exactly at the mean, which is then used unchanged.
    fn step(&self, round: usize) -> Option<Step> {
        match self {
            Self::FedAvgM(config) => config.step(),
            Self::FedAdam(config) => Some(config.step(round)),
            Self::FedYogi(config) => Some(config.step()),
            Self::FedAdagrad(config) => Some(config.step()),
        }
    }
}

/// A rule whose result is a direction for a server optimizer (Reddi et al. 2020, <https://arxiv.org/abs/2003.00295>;
/// momentum: Hsu et al. 2019, <https://arxiv.org/abs/1909.06335>).
///
/// With `delta = rule's aggregate - global`, every coordinate moves by the step that the [`ServerOptimizer`] computes
/// from its `delta`. The formulas and defaults are those of Flower 1.42. Tensors are matched by name; a tensor that the
/// rule left unchanged has `delta = 0`, and its moments are updated with that.
///
/// The moments are stored in f32 and computed in f64. They take one record (`fedavgm`, `fedadagrad`) or two of the size
/// of the global one, and are this strategy's state: `fedadam.m`, `fedadam.v`. The rule's own state is kept beside
/// them, under names with the prefix `rule.`.
pub struct Stepped {
    rule: Box<dyn Strategy>,
    optimizer: ServerOptimizer,
    /// One record for each of [`ServerOptimizer::moments`]; empty before the first step.
    moments: Vec<Arc<ParameterRecord>>,
}

impl Stepped {
    /// Wraps `rule` in a server optimizer. Settings that fail [`ServerOptimizer::check`] are an error of the first
    /// aggregation.
    pub fn new(rule: Box<dyn Strategy>, optimizer: ServerOptimizer) -> Self {
        Self { rule, optimizer, moments: Vec::new() }
    }

    /// The moment `index` of the tensor `name`; zeros before its first step.
    fn moment(
        &self,
        index: usize,
        name: &str,
        like: &HostTensor,
    ) -> Result<Vec<f32>, StrategyError> {
        let Some(kept) = self.moments.get(index).filter(|it| it.get(name).is_some()) else {
            return Ok(vec![0.0; like.len()]);
        };
        let moment = kept.matching(name, like).map_err(|error| {
            StrategyError::State(format!(
                "{}: {error}; resume with the model that the run began with",
                self.name()
            ))
        })?;
        Ok(moment.to_f32().into_owned())
    }
}

impl Strategy for Stepped {
    fn name(&self) -> &str {
        self.optimizer.name()
    }

    fn instruct(&mut self, global: &Global, client: &ClientInfo, kind: &Kind) -> Message {
        self.rule.instruct(global, client, kind)
    }

    fn check(&self, sent: &Message, answer: &Message) -> Result<(), CheckError> {
        self.rule.check(sent, answer)
    }

    fn aggregate(
        &mut self,
        global: &Global,
        accepted: &[Accepted],
    ) -> Result<Aggregate, StrategyError> {
        checked(self.name(), self.optimizer.check())?;
        let aggregate = self.rule.aggregate(global, accepted)?;
        let Some(step) = self.optimizer.step(global.round) else { return Ok(aggregate) };
        let means = &aggregate.parameters;
        let count = self.optimizer.moments().len();
        let mut parameters = ParameterRecord::new();
        let mut moments = vec![ParameterRecord::new(); count];
        for (name, mean) in means.iter() {
            let old = global.parameters.matching(name, mean)?;
            let mut kept = (0..count)
                .map(|index| self.moment(index, name, old))
                .collect::<Result<Vec<_>, _>>()?;
            let mut buffer = [0.0; 2];
            let current = &mut buffer[..count];
            let mut next = Vec::with_capacity(old.len());
            for (at, (&old, &mean)) in old.to_f32().iter().zip(mean.to_f32().iter()).enumerate() {
                let (old, mean) = (f64::from(old), f64::from(mean));
                current.iter_mut().zip(&kept).for_each(|(to, from)| *to = f64::from(from[at]));
                next.push(old + step(mean - old, current));
                // Rounded here once per round, so that a resumed run continues with the same values.
                current.iter().zip(&mut kept).for_each(|(from, to)| to[at] = *from as f32);
            }
            parameters.insert(name, values::rounded(next, old)?)?;
            for (record, values) in moments.iter_mut().zip(kept) {
                record.insert(name, HostTensor::from_f32(old.shape(), values)?)?;
            }
        }
        // An infinite moment would be saved, and would stop its coordinate for ever.
        moments.iter().try_for_each(ParameterRecord::check_finite)?;
        self.moments = moments.into_iter().map(Arc::new).collect();
        Ok(Aggregate { parameters, ..aggregate })
    }

    fn counts_nobody(&self) -> bool {
        self.rule.counts_nobody()
    }

    fn draw_seed(&self) -> Option<u64> {
        self.rule.draw_seed()
    }

    fn is_spent(&self) -> Option<String> {
        self.rule.is_spent()
    }

    fn state(&self) -> Message {
        let mut state = nested::state_of(self.rule.state());
        for (moment, record) in self.optimizer.moments().iter().zip(&self.moments) {
            state.records.insert(format!("{}.{moment}", self.name()), Arc::clone(record));
        }
        state
    }

    fn restore(&mut self, state: Message) -> Result<(), StrategyError> {
        let (of_rule, mut own) = nested::split(state);
        let wrong = |problem: String| {
            let remedy = "resume with the strategy that saved it";
            Err(StrategyError::State(format!("{}: {problem}; {remedy}", self.name())))
        };
        let mut moments = Vec::new();
        if own != Message::default() {
            for moment in self.optimizer.moments() {
                let name = format!("{}.{moment}", self.name());
                match own.records.remove(&name) {
                    Some(record) => moments.push(record),
                    None => return wrong(format!("the record `{name}` is missing")),
                }
            }
        }
        if let Some(name) = nested::any_name(&own) {
            return wrong(format!("`{name}` is not part of its state"));
        }
        for record in &moments {
            let single = record.iter().all(|(_, tensor)| tensor.dtype() == Dtype::F32);
            if !single || record.check_finite().is_err() {
                return wrong("a moment holds values that are not finite f32 numbers".to_owned());
            }
        }
        self.rule.restore(of_rule)?;
        self.moments = moments;
        Ok(())
    }
}

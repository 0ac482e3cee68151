//! Strategies by name, as experiment files have them.

mod kind;

use std::fmt;
use std::mem::discriminant;

use flora_core::ParameterRecord;
use flora_core::kinds::{Kinds, word_or_table};
use flora_federation::Strategy;
use serde::de::Error;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use toml::{Table, Value};

pub use self::kind::StrategyKind;

use crate::lora::{
    Aligned, CORE, Fair, FedEx, FedSa, FedSb, FedSvd, Ffa, FlexLora, HetLora, LORA_A, LORA_B,
    Ranks, RanksConfig, RoLora, Stacking, zero_cores,
};
use crate::{FedNova, FedNovaConfig, FedProx, NormClipping, Scaffold, ServerOptimizer, Stepped};

/// How a round's answers become the next global parameters, as an experiment file names it: a name, or a table with
/// the name as its `kind` and settings beside.
///
/// ```
/// use flora_strategies::StrategyConfig;
///
/// #[derive(serde::Deserialize)]
/// struct Federation {
///     strategy: StrategyConfig,
/// }
///
/// let read = |text| toml::from_str::<Federation>(text).map(|it| it.strategy);
/// assert_eq!(read(r#"strategy = "fedavg""#)?, StrategyConfig::default());
/// let strategy = read(r#"strategy = { kind = "fedadam", eta = 0.01, rule = "median" }"#)?;
/// assert_eq!(strategy.name(), "fedadam");
/// assert_eq!(strategy.rule.unwrap().name(), "median");
/// # Ok::<(), toml::de::Error>(())
/// ```
#[derive(Debug, Clone, PartialEq)]
pub struct StrategyConfig {
    /// Which, with its settings.
    pub kind: StrategyKind,
    /// What it is put around, for those that are put around another: [`StrategyKind::FedAvg`] unless it is said.
    pub rule: Option<Box<StrategyConfig>>,
}

/// The settings of a strategy that has none.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NoSettings {}

/// What a strategy must know of the run besides its settings.
pub struct StrategyFacts {
    /// How many steps a client with so many training examples takes in a round.
    pub local_steps: Box<dyn Fn(usize) -> usize + Send>,
    /// The momentum of the clients' SGD.
    pub momentum: f64,
    /// The ids of all clients that may train.
    pub clients: Vec<String>,
    /// The seed of what is drawn.
    pub seed: u64,
}

impl fmt::Debug for StrategyFacts {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("StrategyFacts")
            .field("momentum", &self.momentum)
            .field("clients", &self.clients)
            .field("seed", &self.seed)
            .finish_non_exhaustive()
    }
}

impl Default for StrategyConfig {
    fn default() -> Self {
        Self { kind: StrategyKind::FedAvg(NoSettings {}), rule: None }
    }
}

impl StrategyConfig {
    /// The name in experiment files and events, such as `fedavg`.
    pub fn name(&self) -> String {
        let Some(Value::String(kind)) = self.table().remove("kind") else {
            unreachable!("every kind has a name")
        };
        kind
    }

    /// This one, what it is put around, and so on.
    fn nested(&self) -> impl Iterator<Item = &Self> {
        std::iter::successors(Some(self), |it| it.rule.as_deref())
    }

    /// Their kinds.
    fn layers(&self) -> impl Iterator<Item = &StrategyKind> {
        self.nested().map(|it| &it.kind)
    }

    /// Whether it needs the two factors of LoRA adapters.
    pub fn needs_lora(&self) -> bool {
        self.layers().any(StrategyKind::is_of_lora)
    }

    /// Whether A never travels, because all clients begin with the same.
    pub fn sends_only_b(&self) -> bool {
        self.layers().any(|kind| matches!(kind, StrategyKind::Ffa(_)))
    }

    /// Whether it makes factors of its own in the first round, in the place of those that it starts from.
    pub fn makes_factors(&self) -> bool {
        self.layers().any(|kind| matches!(kind, StrategyKind::FedSb(_)))
    }

    /// Whether clients answer the first round with an estimate of the gradient, and train nothing.
    pub fn estimates(&self) -> bool {
        self.layers().any(|kind| matches!(kind, StrategyKind::FedSb(it) if it.estimates()))
    }

    /// What the names of the shared parameters contain, where others stay with the clients.
    pub fn shares(&self) -> Option<&'static str> {
        self.layers().any(|kind| matches!(kind, StrategyKind::FedSa(_))).then_some(LORA_A)
    }

    /// Whether clients answer the tensor of that name, of those that they are sent; in the first round where rounds differ.
    pub fn is_answered(&self, name: &str) -> bool {
        self.layers().all(|kind| match kind {
            StrategyKind::FedSb(it) => it.estimates() || name.contains(CORE),
            kind => !kind.is_of_one_factor() || name.contains(LORA_B),
        })
    }

    /// A record like that which clients answer in the first round of a run that begins with `initial`.
    pub fn answered(&self, initial: &ParameterRecord) -> ParameterRecord {
        let is_core =
            |kind: &StrategyKind| matches!(kind, StrategyKind::FedSb(it) if !it.estimates());
        match self.layers().any(is_core) {
            true => zero_cores(initial),
            false => initial.filter(|name| self.is_answered(name)),
        }
    }

    /// Whether it needs clients that train by SGD at a constant rate.
    pub fn needs_sgd(&self) -> bool {
        let counts = |kind: &StrategyKind| matches!(kind, StrategyKind::FedNova(_));
        self.layers().any(counts) || self.needs_plain_sgd()
    }

    /// Whether their SGD must be without momentum, too.
    pub fn needs_plain_sgd(&self) -> bool {
        self.layers().any(|kind| matches!(kind, StrategyKind::Scaffold(_)))
    }

    /// The name of what cannot be shown one answer that stands for the sum of all: itself, or what it is put around.
    pub fn needs_each(&self) -> Option<String> {
        self.nested().find(|it| !it.kind.takes_sums()).map(Self::name)
    }

    /// Whether a number of the factors means the same from one round to the next, so that what an update lost of it can be
    /// made up for later.
    pub fn keeps_coordinates(&self) -> bool {
        let turns = |kind: &StrategyKind| {
            matches!(
                kind,
                StrategyKind::FedSvd(_)
                    | StrategyKind::Stacking(_)
                    | StrategyKind::FlexLora(_)
                    | StrategyKind::FedRot(_)
            )
        };
        !self.layers().any(turns) && !self.estimates()
    }

    /// Whether clients of a smaller rank are sent the first rows and columns of the shared factors.
    pub fn starts_from_rows(&self) -> bool {
        let sends =
            |it: &StrategyKind| matches!(it, StrategyKind::Stacking(_) | StrategyKind::HetLora(_));
        self.layers().any(sends)
    }

    /// The ranks of the clients, where they may have ranks of their own and do, and the name of the field.
    pub fn ranks(&self) -> Option<(String, &RanksConfig)> {
        let field = |depth: usize| format!("{}ranks", "rule.".repeat(depth));
        let mut layers = self.layers().enumerate();
        layers.find_map(|(depth, kind)| Some((field(depth), kind.ranks()?)))
    }

    /// How many records of the size of the parameters a client answers.
    pub fn records(&self) -> u64 {
        if self.needs_plain_sgd() { 2 } else { 1 }
    }

    /// The fewest answers in a round that it can work with.
    pub fn fewest(&self) -> usize {
        let fewest = |kind: &StrategyKind| match kind {
            StrategyKind::TrimmedMean(it) => it.fewest(),
            StrategyKind::Krum(it) => it.fewest(),
            StrategyKind::MultiKrum(it) => it.fewest(),
            StrategyKind::Bulyan(it) => it.fewest(),
            _ => 1,
        };
        self.layers().map(fewest).max().unwrap_or(1)
    }

    /// What is wrong with the settings, by field, and what does not go together.
    ///
    /// # Errors
    /// The field, what is wrong with it and what would be right.
    pub fn check(&self) -> Result<(), String> {
        self.kind.check()?;
        let Some(rule) = &self.rule else { return Ok(()) };
        if !self.kind.wraps() {
            return Err(format!(
                "rule: {} makes the parameters itself, from the answers; leave it out",
                self.name()
            ));
        }
        rule.check().map_err(|problem| format!("rule.{problem}"))?;
        let refuse = |at: &Self, why: &str| {
            let (name, rule) = (self.name(), at.name());
            Err(format!("rule: {name} cannot be put around {rule}: {why}"))
        };
        for at in rule.nested() {
            if discriminant(&at.kind) == discriminant(&self.kind) {
                return refuse(at, "one would undo the other; keep one of them");
            }
            if let Some(why) = self.kind.misfit(&at.kind) {
                return refuse(at, why);
            }
        }
        Ok(())
    }

    /// The strategy.
    ///
    /// # Errors
    /// Ranks that do not fit the clients, by field.
    pub fn build(&self, run: StrategyFacts) -> Result<Box<dyn Strategy>, String> {
        let rule = |run| match &self.rule {
            Some(rule) => rule.build(run).map_err(|problem| format!("rule.{problem}")),
            None => Self::default().build(run),
        };
        let stepped = |run, optimizer| -> Result<Box<dyn Strategy>, String> {
            Ok(Box::new(Stepped::new(rule(run)?, optimizer)))
        };
        let ranks = self.kind.ranks().map(|it| it.of(run.clients.iter().map(String::as_str)));
        let ranks: Ranks = ranks.transpose()?.unwrap_or_default();
        Ok(match &self.kind {
            StrategyKind::FedAvg(_) => Box::new(flora_federation::FedAvg),
            StrategyKind::FedAvgM(it) => stepped(run, ServerOptimizer::FedAvgM(it.clone()))?,
            StrategyKind::FedAdagrad(it) => stepped(run, ServerOptimizer::FedAdagrad(it.clone()))?,
            StrategyKind::FedAdam(it) => stepped(run, ServerOptimizer::FedAdam(it.clone()))?,
            StrategyKind::FedYogi(it) => stepped(run, ServerOptimizer::FedYogi(it.clone()))?,
            StrategyKind::FedProx(it) => Box::new(FedProx::new(rule(run)?, it.clone())),
            StrategyKind::Scaffold(it) => Box::new(Scaffold::new(it.clone(), run.clients.len())),
            StrategyKind::FedNova(_) => {
                let config = FedNovaConfig { momentum: run.momentum };
                Box::new(FedNova::new(config, run.local_steps))
            }
            StrategyKind::NormClipping(it) => Box::new(NormClipping::new(rule(run)?, it.clone())),
            StrategyKind::Median(it) => Box::new(it.clone()),
            StrategyKind::TrimmedMean(it) => Box::new(it.clone()),
            StrategyKind::Krum(it) => Box::new(it.clone()),
            StrategyKind::MultiKrum(it) => Box::new(it.clone()),
            StrategyKind::Bulyan(it) => Box::new(it.clone()),
            StrategyKind::GeometricMedian(it) => Box::new(it.clone()),
            StrategyKind::FedRot(it) => Box::new(Aligned::new(rule(run)?, it.clone())),
            StrategyKind::Ffa(_) => Box::new(Ffa::new()),
            StrategyKind::RoLora(_) => Box::new(RoLora),
            StrategyKind::FedSvd(_) => Box::new(FedSvd),
            StrategyKind::FedSb(it) => Box::new(FedSb::new(*it, run.seed)),
            StrategyKind::FedSa(_) => Box::new(FedSa),
            StrategyKind::Fair(it) => Box::new(Fair::new(it.clone())),
            StrategyKind::FedEx(_) => Box::new(FedEx),
            StrategyKind::Stacking(_) => Box::new(Stacking::new(ranks, run.seed)),
            StrategyKind::FlexLora(it) => Box::new(FlexLora::new(ranks, it.average)),
            StrategyKind::HetLora(_) => Box::new(HetLora::new(ranks)),
        })
    }

    fn table(&self) -> Table {
        let mut table = Table::try_from(&self.kind).expect("plain data");
        if let Some(rule) = &self.rule {
            table.insert("rule".to_owned(), rule.value());
        }
        table
    }

    /// A name alone where nothing else is to be said.
    fn value(&self) -> Value {
        let mut table = self.table();
        match table.len() {
            1 => table.remove("kind").expect("every kind has a name"),
            _ => Value::Table(table),
        }
    }
}

impl Serialize for StrategyConfig {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.value().serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for StrategyConfig {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        word_or_table(deserializer)
    }
}

impl<'de> Kinds<'de> for StrategyConfig {
    const EXPECTED: &'static str = "the name of a strategy, or a table with a `kind`";

    fn from_table<D: Deserializer<'de>>(table: D) -> Result<Self, D::Error> {
        let mut table = Table::deserialize(table)?;
        let told = |error: toml::de::Error| D::Error::custom(error.message());
        let rule = table.remove("rule");
        let rule = rule.map(|rule| Self::deserialize(rule).map(Box::new)).transpose();
        let rule = rule.map_err(told)?;
        Ok(Self { kind: StrategyKind::deserialize(Value::Table(table)).map_err(told)?, rule })
    }
}

//! Strategies by name, as experiment files have them.

use std::fmt;
use std::mem::discriminant;

use flora_core::kinds::{Kinds, word_or_table};
use flora_federation::Strategy;
use serde::de::Error;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use toml::{Table, Value};

use crate::lora::{Aligned, Fair, FairConfig, FedSvd, Ffa, LORA_B, Procrustes, RoLora};
use crate::optimizer::{FedAdagrad, FedAdam, FedAvgM, FedYogi};
use crate::robust::{Bulyan, GeometricMedian, Krum, Median, MultiKrum, TrimmedMean};
use crate::{
    FedNova, FedNovaConfig, FedProx, FedProxConfig, NormClipping, NormClippingConfig,
    ServerOptimizer, Stepped,
};

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

/// A strategy and its settings, without what it is put around.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "kebab-case")]
#[non_exhaustive]
pub enum StrategyKind {
    /// The mean, weighted by examples ([`flora_federation::FedAvg`]).
    #[serde(rename = "fedavg")]
    FedAvg(NoSettings),
    /// Momentum on the server, around a rule.
    #[serde(rename = "fedavgm")]
    FedAvgM(FedAvgM),
    /// Adagrad on the server, around a rule.
    #[serde(rename = "fedadagrad")]
    FedAdagrad(FedAdagrad),
    /// Adam on the server, around a rule.
    #[serde(rename = "fedadam")]
    FedAdam(FedAdam),
    /// Yogi on the server, around a rule.
    #[serde(rename = "fedyogi")]
    FedYogi(FedYogi),
    /// A proximal term in the clients' losses, around a rule ([`FedProx`]).
    #[serde(rename = "fedprox")]
    FedProx(FedProxConfig),
    /// Updates divided by the clients' steps ([`FedNova`]).
    #[serde(rename = "fednova")]
    FedNova(NoSettings),
    /// Updates cut to a norm, before a rule ([`NormClipping`]).
    NormClipping(NormClippingConfig),
    /// The median of each number ([`Median`]).
    Median(Median),
    /// The mean of each number without the largest and smallest ([`TrimmedMean`]).
    TrimmedMean(TrimmedMean),
    /// The answer that is closest to its neighbours ([`Krum`]).
    Krum(Krum),
    /// The mean of several such answers ([`MultiKrum`]).
    MultiKrum(MultiKrum),
    /// A trimmed mean of answers that Krum selects ([`Bulyan`]).
    Bulyan(Bulyan),
    /// The point with the least sum of distances ([`GeometricMedian`]).
    GeometricMedian(GeometricMedian),
    /// LoRA factors rotated towards the global ones, before a rule ([`Aligned`]).
    #[serde(rename = "fedrot")]
    FedRot(Procrustes),
    /// LoRA's A stays as it was drawn, B is trained ([`Ffa`]).
    Ffa(NoSettings),
    /// LoRA's B and A are trained in turn ([`RoLora`]).
    #[serde(rename = "rolora")]
    RoLora(NoSettings),
    /// LoRA's B is trained, and A follows it ([`FedSvd`]).
    #[serde(rename = "fedsvd")]
    FedSvd(NoSettings),
    /// The mean, corrected towards the mean of the products ([`Fair`]).
    #[serde(rename = "lora-fair")]
    Fair(FairConfig),
}

/// The settings of a strategy that has none.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NoSettings {}

/// What a strategy must know of the run besides its settings.
pub struct ClientTraining {
    /// How many steps a client with so many training examples takes in a round.
    pub local_steps: Box<dyn Fn(usize) -> usize + Send>,
    /// The momentum of the clients' SGD.
    pub momentum: f64,
}

impl fmt::Debug for ClientTraining {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("ClientTraining")
            .field("momentum", &self.momentum)
            .finish_non_exhaustive()
    }
}

impl Default for StrategyConfig {
    fn default() -> Self {
        Self { kind: StrategyKind::FedAvg(NoSettings {}), rule: None }
    }
}

impl StrategyKind {
    /// Whether it is put around another rule.
    fn wraps(&self) -> bool {
        match self {
            Self::FedAvgM(_)
            | Self::FedAdagrad(_)
            | Self::FedAdam(_)
            | Self::FedYogi(_)
            | Self::FedProx(_)
            | Self::NormClipping(_)
            | Self::FedRot(_) => true,
            Self::FedAvg(_)
            | Self::FedNova(_)
            | Self::Median(_)
            | Self::TrimmedMean(_)
            | Self::Krum(_)
            | Self::MultiKrum(_)
            | Self::Bulyan(_)
            | Self::GeometricMedian(_)
            | Self::Ffa(_)
            | Self::RoLora(_)
            | Self::FedSvd(_)
            | Self::Fair(_) => false,
        }
    }

    /// Whether it steps from the global parameters by a rate of its own.
    fn is_optimizer(&self) -> bool {
        matches!(self, Self::FedAvgM(_) | Self::FedAdagrad(_) | Self::FedAdam(_) | Self::FedYogi(_))
    }

    /// Whether clients train one of the two factors.
    fn is_of_one_factor(&self) -> bool {
        matches!(self, Self::Ffa(_) | Self::RoLora(_) | Self::FedSvd(_))
    }

    fn check(&self) -> Result<(), String> {
        match self {
            Self::FedAvg(_)
            | Self::FedNova(_)
            | Self::Median(_)
            | Self::Krum(_)
            | Self::Bulyan(_)
            | Self::Ffa(_)
            | Self::RoLora(_)
            | Self::FedSvd(_) => Ok(()),
            Self::FedAvgM(FedAvgM { server_learning_rate, server_momentum })
                if *server_learning_rate == 1.0 && *server_momentum == 0.0 =>
            {
                Err("server_momentum: 0 with a server_learning_rate of 1 steps to what its rule makes; choose \
                     0.9, for example"
                    .to_owned())
            }
            Self::FedRot(Procrustes { lambda: 0.0, .. }) => {
                Err("lambda: 0 turns nothing; choose more, up to 1, or leave fedrot out".to_owned())
            }
            Self::FedAvgM(it) => it.check(),
            Self::FedAdagrad(it) => it.check(),
            Self::FedAdam(it) => it.check(),
            Self::FedYogi(it) => it.check(),
            Self::FedProx(it) => it.check(),
            Self::NormClipping(it) => it.check(),
            Self::TrimmedMean(it) => it.check(),
            Self::MultiKrum(it) => it.check(),
            Self::GeometricMedian(it) => it.check(),
            Self::FedRot(it) => it.check(),
            Self::Fair(it) => it.check(),
        }
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
    fn layers(&self) -> impl Iterator<Item = &StrategyKind> {
        std::iter::successors(Some(self), |it| it.rule.as_deref()).map(|it| &it.kind)
    }

    /// Whether it needs the two factors of LoRA adapters.
    pub fn needs_lora(&self) -> bool {
        self.layers().any(|kind| {
            kind.is_of_one_factor()
                || matches!(kind, StrategyKind::FedRot(_) | StrategyKind::Fair(_))
        })
    }

    /// Whether A never travels, because all clients begin with the same.
    pub fn sends_only_b(&self) -> bool {
        self.layers().any(|kind| matches!(kind, StrategyKind::Ffa(_)))
    }

    /// Whether clients answer the tensor of that name, in the first round where rounds differ.
    pub fn is_answered(&self, name: &str) -> bool {
        !self.layers().any(StrategyKind::is_of_one_factor) || name.contains(LORA_B)
    }

    /// Whether it needs clients that train by SGD at a constant rate.
    pub fn needs_sgd(&self) -> bool {
        self.layers().any(|kind| matches!(kind, StrategyKind::FedNova(_)))
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
        let refuse = |why: &str| {
            let (name, rule) = (self.name(), rule.name());
            Err(format!("rule: {name} cannot be put around {rule}: {why}"))
        };
        let has = |is: &dyn Fn(&StrategyKind) -> bool| rule.layers().any(is);
        if has(&|kind| discriminant(kind) == discriminant(&self.kind)) {
            return refuse("one would undo the other; keep one of them");
        }
        let turns = |kind: &StrategyKind| matches!(kind, StrategyKind::FedSvd(_));
        let alternates = |kind: &StrategyKind| matches!(kind, StrategyKind::RoLora(_));
        if self.kind.is_optimizer() && has(&StrategyKind::is_optimizer) {
            return refuse("each would step by what the other has stepped already; choose one");
        }
        if self.kind.is_optimizer() && has(&turns) {
            return refuse("it turns A and B anew in every round, and momentum would be of others");
        }
        if self.kind.is_optimizer() && has(&alternates) {
            return refuse("momentum would move the factor that nobody trained in the round");
        }
        if matches!(self.kind, StrategyKind::FedRot(_)) && has(&StrategyKind::is_of_one_factor) {
            return refuse("clients train one factor, and nothing can be turned against the other");
        }
        let counts_steps = |kind: &StrategyKind| matches!(kind, StrategyKind::FedNova(_));
        if matches!(self.kind, StrategyKind::FedProx(_)) && has(&counts_steps) {
            return refuse("its counts of steps are those of SGD without a proximal term");
        }
        Ok(())
    }

    /// The strategy.
    pub fn build(&self, run: ClientTraining) -> Box<dyn Strategy> {
        let rule = |run| match &self.rule {
            Some(rule) => rule.build(run),
            None => Self::default().build(run),
        };
        let stepped = |run, optimizer| Box::new(Stepped::new(rule(run), optimizer));
        match &self.kind {
            StrategyKind::FedAvg(_) => Box::new(flora_federation::FedAvg),
            StrategyKind::FedAvgM(it) => stepped(run, ServerOptimizer::FedAvgM(it.clone())),
            StrategyKind::FedAdagrad(it) => stepped(run, ServerOptimizer::FedAdagrad(it.clone())),
            StrategyKind::FedAdam(it) => stepped(run, ServerOptimizer::FedAdam(it.clone())),
            StrategyKind::FedYogi(it) => stepped(run, ServerOptimizer::FedYogi(it.clone())),
            StrategyKind::FedProx(it) => Box::new(FedProx::new(rule(run), it.clone())),
            StrategyKind::FedNova(_) => {
                let config = FedNovaConfig { momentum: run.momentum };
                Box::new(FedNova::new(config, run.local_steps))
            }
            StrategyKind::NormClipping(it) => Box::new(NormClipping::new(rule(run), it.clone())),
            StrategyKind::Median(it) => Box::new(it.clone()),
            StrategyKind::TrimmedMean(it) => Box::new(it.clone()),
            StrategyKind::Krum(it) => Box::new(it.clone()),
            StrategyKind::MultiKrum(it) => Box::new(it.clone()),
            StrategyKind::Bulyan(it) => Box::new(it.clone()),
            StrategyKind::GeometricMedian(it) => Box::new(it.clone()),
            StrategyKind::FedRot(it) => Box::new(Aligned::new(rule(run), it.clone())),
            StrategyKind::Ffa(_) => Box::new(Ffa::new()),
            StrategyKind::RoLora(_) => Box::new(RoLora),
            StrategyKind::FedSvd(_) => Box::new(FedSvd),
            StrategyKind::Fair(it) => Box::new(Fair::new(it.clone())),
        }
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

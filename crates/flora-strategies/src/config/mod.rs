//! Strategies by name, as in experiment files.

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

/// The strategy of an experiment file: a name, or a table with the name as its `kind` and the settings beside it.
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
    /// The strategy with its settings.
    pub kind: StrategyKind,
    /// The wrapped rule, for strategies that wrap one; [`StrategyKind::FedAvg`] by default.
    pub rule: Option<Box<StrategyConfig>>,
}

/// Settings of a strategy without settings.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NoSettings {}

/// Facts of the run that a strategy needs besides its settings.
pub struct StrategyFacts {
    /// Number of local steps in a round of a client with this number of training examples.
    pub local_steps: Box<dyn Fn(usize) -> usize + Send>,
    /// The momentum of the clients' SGD.
    pub momentum: f64,
    /// The ids of all clients that may train.
    pub clients: Vec<String>,
    /// The seed for random draws.
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

    /// This strategy, the rule that it wraps, and so on.
    fn nested(&self) -> impl Iterator<Item = &Self> {
        std::iter::successors(Some(self), |it| it.rule.as_deref())
    }

    /// The kinds of the nested strategies.
    fn layers(&self) -> impl Iterator<Item = &StrategyKind> {
        self.nested().map(|it| &it.kind)
    }

    /// Whether it requires the two factors of LoRA adapters.
    pub fn needs_lora(&self) -> bool {
        self.layers().any(StrategyKind::is_of_lora)
    }

    /// Whether A is never sent, because all clients start with the same one.
    pub fn sends_only_b(&self) -> bool {
        self.layers().any(|kind| matches!(kind, StrategyKind::Ffa(_)))
    }

    /// Whether it replaces the initial factors by its own in the first round.
    pub fn makes_factors(&self) -> bool {
        self.layers().any(|kind| matches!(kind, StrategyKind::FedSb(_)))
    }

    /// Whether clients answer the first round with an estimate of the gradient, and train nothing.
    pub fn estimates(&self) -> bool {
        self.layers().any(|kind| matches!(kind, StrategyKind::FedSb(it) if it.estimates()))
    }

    /// A substring of the names of the shared parameters, if others stay with the clients.
    pub fn shares(&self) -> Option<&'static str> {
        self.layers().any(|kind| matches!(kind, StrategyKind::FedSa(_))).then_some(LORA_A)
    }

    /// Whether clients send back the tensor of that name; if rounds differ, in the first round.
    pub fn is_answered(&self, name: &str) -> bool {
        self.layers().all(|kind| match kind {
            StrategyKind::FedSb(it) => it.estimates() || name.contains(CORE),
            kind => !kind.is_of_one_factor() || name.contains(LORA_B),
        })
    }

    /// A record like that which clients answer in the first round of a run that begins with `initial`.
    pub fn answered(&self, initial: &ParameterRecord) -> ParameterRecord {
        match self.makes_factors() && !self.estimates() {
            true => zero_cores(initial),
            false => initial.filter(|name| self.is_answered(name)),
        }
    }

    /// Whether clients must train by SGD at a constant rate.
    pub fn needs_sgd(&self) -> bool {
        let counts = |kind: &StrategyKind| matches!(kind, StrategyKind::FedNova(_));
        self.layers().any(counts) || self.needs_plain_sgd()
    }

    /// Whether their SGD must also be without momentum.
    pub fn needs_plain_sgd(&self) -> bool {
        self.layers().any(|kind| matches!(kind, StrategyKind::Scaffold(_)))
    }

    /// The name of the strategy, or of one that it wraps, that is not supported if the server knows only the mean of the
    /// clients' updates.
    pub fn needs_each(&self) -> Option<String> {
        self.nested().find(|it| !it.kind.takes_sums()).map(Self::name)
    }

    /// Whether the coordinates of the factors keep their meaning from one round to the next, so that error feedback is
    /// valid.
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

    /// The clients' ranks and the name of their field, if the strategy supports individual ranks and they are set.
    pub fn ranks(&self) -> Option<(String, &RanksConfig)> {
        let field = |depth: usize| format!("{}ranks", "rule.".repeat(depth));
        let mut layers = self.layers().enumerate();
        layers.find_map(|(depth, kind)| Some((field(depth), kind.ranks()?)))
    }

    /// Number of records of the size of the parameters in a client's reply.
    pub fn records(&self) -> u64 {
        if self.needs_plain_sgd() { 2 } else { 1 }
    }

    /// The minimum number of replies in a round.
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

    /// Checks the settings and whether the nested strategies can be combined.
    ///
    /// # Errors
    /// The field, its problem and the remedy.
    pub fn check(&self) -> Result<(), String> {
        self.kind.check()?;
        let Some(rule) = &self.rule else { return Ok(()) };
        if !self.kind.wraps() {
            return Err(format!(
                "rule: {} aggregates the replies itself; remove this field",
                self.name()
            ));
        }
        rule.check().map_err(|problem| format!("rule.{problem}"))?;
        let refuse = |at: &Self, why: &str| {
            let (name, rule) = (self.name(), at.name());
            Err(format!("rule: {name} cannot wrap {rule}: {why}"))
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

    /// Creates the strategy.
    ///
    /// # Errors
    /// Ranks that do not fit the clients; the error names the field.
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

    /// The name alone if there are no other settings.
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

#[cfg(test)]
mod tests {
    use flora_core::{explain, settings};

    use super::*;

    #[derive(Debug, Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Federation {
        #[expect(dead_code, reason = "only read")]
        strategy: StrategyConfig,
    }

    #[test]
    fn lists_are_refused_only_in_place_of_tables() {
        let checked = |text: &str| {
            toml::from_str::<Federation>(text).map_err(|error| error.to_string())?;
            settings::refuse_lists::<Federation>(&text.parse().unwrap())
        };
        assert_eq!(checked("strategy = { kind = 'stacking', ranks = [8, 4] }"), Ok(()));
        assert_eq!(checked("strategy = { kind = 'stacking', ranks = { a = 8 } }"), Ok(()));
        for text in ["strategy = []", "strategy = { kind = 'fedadam', rule = ['median'] }"] {
            let told = explain::toml(&checked(text).unwrap_err());
            assert!(told.contains("a table with a `kind`") && told.contains("a list"), "{told}");
        }
    }
}

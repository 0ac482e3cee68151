//! The strategies that have a name.

use serde::{Deserialize, Serialize};

use super::NoSettings;
use crate::lora::{
    Average, FairConfig, FedSbConfig, FlexLoraConfig, HetLoraConfig, Procrustes, RanksConfig,
    StackingConfig,
};
use crate::optimizer::{FedAdagrad, FedAdam, FedAvgM, FedYogi};
use crate::robust::{Bulyan, GeometricMedian, Krum, Median, MultiKrum, TrimmedMean};
use crate::{FedProxConfig, NormClippingConfig, ScaffoldConfig};

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
    /// A proximal term in the clients' losses, around a rule ([`FedProx`](crate::FedProx)).
    #[serde(rename = "fedprox")]
    FedProx(FedProxConfig),
    /// Control variates against the drift of clients ([`Scaffold`](crate::Scaffold)).
    Scaffold(ScaffoldConfig),
    /// Updates divided by the clients' steps ([`FedNova`](crate::FedNova)).
    #[serde(rename = "fednova")]
    FedNova(NoSettings),
    /// Updates cut to a norm, before a rule ([`NormClipping`](crate::NormClipping)).
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
    /// LoRA factors rotated towards the global ones, before a rule ([`Aligned`](crate::lora::Aligned)).
    #[serde(rename = "fedrot")]
    FedRot(Procrustes),
    /// LoRA's A stays as it was drawn, B is trained ([`Ffa`](crate::lora::Ffa)).
    Ffa(NoSettings),
    /// LoRA's B and A are trained in turn ([`RoLora`](crate::lora::RoLora)).
    #[serde(rename = "rolora")]
    RoLora(NoSettings),
    /// LoRA's B is trained, and A follows it ([`FedSvd`](crate::lora::FedSvd)).
    #[serde(rename = "fedsvd")]
    FedSvd(NoSettings),
    /// A core between two bases that stay is trained ([`FedSb`](crate::lora::FedSb)).
    #[serde(rename = "fed-sb")]
    FedSb(FedSbConfig),
    /// LoRA's A is shared, every client has a B of its own ([`FedSa`](crate::lora::FedSa)).
    #[serde(rename = "fedsa")]
    FedSa(NoSettings),
    /// The mean, corrected towards the mean of the products ([`Fair`](crate::lora::Fair)).
    #[serde(rename = "lora-fair")]
    Fair(FairConfig),
    /// The mean, and the rest of the products in the weights below ([`FedEx`](crate::lora::FedEx)).
    #[serde(rename = "fedex")]
    FedEx(NoSettings),
    /// The products in the weights below, and fresh adapters ([`Stacking`](crate::lora::Stacking)).
    Stacking(StackingConfig),
    /// The best factors of the mean of the products, in each client's rank ([`FlexLora`](crate::lora::FlexLora)).
    #[serde(rename = "flexlora")]
    FlexLora(FlexLoraConfig),
    /// The mean of factors that are filled up with zeros ([`HetLora`](crate::lora::HetLora)).
    #[serde(rename = "hetlora")]
    HetLora(HetLoraConfig),
}

impl StrategyKind {
    /// Whether it is put around another rule.
    pub(super) fn wraps(&self) -> bool {
        self.is_optimizer()
            || matches!(self, Self::FedProx(_) | Self::NormClipping(_) | Self::FedRot(_))
    }

    /// Whether it steps from the global parameters by a rate of its own.
    pub(super) fn is_optimizer(&self) -> bool {
        matches!(self, Self::FedAvgM(_) | Self::FedAdagrad(_) | Self::FedAdam(_) | Self::FedYogi(_))
    }

    /// Whether clients train one of the two factors.
    pub(super) fn is_of_one_factor(&self) -> bool {
        matches!(self, Self::Ffa(_) | Self::RoLora(_) | Self::FedSvd(_) | Self::FedSb(_))
    }

    /// Whether it makes nothing of parameters other than LoRA's.
    pub(super) fn is_of_lora(&self) -> bool {
        self.is_of_one_factor()
            || matches!(self, Self::FedRot(_) | Self::FedSa(_) | Self::Fair(_) | Self::FedEx(_))
            || matches!(self, Self::Stacking(_) | Self::FlexLora(_) | Self::HetLora(_))
    }

    /// Whether it makes of one answer what it would make of many with that mean. Estimates of `fed-sb` are pairs of factors, whose
    /// mean is no pair of factors of a gradient.
    pub(super) fn takes_sums(&self) -> bool {
        match self {
            Self::FedAvg(_) | Self::FedProx(_) | Self::Ffa(_) | Self::FedSvd(_) => true,
            Self::FedSb(it) => !it.estimates(),
            kind => kind.is_optimizer(),
        }
    }

    /// The ranks of the clients, where they may have ranks of their own and do.
    pub(super) fn ranks(&self) -> Option<&RanksConfig> {
        match self {
            Self::Stacking(StackingConfig { ranks }) => ranks.as_ref(),
            Self::FlexLora(FlexLoraConfig { ranks, .. }) => ranks.as_ref(),
            Self::HetLora(HetLoraConfig { ranks }) => Some(ranks),
            _ => None,
        }
    }

    /// What is wrong with the settings, by field.
    pub(super) fn check(&self) -> Result<(), String> {
        if let Some(ranks) = self.ranks() {
            ranks.check()?;
        }
        match self {
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
            Self::Scaffold(it) => it.check(),
            Self::NormClipping(it) => it.check(),
            Self::TrimmedMean(it) => it.check(),
            Self::MultiKrum(it) => it.check(),
            Self::GeometricMedian(it) => it.check(),
            Self::FedRot(it) => it.check(),
            Self::Fair(it) => it.check(),
            Self::FlexLora(it) => it.check(),
            Self::FedAvg(_)
            | Self::FedNova(_)
            | Self::Median(_)
            | Self::Krum(_)
            | Self::Bulyan(_)
            | Self::Ffa(_)
            | Self::RoLora(_)
            | Self::FedSvd(_)
            | Self::FedSb(_)
            | Self::FedSa(_)
            | Self::FedEx(_)
            | Self::Stacking(_)
            | Self::HetLora(_) => Ok(()),
        }
    }

    /// Why it cannot be put around `rule`, where it cannot.
    pub(super) fn misfit(&self, rule: &Self) -> Option<&'static str> {
        match (self, rule) {
            (Self::FedProx(_), Self::FedNova(_)) => {
                Some("its counts of steps are those of SGD without a proximal term")
            }
            (Self::FedProx(_), Self::Scaffold(_)) => {
                Some("its control variates are those of steps without a proximal term")
            }
            (Self::NormClipping(_) | Self::FedProx(_), Self::FedSb(it)) if it.estimates() => {
                Some("its first round estimates a gradient, which has no start to stay near to")
            }
            (Self::NormClipping(_), Self::Scaffold(_)) => {
                Some("control variates would pass the bound as they are")
            }
            (Self::FedRot(_), rule) if rule.is_of_one_factor() => {
                Some("clients train one factor, and nothing can be turned against the other")
            }
            (Self::FedRot(_), Self::FedSa(_)) => {
                Some("B stays with the clients, and A alone cannot be turned")
            }
            (Self::FedRot(_), Self::Scaffold(_)) => {
                Some("control variates would be of factors that are not turned")
            }
            (Self::FedRot(_), Self::Stacking(_) | Self::FlexLora(_)) => {
                Some("it takes products, which are the same of turned factors")
            }
            (Self::FedRot(_), Self::HetLora(_)) => {
                Some("clients of other ranks cannot be turned towards the global factors")
            }
            (optimizer, rule) if optimizer.is_optimizer() => match rule {
                rule if rule.is_optimizer() => {
                    Some("each would step by what the other has stepped already; choose one")
                }
                Self::FedSvd(_) => {
                    Some("it turns A and B anew in every round, and momentum would be of others")
                }
                Self::FedSb(_) => Some(
                    "its first round makes other factors, and a step between them means nothing",
                ),
                Self::RoLora(_) => {
                    Some("momentum would move the factor that nobody trained in the round")
                }
                Self::Scaffold(_) => Some("it has a step of its own; set its server_learning_rate"),
                Self::FedEx(_) => Some(
                    "what it puts into the weights below fits the mean, and not a step from it",
                ),
                Self::Stacking(_) | Self::FlexLora(_) | Self::HetLora(_) => Some(
                    "its factors are others in every round, and a step between them means nothing",
                ),
                _ => None,
            },
            _ => None,
        }
    }
}

impl FlexLoraConfig {
    /// With one rank for all, both means are one.
    fn check(&self) -> Result<(), String> {
        let differ = self.ranks.as_ref().is_some_and(|ranks| ranks.smallest() < ranks.largest());
        match self.average == Average::RaFlora && !differ {
            true => Err("average: \"raflora\" is for clients of different ranks; give them by `ranks`, or leave it out"
                .to_owned()),
            false => Ok(()),
        }
    }
}

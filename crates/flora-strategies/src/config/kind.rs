//! The strategies that experiment files can name.

use serde::{Deserialize, Serialize};

use super::NoSettings;
use crate::lora::{
    Average, FairConfig, FedSbConfig, FlexLoraConfig, HetLoraConfig, Procrustes, RanksConfig,
    StackingConfig,
};
use crate::optimizer::{FedAdagrad, FedAdam, FedAvgM, FedYogi};
use crate::robust::{Bulyan, GeometricMedian, Krum, Median, MultiKrum, TrimmedMean};
use crate::{FedProxConfig, NormClippingConfig, ScaffoldConfig};

/// A strategy and its settings, without the rule that it wraps.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "kebab-case")]
#[non_exhaustive]
pub enum StrategyKind {
    /// The example-weighted mean ([`flora_federation::FedAvg`]).
    #[serde(rename = "fedavg")]
    FedAvg(NoSettings),
    /// Server momentum around a rule.
    #[serde(rename = "fedavgm")]
    FedAvgM(FedAvgM),
    /// Server Adagrad around a rule.
    #[serde(rename = "fedadagrad")]
    FedAdagrad(FedAdagrad),
    /// Server Adam around a rule.
    #[serde(rename = "fedadam")]
    FedAdam(FedAdam),
    /// Server Yogi around a rule.
    #[serde(rename = "fedyogi")]
    FedYogi(FedYogi),
    /// A proximal term in the clients' losses, around a rule ([`FedProx`](crate::FedProx)).
    #[serde(rename = "fedprox")]
    FedProx(FedProxConfig),
    /// Control variates against client drift ([`Scaffold`](crate::Scaffold)).
    Scaffold(ScaffoldConfig),
    /// Updates normalised by the clients' steps ([`FedNova`](crate::FedNova)).
    #[serde(rename = "fednova")]
    FedNova(NoSettings),
    /// Updates clipped to a norm, before a rule ([`NormClipping`](crate::NormClipping)).
    NormClipping(NormClippingConfig),
    /// The coordinate-wise median ([`Median`]).
    Median(Median),
    /// The coordinate-wise trimmed mean ([`TrimmedMean`]).
    TrimmedMean(TrimmedMean),
    /// The reply closest to its neighbours ([`Krum`]).
    Krum(Krum),
    /// The mean of several replies selected by Krum ([`MultiKrum`]).
    MultiKrum(MultiKrum),
    /// A trimmed mean of replies selected by Krum ([`Bulyan`]).
    Bulyan(Bulyan),
    /// The point with the smallest sum of distances ([`GeometricMedian`]).
    GeometricMedian(GeometricMedian),
    /// LoRA factors rotated towards the global ones, before a rule ([`Aligned`](crate::lora::Aligned)).
    #[serde(rename = "fedrot")]
    FedRot(Procrustes),
    /// LoRA's A is frozen at its initial value, B is trained ([`Ffa`](crate::lora::Ffa)).
    Ffa(NoSettings),
    /// LoRA's B and A are trained alternately ([`RoLora`](crate::lora::RoLora)).
    #[serde(rename = "rolora")]
    RoLora(NoSettings),
    /// LoRA's B is trained, and the server updates A by an SVD ([`FedSvd`](crate::lora::FedSvd)).
    #[serde(rename = "fedsvd")]
    FedSvd(NoSettings),
    /// A core between two frozen bases is trained ([`FedSb`](crate::lora::FedSb)).
    #[serde(rename = "fed-sb")]
    FedSb(FedSbConfig),
    /// LoRA's A is shared, every client keeps its own B ([`FedSa`](crate::lora::FedSa)).
    #[serde(rename = "fedsa")]
    FedSa(NoSettings),
    /// The mean, corrected towards the mean of the products ([`Fair`](crate::lora::Fair)).
    #[serde(rename = "lora-fair")]
    Fair(FairConfig),
    /// The mean, with its residual to the mean of the products added to the base weights
    /// ([`FedEx`](crate::lora::FedEx)).
    #[serde(rename = "fedex")]
    FedEx(NoSettings),
    /// The products are added to the base weights, and adapters start afresh ([`Stacking`](crate::lora::Stacking)).
    Stacking(StackingConfig),
    /// The best factors of the mean of the products, in each client's rank ([`FlexLora`](crate::lora::FlexLora)).
    #[serde(rename = "flexlora")]
    FlexLora(FlexLoraConfig),
    /// The mean of zero-padded factors ([`HetLora`](crate::lora::HetLora)).
    #[serde(rename = "hetlora")]
    HetLora(HetLoraConfig),
}

impl StrategyKind {
    /// Whether it wraps another rule.
    pub(super) fn wraps(&self) -> bool {
        self.is_optimizer()
            || matches!(self, Self::FedProx(_) | Self::NormClipping(_) | Self::FedRot(_))
    }

    /// Whether it takes steps from the global parameters at its own learning rate.
    pub(super) fn is_optimizer(&self) -> bool {
        matches!(self, Self::FedAvgM(_) | Self::FedAdagrad(_) | Self::FedAdam(_) | Self::FedYogi(_))
    }

    /// Whether clients train only one of the two factors.
    pub(super) fn is_of_one_factor(&self) -> bool {
        matches!(self, Self::Ffa(_) | Self::RoLora(_) | Self::FedSvd(_) | Self::FedSb(_))
    }

    /// Whether it requires LoRA parameters.
    pub(super) fn is_of_lora(&self) -> bool {
        self.is_of_one_factor()
            || matches!(self, Self::FedRot(_) | Self::FedSa(_) | Self::Fair(_) | Self::FedEx(_))
            || matches!(self, Self::Stacking(_) | Self::FlexLora(_) | Self::HetLora(_))
    }

    /// Whether the mean reply can stand for every client's own. It cannot for all strategies that only need sums: those
    /// of `scaffold`, `fednova`, `rolora` and `fedsa` are not of the clients' updates alone. Estimates of `fed-sb` are
    /// pairs of factors, whose means are meaningless.
    pub(super) fn takes_sums(&self) -> bool {
        match self {
            Self::FedAvg(_) | Self::FedProx(_) | Self::Ffa(_) | Self::FedSvd(_) => true,
            Self::FedSb(it) => !it.estimates(),
            kind => kind.is_optimizer(),
        }
    }

    /// The clients' ranks, if the strategy supports individual ranks and they are set.
    pub(super) fn ranks(&self) -> Option<&RanksConfig> {
        match self {
            Self::Stacking(StackingConfig { ranks }) => ranks.as_ref(),
            Self::FlexLora(FlexLoraConfig { ranks, .. }) => ranks.as_ref(),
            Self::HetLora(HetLoraConfig { ranks }) => Some(ranks),
            _ => None,
        }
    }

    /// Checks the settings; an error names the field.
    pub(super) fn check(&self) -> Result<(), String> {
        if let Some(ranks) = self.ranks() {
            ranks.check()?;
        }
        match self {
            Self::FedAvgM(FedAvgM { server_learning_rate, server_momentum })
                if *server_learning_rate == 1.0 && *server_momentum == 0.0 =>
            {
                Err("server_momentum: 0 with a server_learning_rate of 1 gives exactly the rule's result; choose \
                     0.9, for example"
                    .to_owned())
            }
            Self::FedRot(Procrustes { lambda: 0.0, .. }) => {
                Err("lambda: 0 aligns nothing; choose a number up to 1, or leave fedrot out".to_owned())
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

    /// Why it cannot wrap `rule`, if it cannot.
    pub(super) fn misfit(&self, rule: &Self) -> Option<&'static str> {
        match (self, rule) {
            (Self::FedProx(_), Self::FedNova(_)) => {
                Some("its counts of steps are those of SGD without a proximal term")
            }
            (Self::FedProx(_), Self::Scaffold(_)) => {
                Some("its control variates are those of steps without a proximal term")
            }
            (Self::NormClipping(_) | Self::FedProx(_), Self::FedSb(it)) if it.estimates() => Some(
                "its first round estimates a gradient, which has no starting point for a proximal term",
            ),
            (Self::NormClipping(_), Self::Scaffold(_)) => {
                Some("control variates would pass unclipped")
            }
            (Self::FedRot(_), rule) if rule.is_of_one_factor() => {
                Some("clients train one factor, so the factors cannot be rotated")
            }
            (Self::FedRot(_), Self::FedSa(_)) => {
                Some("B stays with the clients, and A cannot be rotated alone")
            }
            (Self::FedRot(_), Self::Scaffold(_)) => {
                Some("control variates would belong to unrotated factors")
            }
            (Self::FedRot(_), Self::Stacking(_) | Self::FlexLora(_)) => {
                Some("it averages products, which a rotation does not change")
            }
            (Self::FedRot(_), Self::HetLora(_)) => {
                Some("factors of other ranks cannot be rotated towards the global ones")
            }
            (optimizer, rule) if optimizer.is_optimizer() => match rule {
                rule if rule.is_optimizer() => Some("both are server optimizers; choose one"),
                Self::FedSvd(_) => {
                    Some("it rotates A and B anew in every round, which invalidates momentum")
                }
                Self::FedSb(it) if it.estimates() => Some(
                    "its first round makes other factors, so a step between them is meaningless",
                ),
                Self::FedSb(_) => Some(
                    "its first round puts drawn bases in place of A and B, and a step would move them; choose fed-sb alone",
                ),
                Self::RoLora(_) => {
                    Some("momentum would move the factor that was not trained in the round")
                }
                Self::Scaffold(_) => {
                    Some("it has its own server step; set its server_learning_rate")
                }
                Self::FedEx(_) => {
                    Some("its correction of the base weights fits the mean, not a step from it")
                }
                Self::Stacking(_) | Self::FlexLora(_) | Self::HetLora(_) => Some(
                    "its factors have another basis in every round, so a step between them is meaningless",
                ),
                _ => None,
            },
            _ => None,
        }
    }
}

impl FlexLoraConfig {
    /// If all clients have one rank, both averages are equal.
    fn check(&self) -> Result<(), String> {
        let differ = self.ranks.as_ref().is_some_and(|ranks| ranks.smallest() < ranks.largest());
        match self.average == Average::RaFlora && !differ {
            true => Err("average: \"raflora\" is for clients of different ranks; give them by `ranks`, or leave it out"
                .to_owned()),
            false => Ok(()),
        }
    }
}

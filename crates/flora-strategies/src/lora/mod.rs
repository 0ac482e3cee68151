//! Rules that know which two matrices make a LoRA update.
//!
//! LoRA (<https://arxiv.org/abs/2106.09685>) changes a layer's weight `W0` to `W0 + s B A`, with `A` of shape
//! `[r, in]` and `B` of shape `[out, r]`: the tensors `LAYER.lora_A.weight` and `LAYER.lora_B.weight` of a
//! record, as PEFT names and lays them out. The mean of the clients' factors is not the factors of the mean of
//! their products `M = sum_k p_k B_k A_k`, where `p_k = n_k / sum n` are the clients' shares of the training
//! examples. [`aggregation_error`] says by how much, and [`Reported`] puts it into the metrics of any rule.
//!
//! | rule | clients train and answer | next global factors | of `M` |
//! |---|---|---|---|
//! | [`Aligned`] around FedAvg | A and B | means of rotated factors | nearer than FedAvg |
//! | [`Ffa`] | B | A as at the start, mean of B | exact |
//! | [`RoLora`] | B and A by turns | the mean of what was trained | exact |
//! | [`FedSvd`] | B | A orthonormal, from the SVD of `B A` | exact |
//! | [`Fair`] | A and B | mean of A, and a B corrected towards `M` | nearer than FedAvg |
//! | [`FlexLora`] | A and B, of ranks of their own | the best ones of the largest rank | the best of that rank |
//! | [`FedSa`] | A and B, and answer A | the mean of A; B stays with each client | each has its own |
//! | [`FedSb`] | a core R between both | B and A as in the second round, the mean of R | exact |
//! | [`FedEx`] | A and B | means of both, and the rest of `M` in the weights below | exact |
//! | [`Stacking`] | A and B, of ranks of their own | a fresh A, B zero, and `M` in the weights below | exact |
//! | [`HetLora`] | A and B, of ranks of their own | means of factors filled up with zeros | as FedAvg, or worse |
//!
//! Other tensors of the record take the mean weighted by examples, where clients train them. Sums are taken in
//! f64 and in the order of the client ids. Singular values come from the QR factors of the clients' matrices
//! side by side, not from a dense product of shape `[out, in]`.

mod aligned;
mod correction;
mod fair;
mod fedex;
mod fedsa;
mod fedsb;
mod fedsvd;
mod ffa;
mod flexlora;
mod hetlora;
mod matrix;
mod mean;
mod measure;
mod pairs;
mod part;
mod product;
mod ranked;
mod ranks;
mod reported;
mod rolora;
mod scale;
mod stack;
mod svd;
mod turn;

pub use aligned::{Aligned, Procrustes};
pub use fair::{Fair, FairConfig};
pub use fedex::FedEx;
pub use fedsa::FedSa;
pub(crate) use fedsb::zero_cores;
pub use fedsb::{Bases, FedSb, FedSbConfig, best_factors};
pub use fedsvd::FedSvd;
pub use ffa::Ffa;
pub use flexlora::{Average, FlexLora, FlexLoraConfig};
pub use flora_core::record::is_correction;
pub use flora_federation::AGGREGATION_ERROR;
pub use hetlora::{HetLora, HetLoraConfig};
pub use measure::aggregation_error;
pub use pairs::{Pair, has_pairs, pairs};
pub use part::{CORE, ESTIMATE, FRESH_OPTIMIZER, LORA_A, LORA_B, TRAIN};
pub use ranks::{Ranks, RanksConfig};
pub use reported::Reported;
pub use rolora::RoLora;
pub use scale::Scale;
pub use stack::{Stacking, StackingConfig};

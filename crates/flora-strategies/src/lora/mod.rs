//! Rules that use the factor structure of LoRA updates.
//!
//! LoRA (<https://arxiv.org/abs/2106.09685>) changes a layer's weight `W0` to `W0 + s B A`, with `A` of shape `[r, in]`
//! and `B` of shape `[out, r]`: the tensors `LAYER.lora_A.weight` and `LAYER.lora_B.weight` of a record, with PEFT's
//! names and layout. The product of the clients' mean factors differs from the mean of their products `M = sum_k p_k
//! B_k A_k`, where `p_k = n_k / sum n` are the clients' shares of the training examples. [`aggregation_error`] measures
//! the difference, and [`Reported`] adds it to the metrics of any rule.
//!
//! | rule | clients train and answer | next global factors | compared with `M` |
//! |---|---|---|---|
//! | [`Aligned`] around FedAvg | A and B | means of rotated factors | closer than FedAvg |
//! | [`Ffa`] | B | initial A, mean of B | exact |
//! | [`RoLora`] | B and A alternately | mean of the trained factor | exact |
//! | [`FedSvd`] | B | A orthonormal, from the SVD of `B A` | exact |
//! | [`Fair`] | A and B | mean of A, and a B corrected towards `M` | closer than FedAvg |
//! | [`FlexLora`] | A and B, of individual ranks | best factors of the largest rank | best approximation of that rank |
//! | [`FedSa`] | train A and B, return A | mean of A; B stays with each client | one model per client |
//! | [`FedSb`] | a core R between both | B and A as in the second round, mean of R | exact |
//! | [`FedEx`] | A and B | means of both, and the residual of `M` in the base weights | exact |
//! | [`Stacking`] | A and B, of individual ranks | fresh A, zero B, and `M` in the base weights | exact |
//! | [`HetLora`] | A and B, of individual ranks | means of zero-padded factors | as FedAvg, or worse |
//!
//! Other tensors of the record, if clients train them, take the example-weighted mean. Sums are taken in f64 and in the
//! order of the client ids. Singular values are computed from QR factors of the clients' concatenated matrices, not
//! from a dense product of shape `[out, in]`.

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

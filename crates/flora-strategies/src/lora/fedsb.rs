use std::borrow::Cow;
use std::sync::Arc;

use faer::Mat;
use flora_core::{Dtype, HostTensor, ParameterRecord};
use flora_federation::{
    Accepted, Aggregate, CheckError, ClientInfo, Global, Kind, Message, Strategy, StrategyError,
    Value,
};

use super::matrix::{Changed, matrix, tensor};
use super::mean;
use super::pairs::{Pair, pairs};
use super::part::{self, CORE, ESTIMATE};
use super::product::{Product, no_svd};
use super::svd::Svd;
use crate::values::{in_order, shares};

/// Fed-SB (<https://arxiv.org/abs/2502.15436>): the update of a layer is `s B R A`, of which clients train and send
/// only the core R, `[r, r]`. The product of the mean core is the mean of the products. B and A are orthonormal and
/// frozen: the leading singular vectors of an estimate of the full gradient.
///
/// The first round computes that estimate and trains nothing: with the setting [`ESTIMATE`], clients answer the best
/// factors of rank r of `-dL/dW` over all their training images, and the server takes the singular vectors of the
/// weighted mean of their products. From then on the record has `LAYER.lora_R.weight` beside A and B. R starts at zero,
/// so that training starts from the initial model; the paper starts from the singular values, a step of arbitrary size.
/// All three are sent to clients, because some may join later; only R is sent back.
#[derive(Debug, Clone, Copy, Default)]
pub struct FedSb;

fn core(pair: &Pair) -> String {
    format!("{}.{CORE}.weight", pair.layer)
}

fn has_cores(record: &ParameterRecord) -> bool {
    record.names().any(|name| name.contains(CORE))
}

/// The record with its cores multiplied into B; matrices that it does not hold come from `base`. A record without cores
/// is unchanged.
pub(crate) fn without_cores<'a>(
    record: &'a ParameterRecord,
    base: &ParameterRecord,
) -> Result<Cow<'a, ParameterRecord>, StrategyError> {
    if !has_cores(record) {
        return Ok(Cow::Borrowed(record));
    }
    let mut whole = base.clone();
    whole.replace(record)?;
    let mut changed = Changed::default();
    for pair in pairs(&whole)? {
        let factors = pair.factors(|name| whole.get(name))?;
        if let Some(core) = whole.get(&core(&pair)) {
            changed.set(&pair.b, &(matrix(factors.b) * matrix(core)), factors.b)?;
        }
    }
    let folded = changed.within(&whole)?;
    Ok(Cow::Owned(folded.filter(|name| !name.contains(CORE))))
}

/// The best rank-`rank` factors of a row-major matrix of shape `[out, in]`: A, `[rank, in]`, with orthonormal rows, and
/// B, `[out, rank]`.
///
/// # Errors
/// Values that are not finite, or a singular value decomposition that does not converge.
///
/// # Panics
/// Panics if there are not `out * in` values.
pub fn best_factors(
    values: &[f64],
    [out, width]: [usize; 2],
    rank: usize,
) -> Result<[HostTensor; 2], StrategyError> {
    assert_eq!(values.len(), out * width);
    let dense = Mat::from_fn(out, width, |row, column| values[row * width + column]);
    let svd = dense.thin_svd().map_err(|_| no_svd())?;
    let s = svd.S().column_vector().iter().copied().collect();
    let svd = Svd::new(svd.U().to_owned(), s, svd.V().to_owned());
    let (b, a) = svd.factors(rank, Mat::zeros(0, width).as_ref());
    Ok([tensor(a.as_ref(), Dtype::F32)?, tensor(b.as_ref(), Dtype::F32)?])
}

impl FedSb {
    /// The bases that the clients' gradients span, with zero cores.
    fn begin(
        global: &ParameterRecord,
        answers: &[&Accepted],
    ) -> Result<ParameterRecord, StrategyError> {
        let shares = shares(answers)?;
        let pairs = pairs(global)?;
        let mut changed = Changed::default();
        for pair in &pairs {
            let before = pair.factors(|name| global.get(name))?;
            let (b, a) = Product::mean(pair, answers, &shares)?.svd()?.bases(pair.rank);
            changed.set(&pair.a, &a, before.a)?;
            changed.set(&pair.b, &b, before.b)?;
        }
        let mut next = changed.within(global)?;
        for pair in &pairs {
            let zeros = vec![0.0; pair.rank * pair.rank];
            next.insert(core(pair), HostTensor::from_f32([pair.rank, pair.rank], zeros)?)?;
        }
        Ok(next)
    }
}

impl Strategy for FedSb {
    fn name(&self) -> &str {
        "fed-sb"
    }

    fn instruct(&mut self, global: &Global, _client: &ClientInfo, kind: &Kind) -> Message {
        let parameters = Arc::clone(&global.parameters);
        if *kind != Kind::Train {
            return Message::parameters(parameters);
        }
        if has_cores(&global.parameters) {
            return part::training(parameters, CORE);
        }
        let mut message = Message::parameters(parameters);
        message.config.insert(ESTIMATE.to_owned(), Value::Bool(true));
        message
    }

    fn check(&self, sent: &Message, answer: &Message) -> Result<(), CheckError> {
        part::check(sent, answer)
    }

    fn aggregate(
        &mut self,
        global: &Global,
        accepted: &[Accepted],
    ) -> Result<Aggregate, StrategyError> {
        let answers = in_order(accepted);
        if !has_cores(&global.parameters) {
            return Ok(Aggregate::reshaped(Self::begin(&global.parameters, &answers)?));
        }
        pairs(&global.parameters)?;
        let is_core = |name: &str| name.contains(CORE);
        Ok(Aggregate::new(mean::record(&global.parameters, &answers, is_core)?))
    }
}

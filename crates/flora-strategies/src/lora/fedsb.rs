use std::borrow::Cow;
use std::sync::Arc;

use faer::Mat;
use flora_core::{Dtype, HostTensor, ParameterRecord};
use flora_federation::{
    Accepted, Aggregate, CheckError, ClientInfo, Global, Kind, Message, Strategy, StrategyError,
    Value,
};
use rand_distr::{Distribution, StandardNormal};
use serde::{Deserialize, Serialize};

use super::matrix::{Changed, matrix, tensor};
use super::mean;
use super::pairs::{Pair, pairs};
use super::part::{self, CORE, ESTIMATE, Made};
use super::product::{Product, no_svd};
use super::svd::Svd;
use crate::values::{in_order, shares};

/// The origin of the bases B and A of [`FedSb`].
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Bases {
    /// The leading singular vectors of the gradient, which the first round estimates.
    #[default]
    Gradient,
    /// Orthonormal matrices drawn from the seed. They depend on no data, so they cost no privacy budget, and every
    /// round trains.
    Random,
}

/// The settings of [`FedSb`].
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct FedSbConfig {
    /// The origin of the bases.
    pub bases: Bases,
}

impl FedSbConfig {
    /// Whether the first round estimates a gradient and trains nothing.
    pub fn estimates(&self) -> bool {
        self.bases == Bases::Gradient
    }
}

/// Fed-SB (<https://arxiv.org/abs/2502.15436>): the update of a layer is `s B R A`, of which clients train and send
/// only the core R, `[r, r]`. The product of the mean core is the mean of the products. B and A are orthonormal and
/// frozen: the leading singular vectors of an estimate of the full gradient.
///
/// The first round computes that estimate and trains nothing: with the setting [`ESTIMATE`], clients answer the best
/// factors of rank r of `-dL/dW` over all their training images, and the server takes the singular vectors of the
/// weighted mean of their products. From then on the record has `LAYER.lora_R.weight` beside A and B. R starts at zero,
/// so that training starts from the initial model; the paper starts from the singular values, a step of arbitrary size.
/// All three are sent to clients, because some may join later; only R is sent back.
///
/// With [`Bases::Random`] there is no estimate: the server draws the bases, and the first round already trains cores.
#[derive(Default)]
pub struct FedSb {
    bases: Bases,
    seed: u64,
    drawn: Made,
}

fn core(pair: &Pair) -> String {
    format!("{}.{CORE}.weight", pair.layer)
}

pub(super) fn has_cores(record: &ParameterRecord) -> bool {
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

/// The record with orthonormal bases drawn from `seed`, and cores that are zero.
fn with_drawn_bases(record: &ParameterRecord, seed: u64) -> Result<ParameterRecord, StrategyError> {
    let mut changed = Changed::default();
    for pair in pairs(record)? {
        let factors = pair.factors(|name| record.get(name))?;
        let mut random = flora_core::seed::stream(seed, &format!("fed-sb bases {}", pair.layer));
        let mut draw = || StandardNormal.sample(&mut random);
        changed.set(&pair.b, &orthonormal(pair.out, pair.rank, &mut draw), factors.b)?;
        let a = orthonormal(pair.width, pair.rank, &mut draw);
        changed.set(&pair.a, &a.transpose().to_owned(), factors.a)?;
    }
    with_zero_cores(changed.within(record)?)
}

/// A matrix of shape `[rows, columns]` with orthonormal columns: Q of a matrix of normal numbers that `draw` draws.
/// Columns beyond the number of rows are zero, as in [`Svd::bases`].
fn orthonormal(rows: usize, columns: usize, draw: &mut impl FnMut() -> f64) -> Mat<f64> {
    let q = Mat::from_fn(rows, columns, |_, _| draw()).qr().compute_thin_Q();
    let at = |row, column| if column < rows { q[(row, column)] } else { 0.0 };
    Mat::from_fn(rows, columns, at)
}

/// The cores of the pairs of a record, which are zero; none without pairs.
pub(crate) fn zero_cores(record: &ParameterRecord) -> ParameterRecord {
    let mut cores = ParameterRecord::new();
    for pair in pairs(record).unwrap_or_default() {
        let zeros = HostTensor::from_f32([pair.rank, pair.rank], vec![0.0; pair.rank * pair.rank]);
        cores
            .insert(core(&pair), zeros.expect("as many as the shape has"))
            .expect("a layer has one core");
    }
    cores
}

/// The record with cores that are zero.
fn with_zero_cores(mut record: ParameterRecord) -> Result<ParameterRecord, StrategyError> {
    let cores = zero_cores(&record);
    for (name, core) in cores.iter() {
        record.insert(name, core.clone())?;
    }
    Ok(record)
}

impl FedSb {
    /// The rule; `seed` is that of random bases.
    pub fn new(config: FedSbConfig, seed: u64) -> Self {
        Self { bases: config.bases, seed, drawn: Made::default() }
    }

    /// The global record, or that which the first round begins with: random bases beside cores.
    fn begun(
        &mut self,
        global: &Arc<ParameterRecord>,
    ) -> Result<Arc<ParameterRecord>, StrategyError> {
        if self.bases == Bases::Gradient || has_cores(global) {
            return Ok(Arc::clone(global));
        }
        let seed = self.seed;
        self.drawn.try_get(global, 0, |global| with_drawn_bases(global, seed).map(Some))
    }

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
        with_zero_cores(changed.within(global)?)
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
        // What is no record of LoRA pairs goes out as it is, and `aggregate` says what is wrong with it.
        let parameters = self.begun(&parameters).unwrap_or(parameters);
        if has_cores(&parameters) {
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
        let begun = self.begun(&global.parameters)?;
        if !has_cores(&begun) {
            return Ok(Aggregate::reshaped(Self::begin(&begun, &answers)?));
        }
        pairs(&begun)?;
        let is_core = |name: &str| name.contains(CORE);
        let next = mean::record(&begun, &answers, is_core)?;
        Ok(match has_cores(&global.parameters) {
            true => Aggregate::new(next),
            false => Aggregate::reshaped(next),
        })
    }
}

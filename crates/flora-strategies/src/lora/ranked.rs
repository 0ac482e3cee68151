//! Sending clients the global parameters in their own rank.

use std::sync::Arc;

use faer::{Mat, Scale as Times};
use flora_core::ParameterRecord;
use flora_federation::{ClientInfo, Global, Kind, Message, StrategyError, Value};

use super::matrix::{Changed, matrix};
use super::pairs::{Factors, pairs};
use super::part::{FRESH_OPTIMIZER, Made};
use super::{Ranks, Scale};

/// B and A of a smaller rank.
pub(crate) type Smaller = Result<(Mat<f64>, Mat<f64>), StrategyError>;

/// The clients' ranks, and a cache of the records for each rank.
pub(crate) struct Ranked {
    pub(crate) ranks: Ranks,
    made: Made,
}

impl Ranked {
    pub(crate) fn new(ranks: Ranks) -> Self {
        Self { ranks, made: Made::default() }
    }

    /// The message for a client: for testing, all parameters; for training, the factors that `smaller` computes for its
    /// rank from each pair, with a reset optimizer, because the next round has other factors.
    pub(crate) fn instruct(
        &mut self,
        global: &Global,
        client: &ClientInfo,
        kind: &Kind,
        scale: &Scale,
        smaller: impl Fn(Factors<'_>, usize) -> Smaller,
    ) -> Message {
        if *kind != Kind::Train {
            return Message::parameters(Arc::clone(&global.parameters));
        }
        let rank = self.ranks.rank_of(&client.id);
        // Problems with the global parameters are errors of the aggregation.
        let make = |it: &ParameterRecord| cut(it, rank, scale, &smaller).ok().flatten();
        let mut message = Message::parameters(self.made.get(&global.parameters, rank, make));
        message.config.insert(FRESH_OPTIMIZER.to_owned(), Value::Bool(true));
        message
    }
}

/// The first columns of B and rows of A.
pub(crate) fn first(own: Factors<'_>, rank: usize) -> Smaller {
    let (a, b) = (matrix(own.a), matrix(own.b));
    Ok((b.subcols(0, rank).to_owned(), a.subrows(0, rank).to_owned()))
}

/// The global parameters in a smaller rank; B is multiplied so that the update `scale(rank) B A` is unchanged. `None`
/// if no pair has a larger rank.
fn cut(
    global: &ParameterRecord,
    rank: usize,
    scale: &Scale,
    smaller: impl Fn(Factors<'_>, usize) -> Smaller,
) -> Result<Option<ParameterRecord>, StrategyError> {
    let mut changed = Changed::default();
    let mut pairs = pairs(global)?;
    pairs.retain(|pair| pair.rank > rank);
    if pairs.is_empty() {
        return Ok(None);
    }
    for pair in &pairs {
        let own = pair.factors(|name| global.get(name))?;
        let (b, a) = smaller(own, rank)?;
        let ratio = scale.of(pair.rank) / scale.of(rank);
        changed.set(&pair.a, &a, own.a)?;
        changed.set(&pair.b, &(b * Times(ratio)), own.b)?;
    }
    Ok(Some(changed.within(global)?))
}

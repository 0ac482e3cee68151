use std::{fmt, sync::Arc};

/// The scale `s` of a layer's update `s B A` as a function of its rank: `alpha / r` for LoRA, `alpha / sqrt(r)` for
/// rank-stabilised LoRA (<https://arxiv.org/abs/2312.03732>). By default it is 1 for every rank: if all clients have
/// the same scale, it has no effect on aggregation.
///
/// ```
/// use flora_strategies::lora::Scale;
///
/// let alpha = 16.0;
/// assert_eq!(Scale::new(move |rank| alpha / rank as f64).of(8), 2.0);
/// assert_eq!(Scale::default().of(8), 1.0);
/// ```
#[derive(Clone)]
pub struct Scale(Arc<dyn Fn(usize) -> f64 + Send + Sync>);

impl Scale {
    /// Creates a scale. It must be finite and above 0 for every rank; otherwise the parameters become non-finite, which
    /// the round loop rejects.
    pub fn new(of: impl Fn(usize) -> f64 + Send + Sync + 'static) -> Self {
        Self(Arc::new(of))
    }

    /// The scale for a rank.
    pub fn of(&self, rank: usize) -> f64 {
        (self.0)(rank)
    }
}

impl Default for Scale {
    fn default() -> Self {
        Self::new(|_| 1.0)
    }
}

impl fmt::Debug for Scale {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Scale")
    }
}

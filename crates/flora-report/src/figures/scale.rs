//! Axes in plotters' terms.

use std::ops::Range;

use plotters::coord::{
    combinators::{IntoLogRange, LogCoord},
    ranged1d::{KeyPointHint, NoDefaultFormatting, Ranged, ValueFormatter},
    types::RangedCoordf64,
};

/// A coordinate of plotters with ticks and labels of our choice, which plotters' own combinators cannot format.
pub(super) struct Scale {
    inner: Inner,
    ticks: Vec<f64>,
    labels: Vec<String>,
}

enum Inner {
    Linear(RangedCoordf64),
    Logarithmic(LogCoord<f64>),
}

impl Scale {
    /// Labels are those of the ticks; ticks without one have an empty text.
    pub(super) fn new(
        (low, high): (f64, f64),
        logarithmic: bool,
        ticks: Vec<f64>,
        labels: Vec<String>,
    ) -> Self {
        let inner = if logarithmic {
            Inner::Logarithmic((low..high).log_scale().into())
        } else {
            Inner::Linear((low..high).into())
        };
        Self { inner, ticks, labels }
    }
}

impl Ranged for Scale {
    type FormatOption = NoDefaultFormatting;
    type ValueType = f64;

    fn map(&self, value: &f64, limit: (i32, i32)) -> i32 {
        match &self.inner {
            Inner::Linear(inner) => inner.map(value, limit),
            Inner::Logarithmic(inner) => inner.map(value, limit),
        }
    }

    fn key_points<Hint: KeyPointHint>(&self, hint: Hint) -> Vec<f64> {
        if hint.weight().allow_light_points() { Vec::new() } else { self.ticks.clone() }
    }

    fn range(&self) -> Range<f64> {
        match &self.inner {
            Inner::Linear(inner) => inner.range(),
            Inner::Logarithmic(inner) => inner.range(),
        }
    }
}

impl ValueFormatter<f64> for Scale {
    fn format(_: &f64) -> String {
        String::new()
    }

    fn format_ext(&self, value: &f64) -> String {
        let found = self.ticks.iter().position(|tick| tick == value);
        found.and_then(|found| self.labels.get(found)).cloned().unwrap_or_default()
    }
}

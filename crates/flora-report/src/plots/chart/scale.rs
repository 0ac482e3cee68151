//! From values to places on the figure.

use super::{super::ticks, Chart};

/// Numbers whose largest is at least so many times their smallest are shown on a logarithmic scale.
const LOGARITHMIC: f64 = 8.0;
/// The most steps of the vertical axis within the points; one more may follow at both ends.
const STEPS: usize = 8;

/// The horizontal places, as shares of the width.
pub(super) struct Horizontal {
    /// One for each of the chart's `x`.
    pub(super) places: Vec<f32>,
    /// Whether they are numbers: lines join them.
    pub(super) numeric: bool,
    pub(super) logarithmic: bool,
}

impl Horizontal {
    /// Of at least one name.
    pub(super) fn new(names: &[String]) -> Self {
        let numbers: Vec<f64> = names.iter().filter_map(|name| number(name)).collect();
        let low = numbers.iter().copied().fold(f64::INFINITY, f64::min);
        let high = numbers.iter().copied().fold(f64::NEG_INFINITY, f64::max);
        if numbers.len() < names.len() || low == high {
            let place = |index: usize| (index as f32 + 0.5) / names.len() as f32;
            let places = (0..names.len()).map(place).collect();
            return Self { places, numeric: false, logarithmic: false };
        }
        let logarithmic = low > 0.0 && high / low >= LOGARITHMIC;
        let along = |value: f64| if logarithmic { value.ln() } else { value };
        let (first, last) = (along(low), along(high));
        // Half a step of room on both sides.
        let margin = 0.5 / names.len() as f32;
        let place = |value: &f64| {
            let share = ((along(*value) - first) / (last - first)) as f32;
            margin + (1.0 - 2.0 * margin) * share
        };
        Self { places: numbers.iter().map(place).collect(), numeric: true, logarithmic }
    }
}

fn number(name: &str) -> Option<f64> {
    name.trim().parse().ok().filter(|number: &f64| number.is_finite())
}

/// The vertical axis: round numbers around all points and their error bars.
pub(super) struct Vertical {
    low: f64,
    high: f64,
    step: f64,
}

impl Vertical {
    /// `None` without a finite point.
    pub(super) fn new(chart: &Chart) -> Option<Self> {
        let points = chart.series.iter().flat_map(|series| series.points.iter().flatten());
        let ends = points.flat_map(|point| {
            let deviation = point.deviation.unwrap_or(0.0);
            [point.mean - deviation, point.mean + deviation]
        });
        let (mut low, mut high) = (f64::INFINITY, f64::NEG_INFINITY);
        for end in ends.filter(|end| end.is_finite()) {
            (low, high) = (low.min(end), high.max(end));
        }
        if low > high {
            return None;
        }
        // All the same: a step around it.
        let range = if high > low { high - low } else { high.abs().max(1.0) * 0.1 };
        let step = ticks::step(range, STEPS, ticks::AXIS);
        let (low, high) = ((low / step).floor() * step, (high / step).ceil() * step);
        let high = if high > low { high } else { low + step };
        Some(Self { low, high, step })
    }

    /// From the bottom, as a share of the height.
    pub(super) fn place(&self, value: f64) -> f32 {
        ((value - self.low) / (self.high - self.low)) as f32
    }

    /// Places and labels, from the bottom.
    pub(super) fn ticks(&self) -> Vec<(f32, String)> {
        let decimals = ticks::decimals(self.step);
        let count = ((self.high - self.low) / self.step).round() as usize;
        let tick = |index: usize| {
            let value = self.low + index as f64 * self.step;
            // No "-0".
            let value = if value.abs() < self.step * 1e-6 { 0.0 } else { value };
            (self.place(value), format!("{value:.decimals$}"))
        };
        (0..=count).map(tick).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::{super::Series, *};
    use crate::sweep::Spread;

    fn names(names: &[&str]) -> Vec<String> {
        names.iter().map(|&name| name.to_owned()).collect()
    }

    fn vertical(points: &[(f64, Option<f64>)]) -> Option<Vertical> {
        let point = |&(mean, deviation)| Some(Spread { mean, deviation });
        let series = Series { name: "a".into(), points: points.iter().map(point).collect() };
        Vertical::new(&Chart { series: vec![series], ..Chart::default() })
    }

    #[test]
    fn numbers_lie_where_they_are_and_names_beside_each_other() {
        let ranks = Horizontal::new(&names(&["1", "2", "4", "8", "16"]));
        assert!(ranks.numeric && ranks.logarithmic);
        for (index, place) in ranks.places.iter().enumerate() {
            assert!((place - (0.1 + 0.2 * index as f32)).abs() < 1e-5, "{:?}", ranks.places);
        }
        let linear = Horizontal::new(&names(&["0", "1", "4"]));
        assert!(linear.numeric && !linear.logarithmic);
        assert!((linear.places[1] - (1.0 / 6.0 + 1.0 / 6.0)).abs() < 1e-5, "{:?}", linear.places);
        for texts in [&["a", "2"][..], &["inf", "1"], &["3", "3.0"], &["7"]] {
            let places = Horizontal::new(&names(texts));
            assert!(!places.numeric && !places.logarithmic, "{texts:?}");
            assert_eq!(places.places[0], 0.5 / texts.len() as f32);
        }
    }

    #[test]
    fn the_axis_ends_at_round_numbers_around_everything() {
        let axis = vertical(&[(41.3, Some(2.0)), (57.9, Some(1.4))]).unwrap();
        let labels: Vec<String> = axis.ticks().into_iter().map(|(_, label)| label).collect();
        assert_eq!(labels, ["35", "40", "45", "50", "55", "60"]);
        assert_eq!((axis.place(35.0), axis.place(60.0)), (0.0, 1.0));
        let labels = vertical(&[(-0.2, None), (0.3, None)]).unwrap().ticks();
        assert!(labels.iter().any(|(_, label)| label == "0.0"), "{labels:?}");
    }

    #[test]
    fn equal_points_have_an_axis_and_none_have_none() {
        for value in [0.0, 12.5, -3.0, 100.0] {
            let ticks = vertical(&[(value, None), (value, Some(0.0))]).unwrap().ticks();
            assert!((2..=11).contains(&ticks.len()), "{value}: {ticks:?}");
        }
        assert!(vertical(&[]).is_none());
        assert!(vertical(&[(f64::NAN, None)]).is_none());
    }
}

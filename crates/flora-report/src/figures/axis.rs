//! Ticks, and as many labels as there is room for.

use plotters::coord::{ranged1d::Ranged, types::RangedCoordf64};

use super::{
    scale::Scale,
    text::{LEADING, shorten, width, wrap},
};

/// Size of tick labels, in units.
pub(super) const LABEL: f64 = 15.0;
/// The longest label of a place that is a name, in units.
const LONGEST: f64 = 175.0;
/// Lines of a label that is level.
const LINES: usize = 2;
const GAP: f64 = 8.0;
/// Room to the right of every plot.
pub(super) const RIGHT: f64 = 18.0;
/// From one line of labels to the next, in ems; labels are closer than lines of a text.
pub(super) const CLOSE: f64 = 1.12;
/// The same of slanted labels, from slot to slot.
pub(super) const CLOSE_SLANTED: f64 = 1.1 * std::f64::consts::SQRT_2;

/// Whether a number has a place on an axis. The distance of larger ones may not be a number, and plotters would search
/// for their ticks forever.
pub(crate) fn is_drawn(value: f64) -> bool {
    value.abs() <= 1e300
}

/// The values of an axis: from where to where, with its ticks.
#[derive(Debug, Clone)]
pub(super) struct Values {
    pub(super) low: f64,
    pub(super) high: f64,
    pub(super) ticks: Vec<f64>,
    decimals: usize,
}

impl Values {
    /// Round numbers around everything from `low` to `high`, with about `most` steps at most.
    pub(super) fn around(low: f64, high: f64, most: usize) -> Self {
        // All the same: some room around it.
        let room = if high > low { 0.0 } else { low.abs().max(1.0) * 0.05 };
        let (low, high) = (low - room, high + room);
        let points = RangedCoordf64::from(low..high).key_points(most);
        let step = match points[..] {
            [first, second, ..] => second - first,
            _ => high - low,
        };
        let (first, last) = ((low / step + 1e-9).floor(), (high / step - 1e-9).ceil());
        let count = (last - first).round().clamp(1.0, 100.0) as usize;
        // Adding zero makes zero of -0.
        let ticks = (0..=count).map(|index| (first + index as f64) * step + 0.0).collect();
        Self {
            low: first * step,
            high: (first + count as f64) * step,
            ticks,
            decimals: decimals(step),
        }
    }

    pub(super) fn label(&self, value: f64) -> String {
        let rounded = format!("{value:.*}", self.decimals);
        if rounded.trim_start_matches(['-', '0', '.']).is_empty() {
            format!("{:.*}", self.decimals, 0.0)
        } else {
            rounded
        }
    }

    /// A vertical axis of these values.
    pub(super) fn axis(&self, name: &str) -> Axis {
        let texts = self.ticks.iter().map(|&tick| self.label(tick)).collect();
        Axis {
            name: name.to_owned(),
            range: (self.low, self.high),
            logarithmic: false,
            ticks: self.ticks.clone(),
            labels: Labels { texts, turn: Turn::Level, size: LABEL, every: 1 },
        }
    }
}

/// Ticks of a linear horizontal axis of numbers without further wishes.
pub(super) fn ticks((low, high): (f64, f64), whole: bool, most: usize) -> Vec<f64> {
    let mut ticks = RangedCoordf64::from(low..high).key_points(most);
    ticks.retain(|tick| (low..=high).contains(tick) && (!whole || tick.fract().abs() < 1e-9));
    ticks
}

/// A number without superfluous digits.
pub(super) fn short_number(value: f64) -> String {
    let magnitude = value.abs();
    if magnitude != 0.0 && !(1e-4..1e7).contains(&magnitude) {
        return format!("{value:.3e}").replace(".000e", "e").replace("00e", "e");
    }
    let digits = if magnitude >= 1000.0 { 1 } else { 6 };
    let text = format!("{value:.digits$}");
    let text = text.trim_end_matches('0').trim_end_matches('.');
    if text == "-0" { "0".to_owned() } else { text.to_owned() }
}

/// The next round number: the steps of a scale that should be used to its end.
pub(crate) fn round_up(value: f64) -> f64 {
    const ROUND: [f64; 10] = [1.0, 1.5, 2.0, 2.5, 3.0, 4.0, 5.0, 6.0, 8.0, 10.0];
    let power = 10f64.powf(value.log10().floor());
    if !(power > 0.0 && power.is_finite()) {
        return 0.0;
    }
    // Rounding must not cost a whole step.
    let enough = |round: &&f64| *round * power >= value * (1.0 - 1e-9);
    ROUND.iter().find(enough).unwrap_or(&10.0) * power
}

/// How many decimals multiples of the step need.
pub(super) fn decimals(step: f64) -> usize {
    let whole = |digits: &usize| {
        let scaled = step * 10f64.powi(*digits as i32);
        (scaled - scaled.round()).abs() < 1e-6 * scaled.abs().max(1.0)
    };
    (0..9).find(whole).unwrap_or(9)
}

/// An axis: what it shows, from where to where, and its ticks with their labels.
#[derive(Debug, Clone)]
pub(super) struct Axis {
    pub(super) name: String,
    /// The values at its beginning (left or below) and at its end.
    pub(super) range: (f64, f64),
    pub(super) logarithmic: bool,
    pub(super) ticks: Vec<f64>,
    pub(super) labels: Labels,
}

impl Axis {
    /// Of names at the middles of as many places; `backwards` begins with the last one.
    pub(super) fn places(name: String, labels: Labels, backwards: bool) -> Self {
        let count = labels.texts.len() as f64;
        let range = if backwards { (count - 0.5, -0.5) } else { (-0.5, count - 0.5) };
        let named = |index: &usize| index.is_multiple_of(labels.every);
        let ticks = (0..labels.texts.len()).filter(named).map(|index| index as f64).collect();
        let texts = labels.texts.iter().step_by(labels.every).cloned().collect();
        let name = match labels.every {
            1 => name,
            every => format!("{name} (1 in {every} is named)"),
        };
        Self { name, range, logarithmic: false, ticks, labels: Labels { texts, ..labels } }
    }

    /// Where a value lies, from 0 to 1.
    pub(super) fn share(&self, value: f64) -> f64 {
        let along = |value: f64| if self.logarithmic { value.ln() } else { value };
        let (low, high) = self.range;
        (along(value) - along(low)) / (along(high) - along(low))
    }

    pub(super) fn scale(&self) -> Scale {
        let level = self.labels.turn == Turn::Level;
        let labels = if level { self.labels.texts.clone() } else { Vec::new() };
        Scale::new(self.range, self.logarithmic, self.ticks.clone(), labels)
    }
}

/// The direction of labels below an axis.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Turn {
    Level,
    /// Upwards to the right, ending at the tick.
    Slanted,
    /// Upwards.
    Up,
}

/// The labels of an axis, one for each tick.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Labels {
    /// Empty where there is no room.
    pub(super) texts: Vec<String>,
    pub(super) turn: Turn,
    pub(super) size: f64,
    /// Every how many places one has a label.
    pub(super) every: usize,
}

impl Labels {
    /// Of numbers at these places of an axis, in units: those that touch the one before them or leave the sheet, which
    /// begins and ends there, are left out.
    pub(super) fn numbers(
        texts: Vec<String>,
        places: &[f64],
        size: f64,
        (begin, end): (f64, f64),
    ) -> Self {
        let mut free = begin;
        let texts = texts.into_iter().zip(places).map(|(text, place)| {
            let half = width(&text, size) / 2.0;
            if text.is_empty() || place - half < free || place + half > end {
                return String::new();
            }
            free = place + half + GAP;
            text
        });
        Self { texts: texts.collect(), turn: Turn::Level, size, every: 1 }
    }

    /// Of names below an axis, in slots of equal width: level where all fit beside each other, else slanted, else
    /// upright, and only some where lines would touch. `left` is the room to the left of the first slot.
    pub(super) fn below(names: &[String], slot: f64, size: f64, left: f64) -> Self {
        let every = every(slot, size);
        if names.iter().all(|name| name.trim().parse::<f64>().is_ok()) {
            // Numbers are read level, however few of them have room.
            let texts: Vec<String> =
                names.iter().map(|name| shorten(name, size, LONGEST)).collect();
            let widest = texts.iter().map(|text| width(text, size)).fold(0.0, f64::max);
            let every = ((widest + GAP) / slot).ceil().max(1.0) as usize;
            let places: Vec<f64> =
                (0..names.len()).map(|index| slot * (index as f64 + 0.5)).collect();
            let named = |(index, text): (usize, String)| {
                if index.is_multiple_of(every) { text } else { String::new() }
            };
            let texts = texts.into_iter().enumerate().map(named).collect();
            let sheet = (-left, slot * names.len() as f64 + RIGHT);
            return Self { every, ..Self::numbers(texts, &places, size, sheet) };
        }
        let level = |name: &String| {
            let lines = wrap(name, size, slot - GAP, LINES);
            // A name is shortened only where turning does not help.
            (!lines.iter().any(|line| line.contains('…'))).then(|| lines.join("\n"))
        };
        if let Some(texts) = names.iter().map(level).collect() {
            return Self { texts, turn: Turn::Level, size, every: 1 };
        }
        let slanted = slot >= CLOSE_SLANTED * size;
        let text = |(index, name): (usize, &String)| {
            let room = if slanted {
                (left + slot * (index as f64 + 0.5)) * std::f64::consts::SQRT_2 - size
            } else {
                f64::INFINITY
            };
            shorten(name, size, LONGEST.min(room))
        };
        let texts = names.iter().enumerate().map(text).collect();
        let turn = if slanted { Turn::Slanted } else { Turn::Up };
        Self { texts, turn, size, every: if slanted { 1 } else { every } }
    }

    /// Of names beside an axis, in rows of equal height.
    pub(super) fn beside(names: &[String], slot: f64, size: f64) -> Self {
        let texts = names.iter().map(|name| shorten(name, size, LONGEST)).collect();
        Self { texts, turn: Turn::Level, size, every: every(slot, size) }
    }

    /// How much room they need below the ticks, in units.
    pub(super) fn height(&self) -> f64 {
        match self.turn {
            Turn::Up => self.widest(),
            Turn::Slanted => (self.widest() + self.size) * std::f64::consts::FRAC_1_SQRT_2,
            Turn::Level => {
                let lines = self.texts.iter().map(|text| text.lines().count()).max().unwrap_or(1);
                lines.max(1) as f64 * LEADING * self.size
            }
        }
    }

    pub(super) fn widest(&self) -> f64 {
        let lines = self.texts.iter().flat_map(|text| text.lines());
        lines.map(|line| width(line, self.size)).fold(0.0, f64::max)
    }
}

/// Every how many rows of this height one has room for a line of text.
pub(super) fn every(slot: f64, size: f64) -> usize {
    (CLOSE * size / slot - 1e-9).ceil().max(1.0) as usize
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_axis_ends_at_round_numbers_around_everything() {
        let axis = Values::around(39.3, 59.3, 8);
        assert!(axis.low <= 39.3 && axis.high >= 59.3 && axis.ticks.len() <= 12, "{axis:?}");
        assert!(axis.low > 30.0 && axis.high < 70.0, "{axis:?}");
        assert_eq!((axis.ticks[0], *axis.ticks.last().unwrap()), (axis.low, axis.high));
        let axis = Values::around(0.0, 14.0, 7);
        assert_eq!((axis.low, axis.high), (0.0, *axis.ticks.last().unwrap()));
        assert!((14.0..20.0).contains(&axis.high), "{axis:?}");
        for value in [0.0, 12.5, -3.0, 100.0, 1e-12, 1e12] {
            let axis = Values::around(value, value, 8);
            assert!(axis.low < value && value < axis.high, "{value}: {axis:?}");
            assert!((2..=14).contains(&axis.ticks.len()), "{value}: {axis:?}");
        }
        let axis = Values::around(-0.2, 0.3, 6);
        let labels: Vec<_> = axis.ticks.iter().map(|&tick| axis.label(tick)).collect();
        assert!(labels.contains(&"0.0".to_owned()), "{labels:?}");
    }

    #[test]
    fn numbers_are_short() {
        for (value, expected) in [
            (0.0, "0"),
            (-0.0, "0"),
            (12.5, "12.5"),
            (1000.0, "1000"),
            (0.1 + 0.2, "0.3"),
            (1e-7, "1e-7"),
            (2.5e9, "2.5e9"),
        ] {
            assert_eq!(short_number(value), expected);
        }
    }

    #[test]
    fn round_numbers_are_the_next_ones() {
        for (value, expected) in
            [(1.0, 1.0), (1480.75, 1500.0), (0.975, 1.0), (31.0, 40.0), (7.0, 8.0), (0.0, 0.0)]
        {
            let found = round_up(value);
            assert!((found - expected).abs() <= 1e-9 * expected, "{value}: {found}");
        }
    }

    #[test]
    fn labels_turn_and_thin_out_as_room_shrinks() {
        let names: Vec<String> = (0..40).map(|index| format!("class number {index}")).collect();
        let wide = Labels::below(&names, 200.0, LABEL, 100.0);
        assert!(wide.turn == Turn::Level && wide.texts == names);
        let lines = Labels::below(&names, 96.0, LABEL, 100.0);
        assert!(lines.turn == Turn::Level && lines.texts[3] == "class\nnumber 3", "{lines:?}");
        let slanted = Labels::below(&names, 30.0, LABEL, 100.0);
        assert!(slanted.turn == Turn::Slanted && slanted.texts == names && slanted.every == 1);
        let tight = Labels::below(&names, 30.0, LABEL, 20.0).texts;
        assert!(tight[0].contains('…') && tight[39] == names[39], "{tight:?}");
        let up = Labels::below(&names, 20.0, LABEL, 100.0);
        assert!(up.turn == Turn::Up && up.texts == names && up.every == 1);
        let axis = Axis::places("class".into(), Labels::below(&names, 5.0, LABEL, 100.0), false);
        assert_eq!(axis.name, "class (1 in 4 is named)");
        assert_eq!((axis.ticks.len(), axis.labels.texts.len()), (10, 10));
        assert_eq!(axis.labels.texts[1], names[4]);
        let numbers: Vec<String> = (0..100).map(|index| index.to_string()).collect();
        let axis = Axis::places("round".into(), Labels::below(&numbers, 5.0, LABEL, 100.0), false);
        assert_eq!(axis.name, "round (1 in 6 is named)");
        assert_eq!(axis.labels.texts[..3], ["0", "6", "12"]);
        assert!(axis.labels.texts.iter().all(|text| !text.is_empty()), "{axis:?}");
        let places: Vec<f64> = (0..100).map(|index| f64::from(index) * 5.0).collect();
        let shown = Labels::numbers(numbers, &places, LABEL, (0.0, 480.0)).texts;
        assert!(shown[0].is_empty() && shown[99].is_empty(), "they would leave the sheet");
        let shown = shown.iter().filter(|text| !text.is_empty()).count();
        assert!((15..30).contains(&shown), "{shown}");
    }
}

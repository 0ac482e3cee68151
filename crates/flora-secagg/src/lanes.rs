//! Values as unsigned integers that add up without overflow.
//!
//! A weighted value `x` in `[-range, range]` becomes `half + round(x / range * half)` with `half = 2^(bits - 1) - 1`.
//! The number of steps is even, so that zero is a lane exactly: a parameter that did not change adds nothing to the
//! mean.
//!
//! Values are weighted before they are rounded, on one grid for all: `x = weight / max_weight * value`. Weighting after
//! rounding (lanes times weights) would take `log2(max_weight)` more bits per lane, which are better spent on more bits
//! of `x`. The price is that a client of small weight uses a small part of the grid, so that the error of the mean
//! grows with `max_weight` over the mean weight. Stochastic rounding is unbiased nevertheless.
//!
//! The range is that of values before they are weighted. A server chooses `max_weight`: if weighted values had to be
//! within the range, it could find an update's largest value by the choices that are refused.

use rand_chacha::rand_core::CryptoRng;
use serde::{Deserialize, Serialize};

use crate::{
    ClientId, Result, SecaggError,
    packing::Layout,
    rotation::{self, Rotation},
};

/// How a value between two steps becomes a lane.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Rounding {
    /// To the nearest step; halves away from zero.
    #[default]
    Nearest,
    /// Up or down at random, so that the expected value is exact.
    Stochastic,
}

/// The grid that all clients of a setup share.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Grid {
    /// The largest magnitude of a value; with `is_rotated`, the largest norm of an update.
    pub(crate) range: f32,
    pub(crate) is_rotated: bool,
    /// Whether lanes have as few bits as the sum needs, instead of 32.
    pub(crate) is_packed: bool,
    pub(crate) bits: u32,
    pub(crate) rounding: Rounding,
    pub(crate) max_weight: u64,
}

impl Grid {
    pub(crate) fn half(&self) -> u32 {
        (1 << (self.bits - 1)) - 1
    }

    /// The most bits with which the lanes of so many clients add up below 2^32.
    pub(crate) fn most_bits(clients: usize) -> u32 {
        // Of 31 bits two lanes fit: 2 (2^31 - 2) < 2^32.
        let most = u64::from(u32::MAX) / clients.max(1) as u64;
        (most + 2).ilog2().min(31)
    }

    /// The packing of lanes, unless they are sent as words of 32 bits.
    pub(crate) fn layout(&self, clients: usize, length: usize) -> Option<Layout> {
        let all = clients as u64;
        let most = 2 * u64::from(self.half());
        self.is_packed.then(|| Layout::new(length, all * most, all * self.max_weight))
    }

    /// The largest magnitude of a lane's value.
    fn reach(&self, length: usize) -> f64 {
        let range = f64::from(self.range);
        if self.is_rotated { rotation::reach(range, length) } else { range }
    }

    /// The weighted update, rotated.
    fn weighted(&self, update: &[f32], weight: u64, rotation: &Rotation) -> Result<Vec<f64>> {
        let most = f64::from(self.range);
        if let Some(lane) = update.iter().position(|value| !value.is_finite()) {
            let value = f64::from(update[lane]);
            return Err(SecaggError::Range { lane, value, range: most });
        }
        let norm = update.iter().map(|value| f64::from(*value).powi(2)).sum::<f64>().sqrt();
        if norm > most {
            return Err(SecaggError::Norm { norm, most });
        }
        let factor = weight as f64 / self.max_weight as f64;
        let mut values: Vec<f64> = update.iter().map(|value| factor * f64::from(*value)).collect();
        rotation.apply(&mut values);
        Ok(values)
    }

    /// The lanes of an update with this weight, and the weight as the last one. With `rotation`, if the grid is rotated.
    pub(crate) fn encode(
        &self,
        update: &[f32],
        weight: u64,
        rotation: Option<&Rotation>,
        rng: &mut impl CryptoRng,
    ) -> Result<Vec<u32>> {
        if weight > self.max_weight {
            return Err(SecaggError::Weight { weight, most: self.max_weight });
        }
        let rotated = rotation.map(|it| self.weighted(update, weight, it)).transpose()?;
        let (range, half) = (self.reach(update.len()), self.half());
        let factor = weight as f64 / self.max_weight as f64;
        let mut lanes = Vec::with_capacity(update.len() + 1);
        for (lane, value) in update.iter().enumerate() {
            let value = f64::from(*value);
            // Whether it fits must not depend on the factor. Not `x.abs() > range`, which lets NaN pass.
            let (x, fits) = match &rotated {
                None => (factor * value, value.abs() <= range),
                Some(all) => (all[lane], all[lane].abs() <= factor * range),
            };
            if !fits {
                let value = if rotated.is_some() { x / factor } else { value };
                return Err(SecaggError::Range { lane, value, range });
            }
            let steps = x / range * f64::from(half);
            let whole = match self.rounding {
                Rounding::Nearest => steps.round(),
                Rounding::Stochastic => {
                    let chance = (rng.next_u64() >> 11) as f64 * (-53_f64).exp2();
                    steps.floor() + f64::from(u8::from(chance < steps - steps.floor()))
                }
            };
            lanes.push((i64::from(half) + whole as i64) as u32);
        }
        lanes.push(weight as u32);
        Ok(lanes)
    }
}

/// The server's result: the clients in the sum, their total weight, and the sum of their weighted updates.
#[derive(Debug, Clone, PartialEq)]
pub struct Sum {
    clients: Vec<ClientId>,
    lanes: Vec<u32>,
    grid: Grid,
    rotation: Option<Rotation>,
}

impl Sum {
    /// # Errors
    ///
    /// Sums that this number of honest clients cannot reach. Wrong masks leave random lanes, most of which are that
    /// large.
    pub(crate) fn new(
        clients: Vec<ClientId>,
        lanes: Vec<u32>,
        grid: Grid,
        rotation: Option<Rotation>,
    ) -> Result<Self> {
        let count = clients.len() as u64;
        let last = lanes.len() - 1;
        for (lane, value) in lanes.iter().enumerate() {
            let most =
                count * if lane == last { grid.max_weight } else { 2 * u64::from(grid.half()) };
            if u64::from(*value) > most {
                return Err(SecaggError::Sum { lane, value: *value, clients: clients.len(), most });
            }
        }
        Ok(Self { clients, lanes, grid, rotation })
    }

    /// The clients whose updates are in the sum, in ascending order.
    pub fn clients(&self) -> &[ClientId] {
        &self.clients
    }

    /// The sum of the weights, usually of examples.
    pub fn weight(&self) -> u64 {
        u64::from(*self.lanes.last().expect("the lane of the weight"))
    }

    /// The integer sum of the clients' lanes, exact. The last lane is the weight.
    pub fn lanes(&self) -> &[u32] {
        &self.lanes
    }

    /// `sum over clients of weight * update`. Each client's value is off by half a [`step`](Self::step) times
    /// `max_weight` at most (a whole one with stochastic rounding). If updates were rotated, that is the error before
    /// the sum is rotated back, which keeps the error's norm.
    pub fn weighted(&self) -> Vec<f64> {
        let zero = self.clients.len() as i64 * i64::from(self.grid.half());
        let unit = self.step() * self.grid.max_weight as f64;
        let (_, values) = self.lanes.split_last().expect("the lane of the weight");
        let mut sum: Vec<f64> =
            values.iter().map(|lane| (i64::from(*lane) - zero) as f64 * unit).collect();
        if let Some(rotation) = &self.rotation {
            rotation.undo(&mut sum);
        }
        sum
    }

    /// The weighted mean of the updates.
    ///
    /// # Errors
    ///
    /// [`SecaggError::NoWeight`] if all weights are zero.
    pub fn mean(&self) -> Result<Vec<f32>> {
        match self.weight() {
            0 => Err(SecaggError::NoWeight),
            weight => {
                Ok(self.weighted().into_iter().map(|sum| (sum / weight as f64) as f32).collect())
            }
        }
    }

    /// The distance of two neighbouring lanes, in units of `weight / max_weight * update`.
    pub fn step(&self) -> f64 {
        self.grid.reach(self.lanes.len() - 1) / f64::from(self.grid.half())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand_chacha::{ChaCha20Rng, rand_core::SeedableRng};

    const GRID: Grid = Grid {
        range: 2.0,
        is_rotated: false,
        is_packed: false,
        bits: 10,
        rounding: Rounding::Nearest,
        max_weight: 100,
    };

    fn lanes(grid: &Grid, update: &[f32], weight: u64) -> Result<Vec<u32>> {
        let session = crate::Session { run: "r".to_owned(), round: 3, attempt: 0 };
        let rotation = grid.is_rotated.then(|| Rotation::new(&session));
        grid.encode(update, weight, rotation.as_ref(), &mut ChaCha20Rng::seed_from_u64(1))
    }

    #[test]
    fn both_ends_and_zero_are_lanes() {
        assert_eq!(lanes(&GRID, &[-2.0, 0.0, 2.0, -0.0], 100).unwrap(), [0, 511, 1022, 511, 100]);
        assert_eq!(lanes(&GRID, &[-2.0, 1.0], 50).unwrap(), [255, 639, 50]);
        assert_eq!(lanes(&GRID, &[2.0], 0).unwrap(), [511, 0]);
    }

    #[test]
    fn values_out_of_range_are_errors_that_name_the_lane() {
        for (value, weight) in
            [(2.001, 100), (-2.001, 100), (2.001, 50), (f32::NAN, 1), (f32::INFINITY, 0)]
        {
            let error = lanes(&GRID, &[0.0, value], weight).unwrap_err();
            assert!(matches!(error, SecaggError::Range { lane: 1, .. }), "{value}: {error}");
        }
        assert_eq!(lanes(&GRID, &[0.0], 101), Err(SecaggError::Weight { weight: 101, most: 100 }));
    }

    #[test]
    fn norms_out_of_range_are_errors_and_numbers_do_not_count() {
        let grid = Grid { is_rotated: true, ..GRID };
        let spike = |at: f32| {
            let mut update = vec![0.0; 500];
            update[7] = at;
            update
        };
        for (norm, weight) in [(2.0, 100), (2.0, 50), (-2.0, 100), (0.0, 100), (2.0, 0)] {
            lanes(&grid, &spike(norm), weight).unwrap();
        }
        for (norm, weight) in [(2.001, 100), (-2.001, 50), (1e30, 1)] {
            let error = lanes(&grid, &spike(norm), weight).unwrap_err();
            assert!(matches!(error, SecaggError::Norm { most: 2.0, .. }), "{error}");
        }
        for value in [f32::NAN, f32::INFINITY] {
            let error = lanes(&grid, &spike(value), 0).unwrap_err();
            assert!(matches!(error, SecaggError::Range { lane: 7, .. }), "{error}");
        }
        // What did not change is still nothing.
        assert!(lanes(&grid, &spike(0.0), 100).unwrap()[..500].iter().all(|lane| *lane == 511));
    }

    /// Otherwise a server could search for the largest value, or the norm, by the `max_weight` at which it is refused.
    #[test]
    fn whether_an_update_fits_does_not_depend_on_max_weight() {
        for is_rotated in [false, true] {
            for (value, fits) in [(1.999, true), (2.001, false)] {
                for max_weight in [10, 11, 20, 1000, 1 << 30] {
                    let grid = Grid { is_rotated, max_weight, ..GRID };
                    let found = lanes(&grid, &[0.0, 0.0, value], 10);
                    assert_eq!(found.is_ok(), fits, "{max_weight}: {found:?}");
                }
            }
        }
    }

    #[test]
    fn as_many_bits_as_fit_and_no_more() {
        for clients in [2, 3, 4, 5, 7, 10, 100, 1000, 65_536] {
            let bits = Grid::most_bits(clients);
            let sum = |bits: u32| clients as u64 * ((1_u64 << bits) - 2);
            assert!(
                sum(bits) < 1 << 32 && (bits == 31 || sum(bits + 1) >= 1 << 32),
                "{clients} {bits}"
            );
        }
    }

    #[test]
    fn stochastic_rounding_is_right_on_average_and_within_a_step() {
        let grid = Grid { rounding: Rounding::Stochastic, ..GRID };
        // 0.3 / 2 * 511 = 76.65 steps.
        let update = vec![0.3; 20_000];
        let lanes = lanes(&grid, &update, 100).unwrap();
        let (_, values) = lanes.split_last().unwrap();
        assert!(values.iter().all(|lane| [511 + 76, 511 + 77].contains(lane)));
        let mean = values.iter().map(|lane| f64::from(*lane)).sum::<f64>() / 20_000.0;
        assert!((mean - 587.65).abs() < 0.02, "{mean}");
    }
}

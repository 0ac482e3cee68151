//! The server's settings from the stage `setup`.

use super::SecAggError;
use super::read::Fields;

/// The most neighbours: more would mean as many keys and masks for one node.
pub(super) const MOST_SHARES: u64 = 10_000;

/// The settings of a round, all validated.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Settings {
    pub(super) sample_num: u64,
    pub(super) share_num: u32,
    pub(super) threshold: u32,
    pub(super) clipping_range: f64,
    pub(super) target_range: u32,
    pub(super) mod_range: u64,
    pub(super) max_weight: f64,
}

impl Settings {
    pub(super) fn read(fields: &Fields<'_>) -> Result<Self, SecAggError> {
        let share_num = fields.whole("share_num")?;
        let threshold = fields.whole("threshold")?;
        let target_range = fields.whole("target_range")?;
        if share_num > MOST_SHARES {
            let problem =
                format!("is {share_num}, and a node makes {MOST_SHARES} at most; lower it");
            return Err(SecAggError::setting("num_shares", problem));
        }
        let whole = |number: u64| u32::try_from(number).unwrap_or(u32::MAX);
        let settings = Self {
            sample_num: fields.whole("sample_num")?,
            share_num: whole(share_num),
            threshold: whole(threshold),
            clipping_range: fields.number("clipping_range")?,
            target_range: whole(target_range),
            mod_range: fields.whole("mod_range")?,
            max_weight: fields.number("max_weight")?,
        };
        settings.check()?;
        Ok(settings)
    }

    /// Refuses settings that would reveal parameters, or give a wrong sum.
    pub(super) fn check(&self) -> Result<(), SecAggError> {
        let Self { sample_num, share_num, threshold, target_range, mod_range, .. } = *self;
        if threshold < 2 {
            let problem = format!(
                "comes to {threshold}, so that one node alone could give secrets away; raise it to 2"
            );
            return Err(SecAggError::setting("reconstruction_threshold", problem));
        }
        if threshold > share_num {
            let problem =
                format!("comes to {threshold}, more than num_shares, {share_num}; lower it");
            return Err(SecAggError::setting("reconstruction_threshold", problem));
        }
        for (setting, value) in
            [("clipping_range", self.clipping_range), ("max_weight", self.max_weight)]
        {
            if !(value > 0.0 && value.is_finite()) {
                return Err(SecAggError::setting(
                    setting,
                    format!("is {value}; it must be positive"),
                ));
            }
        }
        // Flower's server counts in i32 here.
        if !(1..=i32::MAX as u32).contains(&target_range) {
            let problem = format!("is {target_range}; it must be from 1 to 2^31 - 1");
            return Err(SecAggError::setting("quantization_range", problem));
        }
        if !mod_range.is_power_of_two() || !(4..=1 << 32).contains(&mod_range) {
            let problem = format!("is {mod_range}; it must be a power of 2 up to 2^32");
            return Err(SecAggError::setting("modulus_range", problem));
        }
        if u128::from(sample_num) * u128::from(target_range) >= u128::from(mod_range) {
            let problem = format!(
                "is {mod_range}, and the sum of {sample_num} nodes can reach {sample_num} * {target_range}, where it \
                 would overflow without a word; raise it (2^32 at most), or lower quantization_range"
            );
            return Err(SecAggError::setting("modulus_range", problem));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn settings_that_flower_takes_and_that_go_wrong_are_refused() {
        let good = Settings {
            sample_num: 1023,
            share_num: 3,
            threshold: 2,
            clipping_range: 8.0,
            target_range: 1 << 22,
            mod_range: 1 << 32,
            max_weight: 1000.0,
        };
        good.check().unwrap();
        let cases: [(&str, Settings); 12] = [
            ("reconstruction_threshold", Settings { threshold: 1, ..good.clone() }),
            ("reconstruction_threshold", Settings { threshold: 4, ..good.clone() }),
            ("clipping_range", Settings { clipping_range: 0.0, ..good.clone() }),
            ("clipping_range", Settings { clipping_range: f64::NAN, ..good.clone() }),
            ("max_weight", Settings { max_weight: f64::INFINITY, ..good.clone() }),
            ("max_weight", Settings { max_weight: -1.0, ..good.clone() }),
            ("quantization_range", Settings { target_range: 0, ..good.clone() }),
            ("quantization_range", Settings { target_range: u32::MAX, ..good.clone() }),
            ("modulus_range", Settings { mod_range: 1 << 33, ..good.clone() }),
            ("modulus_range", Settings { mod_range: (1 << 32) - 1, ..good.clone() }),
            ("modulus_range", Settings { sample_num: 1024, ..good.clone() }),
            ("modulus_range", Settings { sample_num: u64::MAX, ..good }),
        ];
        for (setting, settings) in cases {
            let error = settings.check().unwrap_err().to_string();
            assert!(error.contains(&format!("`{setting}`")), "{settings:?}: {error}");
        }
    }
}

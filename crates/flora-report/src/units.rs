//! Numbers in human-readable form.

pub use flora_core::disk::bytes;
use time::OffsetDateTime;

/// A duration: `0.42 s`, `12.3 s`, `2 min 05 s`, `1 h 02 min`.
pub fn seconds(seconds: f64) -> String {
    if seconds < 9.995 {
        return format!("{seconds:.2} s");
    }
    if seconds < 59.95 {
        return format!("{seconds:.1} s");
    }
    let whole = seconds.round() as u64;
    if whole < 3600 {
        format!("{} min {:02} s", whole / 60, whole % 60)
    } else {
        format!("{} h {:02} min", whole / 3600, whole % 3600 / 60)
    }
}

/// A point in time, in seconds since 1970-01-01 UTC, in UTC: `2026-11-27 09:08`.
pub fn date(seconds: u64) -> String {
    let date =
        i64::try_from(seconds).ok().and_then(|s| OffsetDateTime::from_unix_timestamp(s).ok());
    match date {
        Some(date) => format!(
            "{}-{:02}-{:02} {:02}:{:02}",
            date.year(),
            u8::from(date.month()),
            date.day(),
            date.hour(),
            date.minute()
        ),
        None => format!("{seconds} s"),
    }
}

/// A relative error: `12.3 %`, or `2e-8` if it is only rounding.
pub fn relative(error: f64) -> String {
    match error {
        0.0 => "0".to_owned(),
        error if error < 5e-4 => format!("{error:.0e}"),
        error => format!("{} %", percent(error)),
    }
}

/// A share as a percentage without its sign: `27.1`.
pub fn percent(share: f64) -> String {
    format!("{:.1}", 100.0 * share)
}

/// The same for an optional share: `27.1` or `-`.
pub fn percent_or_dash(share: Option<f64>) -> String {
    share.map_or_else(|| "-".to_owned(), percent)
}

/// A figure with three significant digits: `0.00123`, `4.57`, `12.3`, `1,235`.
pub fn figure(value: f64) -> String {
    if value == 0.0 || !value.is_finite() {
        return value.to_string();
    }
    // 9.995 would have four digits with two decimals.
    let rounded = (0..8).find(|&digits| {
        let unit = 10f64.powi(digits);
        (value.abs() * unit).round() >= 100.0
    });
    match rounded {
        Some(0) => {
            let sign = if value < 0.0 { "-" } else { "" };
            format!("{sign}{}", count(value.abs().round() as usize))
        }
        Some(digits) => format!("{value:.*}", digits as usize),
        None => format!("{value:.2e}"),
    }
}

/// A count with separated thousands: `151,277,313`.
pub fn count(count: usize) -> String {
    let digits = count.to_string();
    let mut grouped = String::with_capacity(digits.len() * 4 / 3);
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            grouped.push(',');
        }
        grouped.push(digit);
    }
    grouped
}

/// A bound, such as a privacy budget, with four decimal places, rounded up so that it holds as displayed.
pub fn bound(number: f64) -> String {
    format!("{:.4}", (number * 1e4).ceil() / 1e4)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations() {
        for (value, expected) in [
            (0.0, "0.00 s"),
            (9.999, "10.0 s"),
            (59.96, "1 min 00 s"),
            (125.4, "2 min 05 s"),
            (3725.0, "1 h 02 min"),
        ] {
            assert_eq!(seconds(value), expected);
        }
    }

    #[test]
    fn dates() {
        assert_eq!(date(0), "1970-01-01 00:00");
        assert_eq!(date(1_795_770_539), "2026-11-27 09:08");
        assert_eq!(date(u64::MAX), format!("{} s", u64::MAX));
    }

    #[test]
    fn figures_have_three_digits() {
        for (value, expected) in [
            (0.0, "0"),
            (0.001234, "0.00123"),
            (4.567, "4.57"),
            (9.996, "10.0"),
            (12.34, "12.3"),
            (99.96, "100"),
            (1234.5, "1,235"),
            (-0.5, "-0.500"),
            (-1234.4, "-1,234"),
            (1.234e-9, "1.23e-9"),
            (f64::INFINITY, "inf"),
        ] {
            assert_eq!(figure(value), expected);
        }
    }

    #[test]
    fn counts_and_percentages() {
        for (value, expected) in
            [(0, "0"), (999, "999"), (24_576, "24,576"), (151_277_313, "151,277,313")]
        {
            assert_eq!(count(value), expected);
        }
        assert_eq!(percent(0.14666), "14.7");
        assert_eq!(percent(1.0), "100.0");
        for (error, expected) in [(0.1234, "12.3 %"), (6e-4, "0.1 %"), (2.3e-8, "2e-8"), (0.0, "0")]
        {
            assert_eq!(relative(error), expected);
        }
    }
}

use std::time::Instant;

use crate::BenchError;
use crate::clock::cpu_seconds;

/// The timed repeats of a workload.
#[derive(Debug, Default)]
pub(crate) struct Samples {
    /// Wall-clock seconds of each.
    pub(crate) seconds: Vec<f64>,
    /// Processor seconds of each; empty if the system does not report them.
    pub(crate) cpu_seconds: Vec<f64>,
}

impl Samples {
    /// Times `work` once more.
    pub(crate) fn add(
        &mut self,
        work: impl FnOnce() -> Result<(), BenchError>,
    ) -> Result<(), BenchError> {
        let (cpu, started) = (cpu_seconds(), Instant::now());
        work()?;
        self.seconds.push(started.elapsed().as_secs_f64());
        self.cpu_seconds.extend(cpu_seconds().zip(cpu).map(|(after, before)| after - before));
        Ok(())
    }
}

/// The middle value, or the mean of the two in the middle; `None` for an empty list.
pub(crate) fn median(values: &[f64]) -> Option<f64> {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    let (low, high) = (sorted.len().checked_sub(1)? / 2, sorted.len() / 2);
    Some((sorted[low] + sorted[high]) / 2.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_median_is_in_the_middle() {
        assert_eq!(median(&[]), None);
        assert_eq!(median(&[3.0]), Some(3.0));
        assert_eq!(median(&[3.0, 1.0]), Some(2.0));
        assert_eq!(median(&[9.0, 1.0, 2.0]), Some(2.0));
    }

    #[test]
    fn waiting_takes_time_but_no_processor() {
        let mut samples = Samples::default();
        let wait = std::time::Duration::from_millis(30);
        let sleep = || {
            std::thread::sleep(wait);
            Ok(())
        };
        samples.add(sleep).unwrap();
        assert!(samples.seconds[0] >= 0.03);
        assert_eq!(samples.cpu_seconds.len(), usize::from(cfg!(unix)));
    }
}

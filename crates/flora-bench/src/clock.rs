/// Processor seconds used by all threads of this process; `None` if the system does not report them.
#[cfg(unix)]
pub(crate) fn cpu_seconds() -> Option<f64> {
    use rustix::time::{ClockId, clock_gettime};
    let time = clock_gettime(ClockId::ProcessCPUTime);
    Some(time.tv_sec as f64 + time.tv_nsec as f64 * 1e-9)
}

#[cfg(not(unix))]
pub(crate) fn cpu_seconds() -> Option<f64> {
    None
}

#[cfg(all(test, unix))]
mod tests {
    use super::cpu_seconds;
    use std::hint::black_box;
    use std::time::{Duration, Instant};

    #[test]
    fn work_counts_on_any_thread() {
        let before = cpu_seconds().unwrap();
        let busy = || {
            let started = Instant::now();
            while started.elapsed() < Duration::from_millis(20) {
                black_box((0..1000u64).sum::<u64>());
            }
        };
        std::thread::scope(|scope| drop(scope.spawn(busy)));
        // However little of those 20 ms the thread was scheduled.
        assert!(cpu_seconds().unwrap() > before);
    }
}

//! Peak memory use of this process.

/// The most memory that this process has held at once, in bytes: `VmHWM`, the peak resident set, of
/// `/proc/self/status`. `None` if there is no such file.
pub fn peak_memory_bytes() -> Option<u64> {
    parse_vm_hwm(&std::fs::read_to_string("/proc/self/status").ok()?)
}

/// Restarts the measurement of the peak (Linux only), so that each of several runs in one process has its own.
pub fn reset_peak_memory() {
    // If the reset fails, the peak remains that of the whole process.
    let _ = std::fs::write("/proc/self/clear_refs", "5");
}

fn parse_vm_hwm(status: &str) -> Option<u64> {
    let value = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    let kibibytes: u64 = value.trim().strip_suffix("kB")?.trim_end().parse().ok()?;
    kibibytes.checked_mul(1024)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_the_kernels_line() {
        let status = "Name:\tflora\nVmPeak:\t  9000 kB\nVmHWM:\t    1234 kB\nVmRSS:\t  1000 kB\n";
        assert_eq!(parse_vm_hwm(status), Some(1234 * 1024));
        assert_eq!(parse_vm_hwm("Name:\tflora\n"), None);
        assert_eq!(parse_vm_hwm("VmHWM:\tmany kB\n"), None);
    }

    #[test]
    #[cfg(target_os = "linux")]
    fn this_process_holds_what_it_touches() {
        let before = peak_memory_bytes().unwrap();
        let block = std::hint::black_box(vec![1_u8; 64 << 20]);
        assert!(peak_memory_bytes().unwrap() >= block.len() as u64);
        assert!(before > 0);
        drop(block);
        reset_peak_memory();
        assert!(peak_memory_bytes().unwrap() < before + (64 << 20));
    }
}

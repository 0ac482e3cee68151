/// The name of the processor: the model name in `/proc/cpuinfo` if the system has it, otherwise the architecture.
pub(crate) fn cpu() -> String {
    let info = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    model_name(&info).unwrap_or(std::env::consts::ARCH).to_owned()
}

fn model_name(info: &str) -> Option<&str> {
    let names = info.lines().filter_map(|line| line.strip_prefix("model name")?.split_once(':'));
    names.map(|(_, name)| name.trim()).find(|name| !name.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_kernels_line_is_read() {
        let info = "processor\t: 0\nmodel\t\t: 17\nmodel name\t: Some CPU @ 2 GHz\nflags\t: a\n";
        assert_eq!(model_name(info), Some("Some CPU @ 2 GHz"));
        assert_eq!(model_name("processor\t: 0\nmodel name\t:\n"), None);
        assert!(!cpu().is_empty());
    }
}

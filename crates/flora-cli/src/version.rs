//! The version of flora.

use std::sync::LazyLock;

/// The version, and the commit if it is known: `0.1.0 (d5fdac7a4)`.
pub(crate) fn short() -> &'static str {
    static SHORT: LazyLock<String> = LazyLock::new(|| {
        let version = env!("CARGO_PKG_VERSION");
        match env!("FLORA_COMMIT") {
            "" => version.to_owned(),
            commit => format!("{version} ({commit})"),
        }
    });
    &SHORT
}

/// The version, and the backends that it was built with.
pub(crate) fn long() -> &'static str {
    static LONG: LazyLock<String> = LazyLock::new(|| {
        let devices = flora::device::available().into_iter().map(|(name, _)| match name {
            "flex" => "cpu (flex)",
            _ => name,
        });
        let devices: Vec<&str> = devices.collect();
        let hub = if cfg!(feature = "hub") { "yes" } else { "no" };
        format!(
            "{}\ndevices: {}\ndownloads: {hub}\nburn: {}",
            short(),
            devices.join(", "),
            flora::BURN_VERSION
        )
    });
    &LONG
}

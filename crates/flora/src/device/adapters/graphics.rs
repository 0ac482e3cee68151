//! Adapters of the graphics APIs, through wgpu.

use std::sync::Mutex;

use burn::tensor::wgpu::wgpu;
use burn::tensor::{Device, DeviceKind, read_sync};

use super::{Adapter, SOFTWARE, missing};
use crate::device::{Backend, DeviceError, DeviceName};

/// An adapter, and burn's name for it.
pub(super) struct Found {
    pub(super) adapter: Adapter,
    /// `None` if burn has no name for it.
    kind: Option<DeviceKind>,
    /// Lower is better.
    rank: usize,
}

/// The adapters of the graphics API that a device of `backend` uses.
pub(super) fn found(backend: Backend) -> Vec<Found> {
    // burn's choice of an API: the first with a GPU, otherwise the first with any adapter.
    let mut software = Vec::new();
    for api in apis(backend) {
        let found = number(backend, &probe(*api));
        if found.iter().any(|found| !found.adapter.is_software()) {
            return found;
        }
        if software.is_empty() {
            software = found;
        }
    }
    software
}

pub(super) fn find(name: &DeviceName) -> Result<(Device, Adapter), DeviceError> {
    let mut found = found(name.backend);
    let chosen = match name.index {
        Some(index) => (index < found.len()).then_some(index),
        None => (0..found.len()).min_by_key(|&index| found[index].rank),
    };
    let Some(index) = chosen else {
        let adapters: Vec<_> = found.iter().map(|found| &found.adapter).collect();
        return Err(missing(name, api_names(name.backend), &adapters, remedy(name, &adapters)));
    };
    let is_alone = found.len() == 1;
    let chosen = found.swap_remove(index);
    let kind = match chosen.kind {
        Some(kind) => kind,
        // burn's default choice.
        None if is_alone => DeviceKind::DefaultDevice,
        None => {
            return Err(DeviceError::Index {
                name: name.to_string(),
                problem: format!(
                    "burn cannot address {} ({}) beside the others; hide those from the loader, for example \
                     with VK_DRIVER_FILES",
                    chosen.adapter.name, chosen.adapter.kind
                ),
            });
        }
    };
    Ok((device(name.backend, kind), chosen.adapter))
}

fn device(backend: Backend, kind: DeviceKind) -> Device {
    match backend {
        #[cfg(feature = "vulkan")]
        Backend::Vulkan => Device::vulkan(kind),
        #[cfg(feature = "metal")]
        Backend::Metal => Device::metal(kind),
        #[cfg(feature = "webgpu")]
        Backend::WebGpu => Device::webgpu(kind),
        _ => Device::wgpu(kind),
    }
}

/// The graphics APIs that burn tries, in its order.
fn apis(backend: Backend) -> &'static [wgpu::Backend] {
    match backend {
        Backend::Vulkan => &[wgpu::Backend::Vulkan],
        Backend::Metal => &[wgpu::Backend::Metal],
        Backend::WebGpu => &[wgpu::Backend::BrowserWebGpu],
        _ if cfg!(target_os = "macos") => &[wgpu::Backend::Metal],
        _ => &[wgpu::Backend::Vulkan, wgpu::Backend::Dx12, wgpu::Backend::Gl],
    }
}

fn api_names(backend: Backend) -> &'static str {
    match backend {
        Backend::Vulkan => "Vulkan",
        Backend::Metal => "Metal",
        Backend::WebGpu => "WebGPU",
        _ if cfg!(target_os = "macos") => "Metal",
        _ => "Vulkan, DirectX 12 or OpenGL",
    }
}

fn remedy(name: &DeviceName, found: &[&Adapter]) -> String {
    match name.backend {
        Backend::WebGpu => {
            "WebGPU is the API of browsers; a program outside of one reaches a GPU by --device wgpu.".into()
        }
        Backend::Metal => "Metal exists only on Apple's systems.".into(),
        backend if !found.is_empty() => {
            format!("Name one of them, or --device {} for the best.", backend.name())
        }
        _ => "Install the GPU's Vulkan driver. Debian's mesa-vulkan-drivers has those of AMD and Intel, and a software \
              one that any machine runs, slowly: apt-get install mesa-vulkan-drivers"
            .into(),
    }
}

/// The adapters of an API.
fn probe(api: wgpu::Backend) -> Vec<wgpu::AdapterInfo> {
    // The Vulkan loader crashes if several threads create and destroy instances at once.
    static ONE_AT_A_TIME: Mutex<()> = Mutex::new(());
    let _one = ONE_AT_A_TIME.lock();
    let instance = wgpu::Instance::new(wgpu::InstanceDescriptor {
        backends: api.into(),
        ..wgpu::InstanceDescriptor::new_without_display_handle()
    });
    let adapters = read_sync(instance.enumerate_adapters(api.into()));
    adapters.iter().map(wgpu::Adapter::get_info).collect()
}

/// The adapters with their names, numbers and burn's names: burn counts each kind separately, and knows one software
/// driver.
fn number(backend: Backend, infos: &[wgpu::AdapterInfo]) -> Vec<Found> {
    let mut found: Vec<Found> = Vec::new();
    for (index, info) in infos.iter().enumerate() {
        let (kind, rank) = match info.device_type {
            wgpu::DeviceType::DiscreteGpu => ("discrete GPU", 0),
            wgpu::DeviceType::IntegratedGpu => ("integrated GPU", 1),
            wgpu::DeviceType::VirtualGpu => ("virtual GPU", 2),
            wgpu::DeviceType::Other => ("other", 3),
            wgpu::DeviceType::Cpu => (SOFTWARE, 4),
        };
        let before = found.iter().filter(|found| found.adapter.kind == kind).count();
        let burns = match rank {
            0 => Some(DeviceKind::DiscreteGpu(before)),
            1 => Some(DeviceKind::IntegratedGpu(before)),
            2 => Some(DeviceKind::VirtualGpu(before)),
            4 if before == 0 => Some(DeviceKind::Cpu),
            _ => None,
        };
        let adapter = Adapter {
            device: format!("{}:{index}", backend.name()),
            name: info.name.clone(),
            api: match info.backend {
                wgpu::Backend::Vulkan => "Vulkan",
                wgpu::Backend::Metal => "Metal",
                wgpu::Backend::Dx12 => "DirectX 12",
                wgpu::Backend::Gl => "OpenGL",
                wgpu::Backend::BrowserWebGpu => "WebGPU",
                wgpu::Backend::Noop => "none",
            },
            kind,
            driver: info.driver.clone(),
            driver_version: info.driver_info.clone(),
        };
        found.push(Found { adapter, kind: burns, rank });
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    fn info(name: &str, device_type: wgpu::DeviceType) -> wgpu::AdapterInfo {
        wgpu::AdapterInfo {
            name: name.into(),
            ..wgpu::AdapterInfo::new(device_type, wgpu::Backend::Vulkan)
        }
    }

    #[test]
    fn burn_counts_each_kind_for_itself() {
        use wgpu::DeviceType::{Cpu, DiscreteGpu, IntegratedGpu, Other};
        let infos = [
            info("llvmpipe", Cpu),
            info("first", DiscreteGpu),
            info("chip", IntegratedGpu),
            info("second", DiscreteGpu),
            info("odd", Other),
            info("SwiftShader", Cpu),
        ];
        let found = number(Backend::Vulkan, &infos);
        let devices: Vec<_> = found.iter().map(|found| found.adapter.device.as_str()).collect();
        assert_eq!(
            devices,
            ["vulkan:0", "vulkan:1", "vulkan:2", "vulkan:3", "vulkan:4", "vulkan:5"]
        );
        let kinds: Vec<_> = found.iter().map(|found| found.kind.clone()).collect();
        let (first, second) = (DeviceKind::DiscreteGpu(0), DeviceKind::DiscreteGpu(1));
        let chip = DeviceKind::IntegratedGpu(0);
        let software = Some(DeviceKind::Cpu);
        assert_eq!(kinds, [software, Some(first), Some(chip), Some(second), None, None]);
        let best = (0..found.len()).min_by_key(|&index| found[index].rank);
        assert_eq!(best, Some(1));
    }
}

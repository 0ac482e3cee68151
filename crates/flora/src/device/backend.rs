/// A backend of burn, compiled in or not.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Backend {
    /// Pure Rust on the CPU, with flora's fused operations.
    Flex,
    /// burn's older CPU backend, which burn 0.23 drops.
    NdArray,
    /// NVIDIA GPUs through CUDA.
    Cuda,
    /// AMD GPUs through ROCm.
    Rocm,
    /// Apple GPUs through Metal, compiled to MSL.
    Metal,
    /// GPUs through Vulkan, compiled to SPIR-V.
    Vulkan,
    /// GPUs through any available graphics API: WGSL, unless `vulkan` or `metal` is compiled in, too.
    Wgpu,
    /// The GPU of a browser. A native program finds none.
    WebGpu,
    /// The CPU through LLVM. Its feature is burn's `cpu`; its name differs, because `cpu` has always been `flex`.
    Llvm,
}

impl Backend {
    /// All backends: the usual CPU backend first, then the others from the fastest to the slowest.
    pub const ALL: [Self; 9] = [
        Self::Flex,
        Self::NdArray,
        Self::Cuda,
        Self::Rocm,
        Self::Metal,
        Self::Vulkan,
        Self::Wgpu,
        Self::WebGpu,
        Self::Llvm,
    ];

    /// The name for `--device`.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Flex => "flex",
            Self::NdArray => "ndarray",
            Self::Cuda => "cuda",
            Self::Rocm => "rocm",
            Self::Metal => "metal",
            Self::Vulkan => "vulkan",
            Self::Wgpu => "wgpu",
            Self::WebGpu => "webgpu",
            Self::Llvm => "llvm",
        }
    }

    /// The Cargo feature that compiles it in.
    pub const fn feature(self) -> &'static str {
        match self {
            Self::Llvm => "cpu",
            other => other.name(),
        }
    }

    /// A short description of its device.
    pub const fn what(self) -> &'static str {
        match self {
            Self::Flex => "CPU, pure Rust",
            Self::NdArray => "CPU, burn's older backend",
            Self::Cuda => "NVIDIA GPU",
            Self::Rocm => "AMD GPU",
            Self::Metal => "Apple GPU",
            Self::Vulkan => "GPU through Vulkan",
            Self::Wgpu => "GPU through wgpu",
            Self::WebGpu => "GPU of a browser",
            Self::Llvm => "CPU through LLVM",
        }
    }

    /// Whether this program contains it.
    pub const fn is_compiled(self) -> bool {
        match self {
            Self::Flex => cfg!(feature = "flex"),
            Self::NdArray => cfg!(feature = "ndarray"),
            Self::Cuda => cfg!(feature = "cuda"),
            Self::Rocm => cfg!(feature = "rocm"),
            Self::Metal => cfg!(feature = "metal"),
            Self::Vulkan => cfg!(feature = "vulkan"),
            Self::Wgpu => cfg!(feature = "wgpu"),
            Self::WebGpu => cfg!(feature = "webgpu"),
            Self::Llvm => cfg!(feature = "cpu"),
        }
    }

    /// Whether it is a CPU backend whose threads are the workers. LLVM's is not: it has its own threads.
    pub const fn is_cpu(self) -> bool {
        matches!(self, Self::Flex | Self::NdArray)
    }

    /// Whether there may be several adapters, which are distinguished by a number.
    pub const fn has_adapters(self) -> bool {
        !matches!(self, Self::Flex | Self::NdArray | Self::Llvm)
    }
}

#[cfg(test)]
mod tests {
    use super::Backend;

    #[test]
    fn every_backend_has_a_name_of_its_own() {
        let mut names = Backend::ALL.map(Backend::name);
        names.sort_unstable();
        assert!(names.windows(2).all(|pair| pair[0] != pair[1]), "{names:?}");
        // `cpu` means `flex`, whatever is compiled in.
        assert!(!names.contains(&"cpu"));
    }
}

//! The allocator and the slices of flora-kernels, which hold all of flora's `unsafe` code, with their tests.

// They are called by what is left out here.
#![allow(dead_code, unreachable_pub)]

#[path = "../../crates/flora-kernels/src/memory.rs"]
pub mod memory;
#[path = "../../crates/flora-kernels/src/slices/mod.rs"]
mod slices;

/// As in flora-kernels, where it is in a file that needs burn.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Half {
    /// bfloat16.
    Bf16,
    /// IEEE half precision.
    F16,
}

#[cfg(test)]
mod tests;

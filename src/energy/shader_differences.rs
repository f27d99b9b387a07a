//! A user's energy by central differences (`shaders/energy/shader_differences.wgsl`), recorded by
//! [`super::ShaderEnergy`].

use crate::gpu::{KernelSource, embedded_kernel};

/// The kernel, complete with a user's `energy` behind it.
pub const KERNEL: KernelSource = embedded_kernel!("energy/shader_differences.wgsl");

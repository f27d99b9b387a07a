//! Floor 4: energies: networks, analytic ones, and those of users, written in WGSL.

pub(crate) mod energy_rows;
pub(crate) mod evaluate_energy;
pub mod mixture_energy;
pub(crate) mod network_energy;
pub mod quadratic_energy;
pub mod shader_differences;
pub mod shader_energy;
pub(crate) mod shader_options;
pub(crate) mod traits;

pub use evaluate_energy::{evaluate_energy, evaluate_gradient};
pub use mixture_energy::MixtureEnergy;
pub use network_energy::NetworkEnergy;
pub use quadratic_energy::QuadraticEnergy;
pub use shader_energy::ShaderEnergy;
pub use shader_options::{Gradient, ShaderEnergyOptions};
pub use traits::Energy;

use crate::gpu::KernelVariant;

/// The kernels of this floor.
pub(crate) fn kernels() -> Vec<KernelVariant> {
    let mut all = quadratic_energy::variants();
    all.extend(mixture_energy::variants());
    all.extend(shader_energy::variants());
    all
}

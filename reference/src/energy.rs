//! References of `shaders/energy/`: analytic and user-written energies.

pub mod mixture_energy;
pub mod quadratic_energy;
pub mod shader_differences;
pub mod shader_energy;

pub use mixture_energy::{DiagonalMixture, mixture_energy};
pub use quadratic_energy::{Quadratic, quadratic_energy};
pub use shader_differences::{difference_step, shader_differences};
pub use shader_energy::shader_energy;

//! References of `shaders/diffusion/`: exact scores and energies, noised samples, losses, solvers,
//! likelihoods.

pub mod add_noise;
pub mod combine;
pub mod empirical_energy;
pub mod mixture_score;
pub mod solver_step;

pub use add_noise::add_noise;
pub use combine::combine;
pub use empirical_energy::{empirical_energy, empirical_noise};
pub use mixture_score::{GaussianMixture, mixture_log_density, mixture_score, mixture_score_product};
pub use solver_step::solver_step;

/// Size of the terms of `apart' P apart / 2`, where `precise >= |P| |operands|` takes in what
/// rounding `apart` moves.
fn squared_distance_size(apart: &[f64], precise: &[f64]) -> f64 {
    apart.iter().zip(precise).map(|(a, p)| a.abs() * p).sum()
}

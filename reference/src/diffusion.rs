//! References of `shaders/diffusion/`: exact scores and energies, noised samples, losses, solvers, likelihoods.

pub mod combine;
pub mod denoising_loss;
pub mod perturb;
pub mod solver_step;

pub mod finite_energy;
pub mod flow_density;
pub mod flow_probe;
pub mod flow_stage;
pub mod flow_trace;
pub mod mixture_score;

pub use combine::combine;
pub use denoising_loss::denoising_loss;
pub use finite_energy::{finite_energy, finite_noise};
pub use flow_density::flow_density;
pub use flow_probe::flow_probe;
pub use flow_stage::{FlowPlace, FlowStage, FlowStaged, flow_stage};
pub use flow_trace::flow_trace;
pub use mixture_score::{GaussianMixture, mixture_log_density, mixture_score, mixture_score_product};
pub use perturb::perturb;
pub use solver_step::solver_step;

/// Size of the terms of `apart' P apart / 2`, where `precise >= |P| |operands|` takes in what rounding `apart` moves.
fn squared_distance_size(apart: &[f64], precise: &[f64]) -> f64 {
    apart.iter().zip(precise).map(|(a, p)| a.abs() * p).sum()
}

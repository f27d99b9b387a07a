//! References of `shaders/diffusion/`: exact scores and energies, noised samples, losses, solvers, likelihoods.

pub mod combine;
pub mod denoising_loss;
pub mod perturb;
pub mod solver_step;

pub use combine::combine;
pub use denoising_loss::denoising_loss;
pub use perturb::perturb;
pub use solver_step::solver_step;

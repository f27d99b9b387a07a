//! References of `shaders/diffusion/`: noised samples, losses, solvers.

pub mod denoising_loss;
pub mod perturb;
pub mod solver_step;

pub use denoising_loss::denoising_loss;
pub use perturb::perturb;
pub use solver_step::solver_step;

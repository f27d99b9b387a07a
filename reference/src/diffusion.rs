//! References of `shaders/diffusion/`: exact scores and energies, likelihoods.

pub mod combine;

pub use combine::combine;
